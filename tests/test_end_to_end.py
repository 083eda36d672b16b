"""The commands in a row on generated scans, as the demo runs them: search, retrain, predict."""

import json
import os
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from scnas_keras.spaces.genotype import Genotype

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "SCNAS_CACHE_DIR": str(folder / "cache")}

    def run(module, *arguments):
        words = [sys.executable, "-m", f"scnas_keras.{module}", *map(str, arguments)]
        return subprocess.run(words, env=environment, cwd=folder, capture_output=True, text=True)

    return run, folder


SMALL = ("--task=phantom", "--num_phantoms=5", "--patch_size=16,16,16", "--epochs=2", "--steps_per_epoch=2", "--validation_steps=1")
SEARCH = (*SMALL, "--stem_channels=4", "--width=4", "--workdir=search", "--alpha_lr=0.1")


@pytest.mark.slow
def test_search_retrain_predict(command):
    run, folder = command
    done = run("search", *SEARCH)
    assert done.returncode == 0, done.stderr
    assert "Reduction cell" in done.stdout and "epoch 2/2" in done.stderr
    left = {path.name for path in (folder / "search").iterdir()}
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
    assert Genotype.load(folder / "search" / "genotype.json").space.name == "scnas"
    summary = json.loads((folder / "search" / "summary.json").read_text())
    assert summary["result"]["epochs"] == 2 and 0 < summary["result"]["mean_edge_entropy"] < 1
    parts = summary["result"]["cases"]
    assert sorted(sum(parts.values(), [])) == [f"phantom_{i:03d}" for i in range(5)]

    again = run("search", *SEARCH)
    assert again.returncode == 2 and "finished" in again.stderr

    done = run("retrain", *SMALL, "--width=4", "--genotype=search", "--workdir=trained", "--num_folds=5")
    assert done.returncode == 0, done.stderr
    assert "whole validation scans" in done.stdout and (folder / "trained" / "overlay.png").stat().st_size > 10_000
    held_out = json.loads((folder / "trained" / "summary.json").read_text())["result"]["validation_images"]
    assert [Path(path).name.removesuffix(".nii.gz") for path in held_out] == parts["validation"]

    done = run("predict", "--model=trained", f"--image={held_out[0]}", "--output=segmentation.nii.gz")
    assert done.returncode == 0, done.stderr
    scan, segmentation = nib.load(held_out[0]), nib.load(folder / "segmentation.nii.gz")
    np.testing.assert_array_equal(segmentation.affine, scan.affine)
    validated = nib.load(folder / "trained" / "validation" / Path(held_out[0]).name)
    np.testing.assert_array_equal(segmentation.get_fdata(), validated.get_fdata())
