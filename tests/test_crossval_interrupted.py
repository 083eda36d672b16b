"""A cross-validation that is stopped and killed, as a process of its own."""

import fcntl
import signal
import time

import numpy as np
import pytest
from small_training import run_command, start_command
from some_spaces import dense_genotype

from scnas_keras.inference.keras_file import load_network


def wait_for(file, process):
    """Until a process has made a file."""
    deadline = time.monotonic() + 300
    while not file.exists():
        assert process.poll() is None and time.monotonic() < deadline, file
        time.sleep(0.05)


def wait_until_free(lock):
    """Until no process is at a run: the training run of a cross-validation that was killed ends when it has noticed."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        time.sleep(0.5)
        try:
            with open(lock, encoding="utf-8") as stream:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            pass
    raise AssertionError("the training run goes on without its parent")


CROSSVAL = (
    "--networks=nnunet,genotype",
    "--genotype=genotype.json",
    "--width=6",
    "--baseline_width=4",
    "--epochs=3",
    "--steps_per_epoch=30",
    "--preset=nnunet",
    "--ema=0.9",
    "--workdir=cv",
    "--folds=0",
)


@pytest.mark.nightly
def test_folds_resume_after_being_stopped_and_killed_and_merge(tmp_path):
    """Bit for bit, with what nnU-Net's recipe adds: momentum, decay, clipping, polynomial rate, deep supervision; and with EMA.

    The second network is a found one whose nodes have three inputs and more.
    """
    dense_genotype().save(tmp_path / "genotype.json")
    nnunet, found = (tmp_path / "cv" / name / "fold_0" for name in ("nnunet", "genotype"))
    child = start_command(tmp_path, "crossval", *CROSSVAL)
    wait_for(nnunet / "history.csv", child)
    child.send_signal(signal.SIGTERM)
    child.communicate()
    assert child.returncode == 143 and not (nnunet / "summary.json").exists() and list((nnunet / "checkpoint").glob("last-*"))
    child = start_command(tmp_path, "crossval", *CROSSVAL)
    wait_for(found / "history.csv", child)
    child.send_signal(signal.SIGKILL)
    _, errors = child.communicate()
    assert "resuming after" in errors
    wait_until_free(found / "run.lock")
    first = (nnunet / "summary.json").read_bytes()
    done = run_command(tmp_path, "crossval", *CROSSVAL)
    assert "nnunet on fold 0 was finished before" in done.stderr and "genotype: fold 1, 2, 3, 4 not there yet" in done.stdout
    assert (nnunet / "summary.json").read_bytes() == first
    assert "nnunet - genotype" in done.stdout and (tmp_path / "cv" / "crossval.png").stat().st_size > 5000

    for parts in (nnunet, found):
        whole = tmp_path / f"whole_{parts.parent.name}"
        run_command(tmp_path, "retrain", f"--flagfile={parts / 'flags.cfg'}", f"--workdir={whole}")
        assert (whole / "history.csv").read_bytes() == (parts / "history.csv").read_bytes()
        for expected, ours in zip(*(load_network(run / "model.keras").get_weights() for run in (whole, parts)), strict=True):
            np.testing.assert_array_equal(ours, expected)
