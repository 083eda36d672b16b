"""Selections of planted training runs in which networks with sampled recipes race."""

import collections
import csv
import json

import pytest
from planted_trainings import Clock, Planted
from test_select_genes import FLAGS

from scnas_keras.select import SelectConfig, record, report, runner, samples, trials
from scnas_keras.select.genes import INCUMBENT, PRIOR, RATE, UNIFORM
from scnas_keras.select.jobs import Job, run_job
from scnas_keras.select.scheduler import Over, Wait

DATA = {"task": "phantom", "num_phantoms": 12, "spacing": (2.0, 2.0, 2.0)} | FLAGS


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def data(cache):
    return runner.survey(SelectConfig(cache_dir=cache, **DATA))


class PlantedRecipes(Planted):
    """Worth follows from the flags that a training run has: that of its network, and what `liked` says of its recipe."""

    liked = staticmethod(lambda config: 0.0)

    def worth_of(self, name, config):
        network = {"genotype": "found_w64"}.get(config.network, config.network)
        return self.worth[network if name.startswith("tuned") else name] + self.liked(config)


@pytest.fixture
def planted(monkeypatch, data):
    found = PlantedRecipes(Clock(), data)
    monkeypatch.setattr(report, "draw_race", lambda *arguments: None)
    monkeypatch.setattr(record.time, "monotonic", found.clock)
    monkeypatch.setattr(runner, "survey", lambda config: data)
    monkeypatch.setattr(trials, "run", found)
    return found


def selection(tmp_path, cache, **flags):
    flags = DATA | {"budget_minutes": 300.0, "candidates": "nnunet,resenc_m,u_resnet", "tune": "recipe"} | flags
    return runner.run_selection(SelectConfig(cache_dir=cache, workdir=str(tmp_path / "run"), **flags))


def decided(folder):
    return record.read_decided(folder / "run")


def in_rung(planted, number):
    return [key.partition("/")[2] for key in planted.ran if key.startswith(f"rung_{number}/")]


TUNED = [f"tuned_{number}" for number in range(1, 9)]


def likes_sgd(config):
    return 0.1 * (config.optimizer == "sgd") - 0.05 * (config.loss == "focal")


def test_the_planted_best_recipe_wins_and_is_told_in_words(planted, cache, tmp_path):
    planted.liked = likes_sgd
    found = selection(tmp_path, cache)
    assert in_rung(planted, 1) == ["nnunet", "resenc_m", "u_resnet", *TUNED]
    samples = {one.name: one for one in decided(tmp_path).candidates}
    winner = samples[found.data["race_winner"]]
    assert winner.genes["optimizer"] == "sgd" and winner.name in in_rung(planted, 3)
    last = planted.configs[f"finals/{winner.name}"]
    assert (last.optimizer, last.learning_rate, last.judge_on) == ("sgd", winner.genes[RATE], "validation")
    plain = planted.configs["finals/nnunet_seed_0"]
    assert (plain.optimizer, plain.learning_rate, plain.loss, plain.ema) == (None, None, None, 0.99)  # the default recipe, of the preset
    assert f"{winner.name}: {winner.base}, " in found.text
    assert f"--flagfile={tmp_path / 'run' / 'finals' / winner.name / 'flags.cfg'} --workdir=NEW" in found.text
    for name in TUNED:
        assert f"  {samples[name].text}" in found.text
    rows = list(csv.DictReader((tmp_path / "run" / "trials.csv").open()))
    by_flags = {row["network"]: row["flags"] for row in rows}
    assert (
        by_flags["nnunet"] == "" and "--optimizer=sgd" in by_flags[winner.name] and f"--network={winner.network}" in by_flags[winner.name]
    )
    assert [one["name"] for one in json.loads((tmp_path / "run" / "select.json").read_text())["tuned"]] == TUNED
    assert any("gene_optimizer" in file.read_text() for file in (tmp_path / "run" / "kerastuner").glob("trial_*/trial.json"))


def test_samples_follow_the_best_until_then(planted, cache, tmp_path):
    planted.liked = likes_sgd
    selection(tmp_path, cache)
    own = [one for one in decided(tmp_path).candidates if one.base]
    assert collections.Counter(one.origin for one in own) == {PRIOR: 3, INCUMBENT: 3, UNIFORM: 2}
    assert next(one for one in own if one.origin == INCUMBENT).base == "resenc_m"  # the best when it was drawn
    assert all(one.base == "nnunet" for one in own if one.origin == PRIOR)


