"""Training runs of the commands on generated scans: in this process, or as a process of its own where it is to be killed."""

import subprocess
from pathlib import Path

import processes
import pytest
from absl import logging
from processes import PYTHON, with_package

from scnas_keras.options import parse
from scnas_keras.retrain import RetrainConfig
from scnas_keras.retrain.runner import TrainingResult, run_training
from scnas_keras.tasks import phantoms
from scnas_keras.tasks.phantoms import write_phantoms

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


def start_command(folder: Path, command: str, *flags: str) -> subprocess.Popen:
    """Starts a command as a process in a folder, with a cache of prepared scans there."""
    return processes.start(*_words(command, flags), **_place(folder))


def run_command(folder: Path, command: str, *flags: str, code: int = 0) -> subprocess.CompletedProcess:
    """Runs one to its end; it must end with `code`."""
    return processes.run(*_words(command, flags), code=code, **_place(folder))


def _words(command, flags):
    return PYTHON, "-m", f"scnas_keras.{command}", *FLAGS, *flags


def _place(folder):
    return {"cwd": folder, "env": with_package(SCNAS_CACHE_DIR=str(folder / "cache"))}


def retrain(folder: Path, *flags: str) -> TrainingResult:
    """Runs scnas retrain in this process, in a folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("SCNAS_CACHE_DIR", str(folder / "cache"))
        patch.setattr(phantoms, "write_phantoms", lambda folder, num_cases: write_phantoms(folder, num_cases, size=28))  # quick to segment
        logging.set_verbosity(logging.INFO)
        return run_training(parse(RetrainConfig, ["retrain", *FLAGS, *flags]))
