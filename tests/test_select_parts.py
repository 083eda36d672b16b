"""Small parts of a selection by themselves: paces, patients, axes."""

import dataclasses
import types

import pytest

from scnas_keras.retrain import RetrainConfig
from scnas_keras.runs.run_folder import open_run
from scnas_keras.select import SelectConfig, finals, survey, trials, tuning


def test_a_pace_is_that_of_the_first_machine():
    """One scan in 3 s on a machine that is three times as slow is one in a second."""
    decided = types.SimpleNamespace(ran_on={"finals/found": "slow"}, machines={"fast": 0.2, "slow": 0.6})
    setting = types.SimpleNamespace(record=types.SimpleNamespace(decided=decided))
    trained = {"found": types.SimpleNamespace(seconds_per_scan=3.0)}
    assert finals._pace(setting, finals.Final("found", 0), trained) == pytest.approx(1.0)


def test_patients_are_those_of_the_pattern(monkeypatch):
    cases = [types.SimpleNamespace(name=name) for name in ("p1_a", "p1_b", "p2_a")]
    fold = types.SimpleNamespace(task=types.SimpleNamespace(cases=cases, labels={0: "background", 1: "core"}))
    monkeypatch.setattr(survey, "open_fold", lambda *arguments, **flags: fold)
    found = survey.survey(SelectConfig(group_pattern=r"p\d"))
    assert found.patients == {"p1_a": "p1", "p1_b": "p1", "p2_a": "p2"}


def test_a_patch_of_a_sample_is_along_x_y_z():
    plans = types.SimpleNamespace(transpose_forward=(1, 2, 0))  # y, z, x
    own = types.SimpleNamespace(survey=types.SimpleNamespace(fold=types.SimpleNamespace(plans=plans)))
    assert tuning.Tuning._along_xyz(own, (24, 32, 16)) == (16, 24, 32)


@pytest.mark.parametrize("minutes, left", [(1.0, True), (1.64, False)])
def test_what_a_faster_machine_had_begun_begins_anew(minutes, left, tmp_path, monkeypatch):
    """It was to last otherwise; on an equal machine it goes on."""
    config = RetrainConfig(workdir=str(tmp_path / "unet"), budget_minutes=1.0)
    begun = open_run(config.workdir, config)
    begun.begin(config)
    begun.release()
    monkeypatch.setattr(trials, "run_child", lambda *arguments: seen.append(begun["flags.cfg"].is_file()))
    seen = []
    trials.run("retrain", dataclasses.replace(config, budget_minutes=minutes), "unet", 1.0)
    assert seen == [left]
