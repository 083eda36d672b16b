"""What the documentation shows, run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_the_script_that_trains_with_fit(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "SCNAS_CACHE_DIR": str(tmp_path / "cache"), "TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, ROOT / "docs" / "fit.py"], env=environment, cwd=tmp_path, capture_output=True, text=True, encoding="utf-8", errors="replace")
    assert done.returncode == 0, done.stderr[-3000:]
    lines = done.stdout.splitlines()
    assert (
        lines[0].startswith("plain: ") and "val_dice" in lines[0] and lines[1].startswith("nnU-Net's recipe: ") and "val_dice" in lines[1]
    )
    assert lines[2] == "written: model.json model.keras segmentation.nii.gz"
