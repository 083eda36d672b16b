"""The commands in a row on generated scans, as the demo runs them: search, retrain, predict."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from some_spaces import SCNAS, TINY

from scnas_keras.search import checks
from scnas_keras.spaces.genotype import Genotype

TASK = {
    "task": "phantom",
    "num_phantoms": 5,
    "patch_size": "16,16,16",
    "epochs": 2,
    "steps_per_epoch": 2,
    "validation_steps": 1,
    "processes": 1,
}
SEARCH = {**TASK, "stem_channels": 4, "width": 4, "workdir": "search", "alpha_lr": 0.1}


@pytest.mark.parametrize("space", [TINY, pytest.param(SCNAS, marks=pytest.mark.nightly)], ids=lambda space: space.name)
def test_search_retrain_predict(space, command, monkeypatch, tmp_path, capsys, caplog):
    monkeypatch.setattr(checks, "find_space", lambda name, rank: space)
    monkeypatch.setenv("SCNAS_CACHE_DIR", str(tmp_path / "cache"))
    command("scnas_keras.search", **SEARCH)
    shown = capsys.readouterr().out
    assert "Reduction cell" in shown and "epoch 2/2" in caplog.text
    last = shown[shown.index("Undecided: ") :].splitlines()  # four updates of alpha
    assert last[-3].startswith("Search longer: --budget_minutes=") and last[-1].startswith("The run is in")
    left = {path.name for path in Path("search").iterdir()}
    assert left >= {
        "genotype.json",
        "genotype.txt",
        "genotype.svg",
        "genotype.png",
        "history.csv",
        "timings.csv",
        "summary.json",
        "model.keras",
        "flags.cfg",
        "tensorboard",
        "checkpoint",
    }
    assert "run.lock" not in left
    assert Genotype.load("search/genotype.json").space == space
    summary = json.loads(Path("search/summary.json").read_text())
    assert summary["result"]["epochs"] == 2 and 0 < summary["result"]["mean_edge_entropy"] < 1
    parts = summary["result"]["cases"]
    assert sorted(sum(parts.values(), [])) == [f"phantom_{i:03d}" for i in range(5)]

    command("scnas_keras.search", **SEARCH)
    assert "holds this very run, finished" in capsys.readouterr().out

    command("scnas_keras.retrain", **TASK, width=4, genotype="search", workdir="trained", num_folds=5)
    shown = capsys.readouterr().out
    assert "whole validation scans" in shown and "Undecided: mean entropy" in shown and "Undecided: mean entropy" in caplog.text
    assert (
        all(path.stat().st_size > 10_000 for path in Path("trained").glob("overlay_*.png")) and Path("trained/overlay_median.png").is_file()
    )
    held_out = json.loads(Path("trained/summary.json").read_text())["result"]["validation_images"]
    assert [Path(path).name.removesuffix(".nii.gz") for path in held_out] == parts["validation"]

    command("scnas_keras.predict", model="trained", image=held_out[0], output="segmentation.nii.gz")
    scan, segmentation = nib.load(held_out[0]), nib.load("segmentation.nii.gz")
    np.testing.assert_array_equal(segmentation.affine, scan.affine)
    validated = nib.load(Path("trained/validation") / Path(held_out[0]).name)
    np.testing.assert_array_equal(segmentation.get_fdata(), validated.get_fdata())
