"""What the documentation shows, run."""

import runpy
import tempfile

import pytest
from processes import ROOT


@pytest.mark.nightly
def test_the_script_that_trains_with_fit(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SCNAS_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    runpy.run_path(str(ROOT / "docs" / "fit.py"))
    lines = capsys.readouterr().out.splitlines()
    assert (
        lines[0].startswith("plain: ") and "val_dice" in lines[0] and lines[1].startswith("nnU-Net's recipe: ") and "val_dice" in lines[1]
    )
    assert lines[2] == "written: model.json model.keras segmentation.nii.gz"