@pytest.mark.parametrize("place", ["rung_1/u_resnet", "rung_1/tuned_2", "rung_1/tuned_8", "rung_2/nnunet"])
def test_a_selection_that_goes_on_has_the_same_samples(planted, cache, tmp_path, place):
    planted.liked = likes_sgd
    whole = selection(tmp_path / "whole", cache, tune="all")
    planted.stop_at = place
    with pytest.raises(SystemExit):
        selection(tmp_path / "stopped", cache, tune="all")
    resumed = selection(tmp_path / "stopped", cache, tune="all")
    assert resumed.data["race_winner"] == whole.data["race_winner"]
    one, other = (
        [(own.name, own.text, {k: v for k, v in own.flags.items() if k != "plan"}) for own in decided(tmp_path / name).candidates]
        for name in ("whole", "stopped")
    )
    assert one == other and len(one) == 11


def test_a_sample_is_decided_before_it_is_trained(planted, cache, tmp_path):
    """So that what goes on after a kill, or another machine, trains the same: even if other results have come in the meantime."""
    planted.stop_at = "rung_1/tuned_2"
    with pytest.raises(SystemExit):
        selection(tmp_path, cache)
    before = {one.name: one for one in decided(tmp_path).candidates}
    assert before["tuned_2"].is_drawn and not before["tuned_3"].is_drawn
    planted.worth["nnunet"] = 0.9
    (tmp_path / "run" / "race" / "rung_1" / "nnunet" / "summary.json").unlink()
    selection(tmp_path, cache)
    assert {one.name: one for one in decided(tmp_path).candidates}["tuned_2"] == before["tuned_2"]


def two_at_a_time(setting, scheduler, role):
    """As two machines do, of which always the one that has trained longest ends first."""
    running = []
    while True:
        answer = scheduler.next({job.key for job in running})
        if isinstance(answer, Over):
            return answer
        if isinstance(answer, Job):
            running.append(answer)
        if len(running) == 2 or isinstance(answer, Wait):
            job = running.pop(0)
            scheduler.ended(job, run_job(job, setting.config, setting.run.path, record.read_decided(setting.run.path).candidates))


def test_places_are_filled_while_others_train(planted, cache, tmp_path, monkeypatch):
    planted.liked = likes_sgd
    monkeypatch.setattr(runner, "run_jobs", two_at_a_time)
    monkeypatch.setattr(runner, "check", lambda config: None)  # which misses the other machine
    selection(tmp_path, cache, machines=2)
    own = [one for one in decided(tmp_path).candidates if one.base]
    assert sorted(in_rung(planted, 1)) == sorted(["nnunet", "resenc_m", "u_resnet", *TUNED])
    assert len({one.text for one in own}) == len(own) == 8
    assert own[1].base == "resenc_m" and own[1].origin == INCUMBENT


def test_a_sample_whose_training_fails_drops_out(planted, cache, tmp_path):
    planted.broken["rung_1/tuned_1"] = "ended with code 2: no memory"
    found = selection(tmp_path, cache)
    assert "tuned_1 (failed)" in found.text and "tuned_1" not in in_rung(planted, 2) and "tuned_2" in in_rung(planted, 1)


def test_a_place_without_a_sample_that_fits_drops_out(planted, cache, tmp_path, monkeypatch):
    monkeypatch.setattr(samples, "free_gibibytes", lambda config: 0.0)
    found = selection(tmp_path, cache)
    assert in_rung(planted, 1) == ["nnunet", "resenc_m", "u_resnet"] and found.data["race_winner"] == "resenc_m"
    assert found.text.count("nothing else was found that can be trained") == 8


def test_a_small_budget_drops_samples_first(planted, cache, tmp_path):
    selection(tmp_path / "small", cache, budget_minutes=100.0)
    few = in_rung(planted, 1)
    assert few[:3] == ["nnunet", "resenc_m", "u_resnet"] and 3 < len(few) < 11


def test_without_tuning_nothing_is_sampled(planted, cache, tmp_path):
    planted.liked = likes_sgd
    found = selection(tmp_path, cache, tune="none")
    assert in_rung(planted, 1) == ["nnunet", "resenc_m", "u_resnet"] and found.data["tuned"] == []
    assert "sampled" not in found.text and not any(one.genes or one.flags for one in decided(tmp_path).candidates)
