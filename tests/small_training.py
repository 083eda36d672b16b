"""Trainings of the commands on generated scans: in this process, or as a process of its own where it is to be killed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from absl import logging

from scnas_keras.options import parse
from scnas_keras.retrain import RetrainConfig
from scnas_keras.retrain.runner import TrainingResult, run_training

REPOSITORY = Path(__file__).parents[1]
FLAGS = (
    "--task=phantom",
    "--num_phantoms=5",
    "--num_folds=5",
    "--patch_size=16,16,16",
    "--batch_size=1",
    "--steps_per_epoch=2",
    "--validation_steps=1",
    "--processes=1",
)


def words(folder: Path, command: str, *flags: str) -> dict:
    """What `subprocess` needs to run a command in a folder, with a cache of prepared scans there."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "SCNAS_CACHE_DIR": str(folder / "cache")}
    return {
        "args": [sys.executable, "-m", f"scnas_keras.{command}", *FLAGS, *flags],
        "env": environment,
        "cwd": folder,
        "text": True,
        "encoding": "utf-8",
        "errors": "replace",
    }


def run(folder: Path, command: str, *flags: str, code: int = 0) -> subprocess.CompletedProcess:
    """Runs a command as a process; it must end with `code`."""
    done = subprocess.run(**words(folder, command, *flags), capture_output=True)
    assert done.returncode == code, done.stderr[-3000:]
    return done


def retrain(folder: Path, *flags: str) -> TrainingResult:
    """Runs scnas_keras.retrain in this process, in a folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("SCNAS_CACHE_DIR", str(folder / "cache"))
        logging.set_verbosity(logging.INFO)
        return run_training(parse(RetrainConfig, ["retrain", *FLAGS, *flags]))
