"""A selection from beginning to end with planted training runs: what runs, what is decided, and that it goes on where it was stopped."""

import csv
import dataclasses
import json
import pathlib
import re
import types

import pytest
from planted_trainings import Clock, Planted
from some_spaces import uniform_genotype

from scnas_keras.errors import ConfigError, OutputError
from scnas_keras.retrain import RetrainConfig
from scnas_keras.runs.run_folder import RunFolder, is_busy
from scnas_keras.select import SelectConfig, pool, record, report, runner, scheduler, setting, trials
from scnas_keras.select.job_flags import search_config
from scnas_keras.select.jobs import TrainingFailed
from scnas_keras.select.pool import handmade
from scnas_keras.select.race import Trial


@pytest.fixture
def planted(monkeypatch, data, request):
    """But for the test of the whole without the figure, and without matching a random network's cost."""
    clock = Clock()
    found = Planted(clock, data)
    if request.function is not test_from_search_to_kept_network:
        monkeypatch.setattr(report, "draw_race", lambda *arguments: None)
        monkeypatch.setattr(pool, "matched_genotypes", lambda *arguments: [uniform_genotype("max_pool_3")])
    monkeypatch.setattr(record.time, "monotonic", clock)
    monkeypatch.setattr(runner, "survey", lambda config: data)
    monkeypatch.setattr(trials, "run", found)
    return found


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    config = SelectConfig(task="phantom", num_phantoms=12, cache_dir=str(tmp_path_factory.mktemp("cache")), spacing=(2.0, 2.0, 2.0))
    return runner.survey(config)


def selection(tmp_path, **flags):
    flags = {"budget_minutes": 200.0, "candidates": "found,random,nnunet,resenc_m,u_resnet"} | flags
    return runner.run_selection(SelectConfig(task="phantom", workdir=str(tmp_path / "run"), **flags))


def test_from_search_to_kept_network(planted, tmp_path):
    found = selection(tmp_path)
    assert planted.ran[0] == "run/search"
    first = [key for key in planted.ran if key.startswith("rung_1")]
    assert first == [f"rung_1/{name}" for name in ("nnunet", "found_w64", "resenc_m", "random_w64", "u_resnet", "found_w128")]
    assert planted.ran[-3:] == ["finals/found_w64", "finals/nnunet_seed_0", "finals/nnunet_seed_1"]
    assert found.data["race_winner"] == "found_w64" and found.data["kept"] == "found_w64"
    assert (tmp_path / "run" / "model.keras").read_text() == "weights of finals/found_w64"
    assert "too few to tell" in found.text  # 12 phantoms
    assert "found_w64 ranks 1 of 2 beside 1 random" in found.text and "alphas on the held-out scans" in found.text
    rows = list(csv.DictReader((tmp_path / "run" / "trials.csv").open()))
    assert len(rows) == len(planted.ran) - 1
    assert {row["stage"] for row in rows} == {"rung 1", "rung 2", "rung 3", "final"}
    finals = [("found_w64", "0", "True"), ("nnunet", "0", "False"), ("nnunet", "1", "False")]
    assert [(row["network"], row["seed"], row["kept"]) for row in rows[-3:]] == finals
    minutes = [planted.configs[f"rung_1/{row['network']}"].budget_minutes for row in rows[:6]]
    assert [float(row["seconds"]) for row in rows[:6]] == pytest.approx([60 * own for own in minutes], abs=0.06)
    for name in ("select.txt", "select.json", "cases.csv", "race.png", "summary.json", "race.json"):
        assert (tmp_path / "run" / name).stat().st_size


def test_the_budget_is_kept(planted, tmp_path):
    begun = planted.clock.now
    for minutes, overhead in ((7, 20.0), (40, 5.0), (200, 60.0)):
        planted.overhead = overhead
        selection(tmp_path / str(minutes), budget_minutes=float(minutes))
        gone, begun = planted.clock.now - begun, planted.clock.now
        assert 0.85 * 60 * minutes < gone < 1.1 * 60 * minutes


