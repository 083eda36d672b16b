"""A search that is killed, as a process of its own, ends as the one that was not."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from scnas_keras.runs.checkpoint import CHECKPOINT
from scnas_keras.runs.checkpoint_files import LAST, CheckpointFolder

HERE = Path(__file__).parent
EPOCHS, STEPS = 6, 6
FLAGS = ("--task=phantom", "--num_phantoms=5", "--patch_size=16,16,16", f"--epochs={EPOCHS}", f"--steps_per_epoch={STEPS}", "--validation_steps=2",
         "--stem_channels=8", "--width=8", "--alpha_lr=0.1", "--checkpoint_minutes=0.0001", "--processes=1")  # fmt: skip
GUARDS = ("--warm_up=0.3", "--parameter_free_dropout=0.2", "--max_identity_edges=1", "--target_mparams=0.004", "--hessian_every=3")
"""All that a search has a state for."""


class Command:
    """A small search in a folder, as a process."""

    def __init__(self, cache: Path, run: Path, *flags: str, **environment: str):
        self.run = run
        words = [sys.executable, str(HERE / "small_run.py"), *FLAGS, *GUARDS, f"--workdir={run}", f"--cache_dir={cache}", *flags]
        environment = {**os.environ, "PYTHONPATH": f"{HERE.parent}", **environment}
        self.process = subprocess.Popen(
            words, env=environment, cwd=run.parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", errors="replace"
        )

    def finish(self) -> str:
        """Waits for the end; returns what was written to stderr."""
        _, errors = self.process.communicate(timeout=300)
        self.errors = errors
        return errors

    def stop(self, step: int, pause: float, sent: int) -> str:
        """Sends a signal a while after a step has been saved."""
        while self.process.poll() is None and last_step(self.run) < step:
            time.sleep(0.002)
        time.sleep(pause)
        assert self.process.poll() is None, self.finish()
        self.process.send_signal(sent)
        return self.finish()


def last_step(run: Path) -> int:
    return max([int(file.stem.rpartition("-")[2]) for file in (run / CHECKPOINT).glob("last-*.ckpt")], default=0)


def assert_equal_runs(one: Path, other: Path):
    for name in ("genotype.json", "genotypes.jsonl", "history.csv"):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    (_, _, ours), (_, _, theirs) = (CheckpointFolder(run / CHECKPOINT).read(LAST) for run in (one, other))
    assert ours.keys() == theirs.keys()
    for name, array in ours.items():
        np.testing.assert_array_equal(array, theirs[name], err_msg=name)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("resume")
    command = Command(folder / "cache", folder / "whole")
    command.finish()
    assert command.process.returncode == 0, command.errors
    return folder


@pytest.mark.slow
def test_a_search_killed_at_three_random_moments_and_stopped_once_equals_the_whole_one(whole):
    rng, run = random.Random(7), whole / "parts"
    first, second, third = sorted(rng.sample(range(1, 20), 3))
    for step in (first, second, third):
        command = Command(whole / "cache", run)
        command.stop(step, rng.uniform(0, 0.3), signal.SIGKILL)
        assert command.process.returncode == -signal.SIGKILL
        assert not (run / "summary.json").exists()
    command = Command(whole / "cache", run)
    errors = command.stop(last_step(run) + 2, 0, signal.SIGTERM)
    assert command.process.returncode == 143 and "stopped by SIGTERM and saved" in errors and "the same command goes on" in errors, errors
    step = last_step(run)
    command = Command(whole / "cache", run)
    errors = command.finish()
    assert command.process.returncode == 0, errors
    assert "resuming after" in errors and step < EPOCHS * STEPS
    assert_equal_runs(run, whole / "whole")


@pytest.mark.slow
def test_two_processes_in_one_folder_are_refused(whole):
    run = whole / "locked"
    command = Command(whole / "cache", run)
    while command.process.poll() is None and not last_step(run):
        time.sleep(0.01)
    second = Command(whole / "cache", run)
    errors = second.finish()
    command.process.kill()
    command.finish()
    assert second.process.returncode == 2 and f"process {command.process.pid} on " in errors and "is running there" in errors, errors
