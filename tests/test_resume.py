"""A search that is killed, as a process of its own, ends as the one that was not."""

import random
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from processes import PYTHON, start, with_package

from scnas_keras.errors import ConfigError
from scnas_keras.options import parse
from scnas_keras.runs.checkpoint_files import CHECKPOINT, LAST, CheckpointFolder
from scnas_keras.search import SearchConfig
from scnas_keras.search.runner import run_search

HERE = Path(__file__).parent
EPOCHS, STEPS = 6, 6
DATA = ("--task=phantom", "--num_phantoms=5", "--patch_size=16,16,16", "--processes=1")
LENGTH = (f"--epochs={EPOCHS}", f"--steps_per_epoch={STEPS}", "--validation_steps=2", "--checkpoint_minutes=0.0001")
FLAGS = (*DATA, *LENGTH, "--stem_channels=8", "--width=8", "--alpha_lr=0.1")
TARGETS = ("--target_mparams=0.004", "--target_ms=30")
PENALTIES = ("--penalty_multiply_adds=0.01", "--path_dropout=0.3")
GUARDS = ("--warm_up=0.3", "--parameter_free_dropout=0.2", "--max_identity_edges=1", *TARGETS, *PENALTIES, "--hessian_every=3")
"""All that a search has a state for."""


class Command:
    """A small search in a folder, as a process."""

    def __init__(self, cache: Path, run: Path):
        self.run = run
        self.words = [str(HERE / "small_run.py"), *FLAGS, *GUARDS, f"--workdir={run}", f"--cache_dir={cache}"]
        self.errors = None
        self.process = start(PYTHON, *self.words, env=with_package(), cwd=run.parent)

    def finish(self) -> str:
        """Waits for the end; returns what was written to stderr."""
        if self.errors is None:
            _, self.errors = self.process.communicate(timeout=300)
        return self.errors

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
    """A search that nothing interrupts, at work."""
    folder = tmp_path_factory.mktemp("resume")
    command = Command(folder / "cache", folder / "whole")
    while command.process.poll() is None and not last_step(command.run):
        time.sleep(0.01)
    yield command
    if command.process.poll() is None:
        command.process.kill()
        command.finish()


def test_two_processes_in_one_folder_are_refused(whole):
    whole.process.send_signal(signal.SIGSTOP)
    with pytest.raises(ConfigError, match=f"process {whole.process.pid} on .*is running there"):
        run_search(parse(SearchConfig, whole.words))
    whole.process.send_signal(signal.SIGCONT)


@pytest.mark.nightly
@pytest.mark.parametrize("kills", [1, 3])
def test_a_search_killed_at_random_moments_and_stopped_once_equals_the_whole_one(kills, whole, tmp_path):
    cache, run, rng = whole.run.parent / "cache", tmp_path / "parts", random.Random(7)
    for step in sorted(rng.sample(range(1, 20), kills)):
        command = Command(cache, run)
        command.stop(step, rng.uniform(0, 0.3), signal.SIGKILL)
        assert command.process.returncode == -signal.SIGKILL
        assert not (run / "summary.json").exists()
    command = Command(cache, run)
    errors = command.stop(last_step(run) + 2, 0, signal.SIGTERM)
    assert command.process.returncode == 143 and "stopped by SIGTERM and saved" in errors and "the same command goes on" in errors, errors
    step = last_step(run)
    command = Command(cache, run)
    errors = command.finish()
    assert command.process.returncode == 0, errors
    assert "resuming after" in errors and step < EPOCHS * STEPS
    errors = whole.finish()
    assert whole.process.returncode == 0, errors
    assert_equal_runs(run, whole.run)