def test_a_network_that_is_slow_to_start_takes_its_own_time_only(planted, tmp_path):
    """Of three finals one is slow; were all three planned so, six minutes of forty would be left over."""
    planted.slower["found_w64"] = 90.0
    begun = planted.clock.now
    found = selection(tmp_path, budget_minutes=40.0)
    assert found.data["race_winner"] == "found_w64"
    assert 37.5 * 60 < planted.clock.now - begun < 41.5 * 60


def test_only_finals_see_validation_cases_and_all_train_on_the_same(planted, tmp_path, monkeypatch):
    seen = []

    def watch(command, config, *rest):
        seen.append((command, pathlib.Path(config.workdir).parts[-3:], config.judge_on, config.fold, config.splits, config.num_folds))
        return planted(command, config, *rest)

    monkeypatch.setattr(trials, "run", watch)
    selection(tmp_path)
    for command, place, judged, fold, splits, folds in seen:
        assert judged == ("validation" if "finals" in place else "held_out")
        assert (str(fold), splits, folds) == ("0", None, 5), (command, place)


def test_a_default_that_wins_is_trained_once_in_all_the_time_that_is_left(planted, tmp_path):
    compared = selection(tmp_path / "compared").data
    planted.ran.clear()
    planted.worth["nnunet"] = 0.9
    found = selection(tmp_path / "alone")
    assert [key for key in planted.ran if key.startswith("finals")] == ["finals/nnunet_seed_0"]
    (three, *_), (one,) = ([row["seconds"] for row in data["trials"] if row["stage"] == "final"] for data in (compared, found.data))
    assert one > 2.9 * three
    assert found.data["contest"] is None and found.data["kept"] == "nnunet_seed_0"
    assert "Nothing beat nnunet" in found.text


def test_where_all_others_fail_nothing_raced(planted, tmp_path):
    for entrant in planted.worth.keys() - {"nnunet"}:
        planted.broken[f"rung_1/{entrant}"] = "ended with code 2: too little memory"
    found = selection(tmp_path)
    assert found.data["kept"] == "nnunet_seed_0" and "beat" not in found.text
    assert "Nothing raced against nnunet, which is no comparison" in found.text


@pytest.mark.parametrize("place", ["run/search", "rung_1/nnunet", "rung_1/resenc_m", "rung_2/nnunet", "finals/nnunet_seed_0"])
def test_an_interrupted_selection_ends_with_the_same_decisions(planted, tmp_path, place):
    whole = selection(tmp_path / "whole")
    planted.stop_at = place
    ran = len(planted.ran)
    with pytest.raises(SystemExit):
        selection(tmp_path / "stopped")
    planted.clock.now += 1e6  # a week later
    resumed = selection(tmp_path / "stopped")
    again = planted.ran[ran:]
    assert again.count(place) == 2 and all(again.count(key) == 1 for key in {*again} - {place})
    assert [row["network"] for row in resumed.data["trials"]] == [row["network"] for row in whole.data["trials"]]
    assert (resumed.data["race_winner"], resumed.data["kept"]) == (whole.data["race_winner"], whole.data["kept"])
    assert resumed.data["spent_seconds"] < 1.1 * 200 * 60


def test_a_candidate_that_fails_drops_out_and_is_named(planted, tmp_path):
    planted.broken["rung_1/found_w64"] = "ended with code 2: too little memory"
    found = selection(tmp_path)
    assert found.data["race_winner"] == "resenc_m"
    assert "found_w64 (failed)" in found.text and "too little memory" in found.text
    assert "rung_2/found_w64" not in planted.ran


def test_a_search_that_fails_leaves_the_hand_made_networks(planted, tmp_path):
    planted.broken["run/search"] = "ended with code 2: no memory"
    found = selection(tmp_path)
    assert found.data["race_winner"] == "resenc_m" and not any("found" in key for key in planted.ran)
    with pytest.raises(ConfigError, match="finished"):
        selection(tmp_path)


def test_a_default_that_fails_ends_it(planted, tmp_path):
    planted.broken["rung_1/nnunet"] = "ended with code 2: too little memory"
    with pytest.raises(TrainingFailed, match="too little memory"):
        selection(tmp_path)
    del planted.broken["rung_1/nnunet"]
    assert selection(tmp_path).data["race_winner"] == "found_w64"  # nothing counts it as failed once that is fixed


