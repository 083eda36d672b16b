"""Finished runs that get more epochs or minutes."""

import csv
import json
import shutil
import types

import pytest
from small_training import retrain

from scnas_keras.errors import ConfigError, Finished
from scnas_keras.runs.run_folder import BEFORE, EXTENDING, SUMMARY, _extension

NETWORK = ("--network=unet", "--width=2", "--schedule=poly", "--learning_rate=0.01", "--workdir=run")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder with a run of two epochs and its cache."""
    folder = tmp_path_factory.mktemp("extended")
    retrain(folder, *NETWORK, "--epochs=2")
    return folder


@pytest.fixture
def folder(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "copy")
    return tmp_path / "copy"


def rows(folder):
    with open(folder / "run" / "history.csv", newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_more_epochs_extend_a_finished_run_and_its_rate_rises_again(folder, caplog):
    before = rows(folder)
    retrain(folder, *NETWORK, "--epochs=4")
    after = rows(folder)
    assert [row["epoch"] for row in after] == ["1", "2", "3", "4"] and after[:2] == before
    assert "is extended, by the schedules of the new end" in caplog.text and not (folder / "run" / EXTENDING).exists()
    rates = [float(row["learning_rate"]) for row in after]
    assert rates[2] == pytest.approx(0.01 * 0.5**0.9) and rates[1] == pytest.approx(0.01 * 0.5**0.9) and rates[3] < rates[2]
    summaries = [json.loads((folder / "run" / name).read_text())["result"]["epochs"] for name in (BEFORE, SUMMARY)]
    assert summaries == [2, 4] and "--epochs=4" in (folder / "run" / "flags.cfg").read_text()
    with pytest.raises(Finished, match="holds this very run, finished.*extend it with more --epochs"):
        retrain(folder, *NETWORK, "--epochs=4")


@pytest.mark.parametrize("moved", [True, pytest.param(False, marks=pytest.mark.nightly)])
def test_an_extension_that_was_killed_as_it_began_goes_on(folder, moved):
    """When the summary was moved and the flags not yet written; or before that."""
    (folder / "run" / EXTENDING).touch()
    if moved:
        (folder / "run" / SUMMARY).rename(folder / "run" / BEFORE)
    retrain(folder, *NETWORK, "--epochs=3")
    assert len(rows(folder)) == 3 and not (folder / "run" / EXTENDING).exists()


def test_other_flags_are_refused_while_an_extension_isnt_finished(folder):
    (folder / "run" / EXTENDING).touch()
    (folder / "run" / SUMMARY).rename(folder / "run" / BEFORE)
    with pytest.raises(ConfigError, match=r"holds another run, whose extension isn't finished \(--seed: 0 there, 1 here"):
        retrain(folder, *NETWORK, "--epochs=2", "--seed=1")


@pytest.mark.nightly
def test_minutes_extend_minutes(tmp_path):
    flags = ("--network=unet", "--width=2", "--workdir=run", "--preset=short")
    retrain(tmp_path, *flags, "--budget_minutes=0.01")
    before = rows(tmp_path)
    retrain(tmp_path, *flags, "--budget_minutes=0.05")
    after = rows(tmp_path)
    assert len(after) > len(before) and after[: len(before)] == before
    assert json.loads((tmp_path / "run" / SUMMARY).read_text())["flags"]["budget_minutes"] == 0.05


@pytest.mark.parametrize(
    "flags, message",
    [
        (("--epochs=1",), "holds another run, which is finished .--epochs: 2 there, 1 here"),
        (("--epochs=3", "--seed=1"), "holds another run, which is finished"),
        (("--budget_minutes=1",), "holds another run, which is finished"),
    ],
)
def test_nothing_else_extends_a_run(flags, message, folder):
    before = {path: path.stat().st_mtime_ns for path in (folder / "run").rglob("*")}
    with pytest.raises(ConfigError, match=message):
        retrain(folder, *NETWORK, *(("--epochs=2",) if "--budget_minutes=1" in flags else ()), *flags)
    assert {path: path.stat().st_mtime_ns for path in (folder / "run").rglob("*")} == before


@pytest.mark.parametrize(
    "there, here, done, longer",
    [
        ({"epochs": 2}, {"epochs": 4}, 2, {"epochs": 4}),
        ({"epochs": 2}, {"epochs": 2}, 2, {}),
        ({"epochs": None}, {"epochs": 900}, 500, {"epochs": 900}),  # the recipe's 500
        ({"epochs": None}, {"epochs": 400}, 500, {}),
        ({"epochs": 500}, {"epochs": 900}, 320, {}),  # it had ended before its time
        ({"budget_minutes": 5.0}, {"budget_minutes": 9.0}, 7, {"budget_minutes": 9.0}),
        ({"budget_minutes": 9.0}, {"budget_minutes": 5.0}, 7, {}),
        ({"budget_minutes": 5.0, "epochs": 3}, {"budget_minutes": 5.0, "epochs": 4}, 7, {}),  # epochs don't count beside minutes
        ({"budget_minutes": None, "epochs": 3}, {"budget_minutes": 5.0, "epochs": 3}, 3, {}),
        ({}, {}, None, {}),
    ],
)
def test_what_makes_a_run_longer(there, here, done, longer):
    one, other = (types.SimpleNamespace(**{"epochs": None, "budget_minutes": None} | flags) for flags in (there, here))
    assert _extension(one, other, {"epochs": done}) == longer


def test_a_run_without_checkpoints_isnt_extended(folder):
    for file in (folder / "run" / "checkpoint").iterdir():
        file.unlink()
    with pytest.raises(ConfigError, match="holds another run, which is finished"):
        retrain(folder, *NETWORK, "--epochs=3")
    with pytest.raises(Finished) as caught:
        retrain(folder, *NETWORK, "--epochs=2")
    assert "extend" not in str(caught.value)
