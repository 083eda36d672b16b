"""A selection of real processes that is killed, while a trial runs and in the finals, goes on and ends."""

import json
import signal
import time
from pathlib import Path

import pytest
from processes import PYTHON, run, start, with_package

from scnas_keras.runs.run_folder import is_busy
from scnas_keras.select.trials import result_of

HERE = Path(__file__).parent
DATA = ("--task=phantom", "--num_phantoms=8", "--num_folds=4", "--patch_size=16,16,16", "--processes=1", "--validation_steps=1")


LENGTH = ("--budget_minutes=4", "--candidates=nnunet,unet")


def command(folder):
    return [PYTHON, HERE / "small_select.py", *DATA, f"--workdir={folder / 'run'}", f"--cache_dir={folder / 'cache'}", *LENGTH]


def kill_when(folder, there):
    """Kills the selection as soon as a file is there; its training runs, which the system then asks to end, too."""
    process = start(*command(folder), env=with_package(), cwd=folder)
    until = time.monotonic() + 240
    while process.poll() is None and not there() and time.monotonic() < until:
        time.sleep(0.1)
    assert process.poll() is None and there(), process.communicate()[1][-3000:]
    process.send_signal(signal.SIGKILL)
    process.communicate()


@pytest.mark.nightly
def test_a_selection_that_is_killed_goes_on(tmp_path):
    trial, final = tmp_path / "run" / "race" / "rung_1" / "unet", tmp_path / "run" / "finals" / "nnunet_seed_0"
    kill_when(tmp_path, (trial / "flags.cfg").is_file)
    first = result_of(trial.with_name("nnunet"))
    spent = json.loads((tmp_path / "run" / "race.json").read_text())["spent"]
    kill_when(tmp_path, (final / "flags.cfg").is_file)
    done = run(*command(tmp_path), env=with_package(), cwd=tmp_path, timeout=400)
    assert result_of(trial.with_name("nnunet")) == first and result_of(trial).updates > 0  # what ended isn't repeated
    report = json.loads((tmp_path / "run" / "select.json").read_text())
    assert {row["stage"] for row in report["trials"]} == {"rung 1", "final"} and not any(row["failed"] for row in report["trials"])
    assert report["spent_seconds"] > spent > 0 and report["kept"] in {"unet", "nnunet_seed_0"}
    assert "kept" in done.stdout.lower() and (tmp_path / "run" / "model.json").is_file()
    assert not is_busy(trial) and not is_busy(final)
    again = run(*command(tmp_path), env=with_package(), cwd=tmp_path)
    assert "finished" in again.stdout