def test_training_runs_without_what_was_decided_are_refused(planted, tmp_path):
    planted.stop_at = "rung_2/nnunet"
    with pytest.raises(SystemExit):
        selection(tmp_path)
    (tmp_path / "run" / "race.json").unlink()
    with pytest.raises(ConfigError, match="race.json is gone, .*search holds some already. Restore it"):
        selection(tmp_path)


@pytest.mark.parametrize("place", ["race/rung_1/nnunet", "race/rung_2/resenc_m", "finals/nnunet_seed_1"])
def test_a_table_that_lacks_scans_is_refused(planted, tmp_path, place):
    selection(tmp_path)
    (tmp_path / "run" / "summary.json").unlink()
    table = tmp_path / "run" / place / "validation.csv"
    table.write_text("".join(table.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(ConfigError, match=rf"{place}/validation.csv: isn't of the . scans that judge it \(phantom_.*delete .*{place} to"):
        selection(tmp_path)


def test_a_network_that_is_gone_is_told(planted, tmp_path):
    selection(tmp_path)
    (tmp_path / "run" / "summary.json").unlink()
    (tmp_path / "run" / "finals" / "found_w64" / "model.keras").unlink()
    with pytest.raises(ConfigError, match="finals/found_w64/model.keras is gone. Restore it from a copy, or delete"):
        selection(tmp_path)


def test_a_failure_is_told_without_a_traceback(planted, tmp_path, capfd):
    planted.broken["rung_1/found_w64"] = "ended with code 2: too little memory"
    selection(tmp_path)
    assert "Traceback" not in "".join(capfd.readouterr())


def test_a_full_disk_is_no_candidates_failure(planted, tmp_path):
    planted.broken["rung_1/resenc_m"] = OutputError("disk full")
    with pytest.raises(OutputError):
        selection(tmp_path)
    assert json.loads((tmp_path / "run" / "race.json").read_text())["failed"] == {}
    assert selection(tmp_path).data["race_winner"] == "found_w64"


def test_trainings_of_few_updates_are_refused_with_figures(planted, tmp_path):
    planted.updates = 5
    for _ in range(2):  # the same command doesn't go on as if nothing had been said
        with pytest.raises(ConfigError, match=r"made 5 updates, of .* s each.*--budget_minutes="):
            selection(tmp_path)


def test_twenty_updates_are_enough(planted, tmp_path):
    planted.updates = 20
    assert selection(tmp_path).data["kept"] == "found_w64"


def test_the_advised_budget_is_enough(planted, tmp_path):
    """More time lets more race, for shorter times each."""
    planted.step = 12.0
    with pytest.raises(ConfigError, match="no two networks can be told apart") as caught:
        selection(tmp_path, budget_minutes=40.0)
    advised = float(re.search(r"--budget_minutes=(\d+)", str(caught.value))[1])
    assert selection(tmp_path / "longer", budget_minutes=advised).data["kept"]


def test_a_default_network_that_doesnt_fit_is_refused_before_anything_runs(planted, tmp_path, monkeypatch):
    monkeypatch.setattr(pool, "available_memory", lambda: 2**28)
    with pytest.raises(ConfigError, match="nnunet, which the others are compared with, takes about .* GiB to train.*0.2 GiB are free"):
        selection(tmp_path)
    assert not planted.ran


def test_the_default_network_races_though_memory_has_gone_meanwhile(planted, tmp_path, monkeypatch):
    planted.stop_at = "run/search"
    with pytest.raises(SystemExit):
        selection(tmp_path)
    monkeypatch.setattr(pool, "available_memory", lambda: 2**28)
    assert selection(tmp_path).data["kept"] == "nnunet_seed_0"


def test_memory_counts_a_slice_of_the_batch_and_is_asked_of_the_machine_that_trains(data, monkeypatch):
    assert [pool.in_memory(8, SelectConfig(accumulate=slices)) for slices in (1, 3, 4)] == [8, 3, 2]
    monkeypatch.setattr(pool, "available_memory", lambda: 2**20)
    assert not pool.fits(handmade("nnunet"), data, SelectConfig())
    assert pool.fits(handmade("nnunet"), data, SelectConfig(machines=2))


def test_a_class_is_compared_in_the_finals_too(planted, tmp_path):
    assert "points of Dice of core above nnunet" in selection(tmp_path, objective="core").text


def test_surfaces_may_be_what_counts(planted, tmp_path):
    """Planted networks that are better by Dice are worse by NSD."""
    found = selection(tmp_path / "nsd", objective="nsd", tolerance_mm=2.0)
    assert found.data["race_winner"] == "random_w64" and "points of NSD above nnunet" in found.text
    assert "NSD at 2 mm" in found.text and "by NSD" in found.text
    assert all(config.surfaces and config.tolerance_mm == 2.0 for config in planted.configs.values() if hasattr(config, "surfaces"))
    final = next(row for row in found.data["trials"] if row["stage"] == "final" and row["network"] == "random_w64")
    assert final["score"] == pytest.approx(1.2 - planted.worth["random_w64"])
    with open(tmp_path / "nsd" / "run" / "cases.csv") as stream:
        first = next(csv.DictReader(stream))
    assert float(first["core NSD"]) == pytest.approx(1.2 - planted.worth["random_w64"], abs=0.01) and float(first["shell HD95 mm"]) == 2.0


def test_surfaces_are_measured_where_they_are_shown(planted, tmp_path):
    selection(tmp_path)
    measured = {key: config.surfaces for key, config in planted.configs.items()}
    assert {surfaces for key, surfaces in measured.items() if key.startswith("rung") and not key.endswith("/nnunet")} == {False}
    assert {surfaces for key, surfaces in measured.items() if key.startswith("finals")} == {True}
    assert "NSD at 1 mm" in selection(tmp_path / "other").text
    assert "NSD" not in selection(tmp_path / "none", surfaces=False).text


def test_the_time_for_surfaces_is_planned(planted, tmp_path):
    """A minute a scan in the finals, which have more scans; seen in the default network's first training run."""
    planted.surfaces = 60.0
    began = planted.clock.now
    found = selection(tmp_path)
    assert len([key for key in planted.ran if key.startswith("finals")]) == 3
    assert planted.clock.now - began < 1.02 * 200 * 60 and "instead of" not in found.text


def test_a_dear_start_lets_fewer_race(planted, tmp_path):
    planted.overhead = 300.0
    selection(tmp_path)
    assert len([key for key in planted.ran if key.startswith("rung_1")]) < 6


def test_a_selection_that_took_longer_than_asked_says_so(planted, tmp_path):
    assert "instead of" not in selection(tmp_path / "quick", budget_minutes=5.0).text
    planted.overhead = 200.0
    assert "instead of 5:00, since training runs start" in selection(tmp_path / "late", budget_minutes=5.0).text


def test_without_time_for_a_race_the_default_is_trained(planted, tmp_path):
    found = selection(tmp_path, budget_minutes=5.0)
    assert planted.ran == ["finals/nnunet_seed_0"]
    assert found.text.startswith("No race") and "Nothing raced against nnunet, which is no comparison" in found.text
    assert "beat" not in found.text


def test_one_class_may_be_what_counts(planted, tmp_path):
    assert selection(tmp_path, objective="shell").data["race_winner"] == "random_w64"


@pytest.mark.parametrize(
    "flags, message",
    [
        ({"budget_minutes": None}, "Say how long"),
        ({"hours": 1.0}, "the same"),
        ({"budget_minutes": 1.0}, "too little"),
        ({"budget_minutes": -5.0}, "above 0"),
        ({"candidates": "found,alexnet"}, "expected some of found"),
        ({"candidates": "found,found"}, "once each"),
        ({"searches": "nowhere"}, "holds no finished search"),
        ({"learning_rate": -1.0}, "above 0"),
        ({"objective": "nsd", "surfaces": False}, "--surfaces=false doesn't measure"),
    ],
)
def test_bad_flags_are_refused_before_anything_runs(planted, tmp_path, flags, message):
    with pytest.raises(ConfigError, match=message):
        selection(tmp_path, **flags)
    assert not planted.ran and not (tmp_path / "run" / "race.json").exists()


@pytest.mark.parametrize(
    "change, message",
    [
        ({"task": "Other"}, "search of the task Other"),
        ({"judged_on": "validation"}, "looked at the validation cases"),
        ({"cases": {"train": [], "held_out": [], "validation": []}}, "had other cases"),
    ],
)
def test_searches_that_saw_something_else_are_refused(planted, data, tmp_path, change, message):
    cases = {part: list(getattr(data.split, part)) for part in ("train", "held_out", "validation")}
    result = {"task": data.task, "cases": cases, "judged_on": "held_out", "mean_edge_entropy": 0.5}
    uniform_genotype("conv_3").save(tmp_path / "genotype.json")
    (tmp_path / "summary.json").write_text(json.dumps({"result": result}))
    assert "found_w64" in str(selection(tmp_path / "good", searches=str(tmp_path)).data["trials"])
    planted.ran.clear()
    (tmp_path / "summary.json").write_text(json.dumps({"result": result | change}))
    with pytest.raises(ConfigError, match=message):
        selection(tmp_path, searches=str(tmp_path))
    assert not planted.ran


def test_the_time_a_process_was_away_is_not_counted(planted, tmp_path):
    first = record.Record(tmp_path, planted.clock.now)
    planted.clock.now += 30
    first.decide()
    planted.clock.now += 1000
    second = record.Record(tmp_path, planted.clock.now)
    assert second.spent == pytest.approx(30)
    assert dataclasses.replace(second.decided, spent=0, version="") == record.Decided()


def test_a_damaged_record_is_named(planted, tmp_path):
    (tmp_path / "race.json").write_text('{"spent": "long"}')
    with pytest.raises(ConfigError, match=r"race.json.*spent"):
        record.Record(tmp_path, 0.0)


def test_a_setting_that_is_assumed_gives_way_to_what_was_measured(planted, data, tmp_path):
    own = setting.Setting(
        SelectConfig(budget_minutes=10.0), RunFolder(tmp_path, None, 0.0), data, record.Record(tmp_path, planted.clock.now)
    )
    assert own.overhead.trial == setting.STARTING
    own.record.decide(overhead={"rung_1/nnunet": 61.0})
    assert own.overhead.trial == 61.0 and own.overhead.final >= 61.0
    own.record.decide(overhead={"rung_1/nnunet": 61.0, "rung_2/nnunet": 63.0, "rung_1/unet": 90.0})
    found = [own.overhead_of(names).trial for names in ((), {"nnunet"}, {"nnunet", "unet"}, {"resenc_m"})]
    assert found == [90.0, 63.0, 90.0, 90.0]


def test_a_folder_in_which_a_process_still_runs_is_waited_for(planted, tmp_path, monkeypatch):
    monkeypatch.undo()
    held = RunFolder(tmp_path, None, 0.0)
    held.lock()
    slept = []

    def sleep(seconds):
        slept.append(seconds)
        held._lock.close()

    monkeypatch.setattr(trials.time, "sleep", sleep)
    assert is_busy(tmp_path)
    trials.wait_for(tmp_path)
    assert len(slept) == 1 and not is_busy(tmp_path) and not is_busy(tmp_path / "nothing")


def test_the_defaults_seeds_are_two_and_both_count(planted, tmp_path):
    found = selection(tmp_path)
    own = planted.configs
    assert [own[f"finals/{name}"].seed for name in ("found_w64", "nnunet_seed_0", "nnunet_seed_1")] == [0, 0, 1]
    assert found.data["contest"]["noise"] == pytest.approx(0.001)  # a planted training's Dice grows by that with its seed
    for key, config in own.items():  # a network is as wide as its name says
        assert "_w" not in key or config.width == key.rpartition("_w")[2]


@pytest.mark.parametrize("better", [0, 1])
def test_of_the_defaults_seeds_the_better_is_kept(planted, tmp_path, better):
    """The winner of the race falls behind in the finals."""

    def worth(name, config):
        default = 0.75 + (0.01 if config.seed == better else 0.0)
        return default if name == "nnunet" else 0.6 if config.judge_on == "validation" else 0.9

    planted.worth_of = worth
    found = selection(tmp_path)
    assert found.data["race_winner"] != "nnunet" and found.data["kept"] == f"nnunet_seed_{better}"
    assert f"Of its two seeds the better on these scans is kept, nnunet_seed_{better}" in found.text
    assert (tmp_path / "run" / "model.keras").read_text() == f"weights of finals/nnunet_seed_{better}"
    kept = [row for row in found.data["trials"] if row["kept"]]
    assert [(row["stage"], row["network"], row["seed"]) for row in kept] == [("final", "nnunet", better)]


def test_finals_that_train_for_less_than_the_race_are_told(planted, tmp_path, caplog):
    assert "less than the last rung" not in selection(tmp_path / "quiet", budget_minutes=20.0).text + caplog.text
    late, ran = planted.__call__, planted.ran

    def run(command, config, title, expected):
        if "rung" in config.workdir:  # each trial of the race starts two minutes late
            planted.clock.now += 120.0
        return late(command, config, title, expected)

    trials.run = run  # the fixture puts it back
    ran.clear()
    text = selection(tmp_path / "busy", budget_minutes=14.0, candidates="nnunet,resenc_m").text
    assert [key for key in ran if key.startswith("finals")] == ["finals/resenc_m", "finals/nnunet_seed_0", "finals/nnunet_seed_1"]
    assert "less than the last rung of the race" in text and "the finals train for less than the last rung of the race" in caplog.text


@pytest.mark.parametrize(
    "paces, told",
    [
        ({}, None),
        ({"rung_3/nnunet": 0.8}, "1.0 times of found_w64, 1.6 times of nnunet"),
        ({"rung_3/nnunet": 0.6}, None),
        ({"rung_3/nnunet": 0.3}, "0.6 times of nnunet"),
    ],
)
def test_a_machine_that_was_slower_for_one_network_in_the_race_is_told(planted, tmp_path, paces, told):
    planted.paces = paces
    text = selection(tmp_path).text
    assert ("Other programs used the machine" in text) == bool(told) and (told is None or told in text)


def test_all_trainings_are_of_the_fold_that_was_asked_for(planted, tmp_path):
    selection(tmp_path, fold=2)
    assert {config.fold for config in planted.configs.values()} == {"2"}
    assert search_config(SelectConfig(task="phantom", fold=2), tmp_path / "search", 60.0).fold == 2


def test_the_race_has_its_share_after_the_search_and_equals_are_told_by_cost(planted, tmp_path):
    selection(tmp_path)
    decided = record.read_decided(tmp_path / "run")
    assert decided.race_until == pytest.approx(1200 + 0.3 * (12000 - 1200), rel=0.02)  # a tenth of 200 minutes is the search's
    results = {Trial(0, "nnunet"): types.SimpleNamespace(multiply_adds=5), Trial(0, "unet"): None}
    assert [one.cost for one in scheduler._race([handmade("nnunet"), handmade("unet")], results).entrants] == [5.0, 0.0]


def test_finals_validate_longer_the_more_scans_there_are(planted, data, tmp_path):
    """By what a scan takes, as soon as that is known: the start takes what it took."""
    own = setting.Setting(
        SelectConfig(budget_minutes=10.0), RunFolder(tmp_path, None, 0.0), data, record.Record(tmp_path, planted.clock.now)
    )
    own.record.decide(overhead={"rung_1/nnunet": 60.0})
    more = len(data.split.validation) - len(data.split.held_out)
    assert more > 0 and own.overhead.final == pytest.approx(60.0 * len(data.split.validation) / len(data.split.held_out))
    planted(
        "retrain", RetrainConfig(workdir=str(tmp_path / "race" / "rung_1" / "nnunet"), budget_minutes=1.0, judge_on="held_out"), "", 0.0
    )
    assert own.overhead.final == pytest.approx(60.0 + 2.0 * more)
    own.record.decide(overhead={"rung_1/nnunet": 60.0, "finals/unet": 90.0})
    assert own.overhead_of({"unet"}).final == 90.0
