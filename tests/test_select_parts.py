"""Small parts of a selection by themselves: paces, patients, axes."""

import dataclasses
import signal
import time
import types

import pytest
from some_spaces import uniform_genotype

from scnas_keras import select
from scnas_keras.errors import ConfigError, OutputError
from scnas_keras.retrain import RetrainConfig
from scnas_keras.runs import child, run_folder
from scnas_keras.runs.run_folder import open_run
from scnas_keras.select import SelectConfig, checks, conclusions, finals, pool, samples, scheduler, survey, trials
from scnas_keras.select.budget import Overhead
from scnas_keras.select.race import Trial
from scnas_keras.select.record import Record
from scnas_keras.spaces import genotype_history
from scnas_keras.spaces.genotype import Genotype


def test_a_pace_is_that_of_the_first_machine():
    """One scan in 3 s on a machine that is three times as slow is one in a second."""
    decided = types.SimpleNamespace(ran_on={"finals/found": "slow"}, machines={"fast": 0.2, "slow": 0.6})
    setting = types.SimpleNamespace(record=types.SimpleNamespace(decided=decided))
    trained = {"found": types.SimpleNamespace(seconds_per_scan=3.0)}
    assert finals._pace(setting, finals.Final("found", 0), trained) == pytest.approx(1.0)


def test_a_scan_takes_as_long_as_on_the_mean_of_the_defaults_seeds():
    setting = types.SimpleNamespace(record=types.SimpleNamespace(decided=types.SimpleNamespace(ran_on={}, machines={})))
    paces = {"found": 3.0, "nnunet_seed_0": 1.0, "nnunet_seed_1": 2.0}
    trained = {label: types.SimpleNamespace(seconds_per_scan=pace) for label, pace in paces.items()}
    assert finals._time(setting, "found", trained) == pytest.approx(2.0)
    trained["found"].seconds_per_scan = None
    assert finals._time(setting, "found", trained) is None


@pytest.mark.parametrize("random, rank", [((0.4, 0.9), 1), ((0.6, 0.1), 2)])
def test_the_rank_of_the_found_network_is_that_of_the_first_rung(random, rank):
    """In later rungs trials are longer, and not all are there."""

    def trained(dice):
        return types.SimpleNamespace(score=lambda objective: dice)

    results = {Trial(0, "found_w64"): trained(0.5), Trial(0, "random_w64"): trained(random[0]), Trial(1, "random_w64"): trained(random[1])}
    setting = types.SimpleNamespace(config=types.SimpleNamespace(objective="dice"))
    found = conclusions.search_rank(setting, types.SimpleNamespace(results=results))
    assert (found["rank"], found["of"]) == (rank, 2)


def test_a_record_counts_from_the_start_of_the_process(tmp_path):
    record = Record(tmp_path, time.monotonic() - 50.0)
    assert 50.0 <= record.spent < 60.0
    record.decide()
    assert 80.0 <= Record(tmp_path, time.monotonic() - 30.0).spent < 90.0


def test_a_machine_takes_a_training_run_whose_folder_is_idle(monkeypatch, tmp_path):
    """As one whose chief began anew does, while another still trains the first."""
    own = scheduler.Scheduler(types.SimpleNamespace(run=types.SimpleNamespace(path=tmp_path)), ())
    choices = [("first", "rung_1/first"), ("second", "rung_1/second")]
    monkeypatch.setattr(scheduler, "is_busy", lambda folder: folder.name == "first")
    assert own._free("race", choices, ()) == "second" and own._free("race", choices, {"rung_1/second"}) == "first"
    assert own._free("race", choices, {key for _, key in choices}) is None


@pytest.mark.parametrize("busy, kept", [((), 2), ({"rung_1/unet"}, 3)])
def test_what_runs_already_isnt_left_out_for_lack_of_time(busy, kept, tmp_path):
    candidates = tuple(pool.handmade(name) for name in ("nnunet", "resenc_m", "unet"))
    decided = types.SimpleNamespace(race_until=300.0, rungs=(10.0,))
    record = types.SimpleNamespace(decided=decided, spent=50.0, decide=lambda **changes: vars(decided).update(changes))
    setting = types.SimpleNamespace(record=record, overhead=Overhead(90.0, 90.0), machines=1, key=lambda trial: f"rung_1/{trial.name}")
    setting.folder = lambda trial: tmp_path / trial.name
    scheduler.Scheduler(setting, ())._look_at_first(None, candidates, busy)
    assert len(decided.candidates) == kept and decided.first_seen


@pytest.mark.parametrize("machines, seconds", [(1, 880 / 3 - 50), (2, 880 / 2 - 90)])
def test_finals_side_by_side_take_as_long_as_the_slowest(machines, seconds, tmp_path):
    decided = types.SimpleNamespace(final=None, rungs=())
    record = types.SimpleNamespace(decided=decided, spent=100.0, decide=lambda **changes: vars(decided).update(changes))
    run, config = types.SimpleNamespace(path=tmp_path), types.SimpleNamespace(seed=0)
    setting = types.SimpleNamespace(record=record, total=1000.0, machines=machines, run=run, config=config)
    setting.overhead_of = lambda networks: Overhead(0.0, 90.0 if "found" in networks else 30.0)
    job = scheduler.Scheduler(setting, ())._final(scheduler.Ended(None, {}, "found"), ())
    assert job.network == "found" and job.seconds == decided.final == pytest.approx(seconds, abs=0.06)


def test_random_networks_of_two_searches_are_two(tmp_path, monkeypatch):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        uniform_genotype("conv_3").save(tmp_path / name / "genotype.json")
    seeds = []
    monkeypatch.setattr(pool, "matched_genotypes", lambda tables, genotype, count, seed: seeds.append(seed) or [genotype])
    data = types.SimpleNamespace(patch_size=(32, 32, 32), spacing=(1.0, 1.0, 1.0), channels=1, classes=["core"])
    names = [one.name for one in pool.pool(("random",), [tmp_path / "one", tmp_path / "two"], tmp_path / "genotypes", data, 7)]
    assert names == ["nnunet", "random_1_w64", "random_2_w64"] and len(set(seeds)) == 2


def test_patients_are_those_of_the_pattern(monkeypatch):
    cases = [types.SimpleNamespace(name=name) for name in ("p1_a", "p1_b", "p2_a")]
    fold = types.SimpleNamespace(task=types.SimpleNamespace(cases=cases, labels={0: "background", 1: "core"}))
    monkeypatch.setattr(survey, "open_fold", lambda *arguments, **flags: fold)
    found = survey.survey(SelectConfig(group_pattern=r"p\d"))
    assert found.patients == {"p1_a": "p1", "p1_b": "p1", "p2_a": "p2"}


@pytest.mark.parametrize("flags, message", [({}, "Say how long"), ({"hours": 1.0, "candidates": "alexnet"}, "expected some of found")])
def test_wrong_flags_are_told_before_a_framework_is_loaded(flags, message, monkeypatch, tmp_path):
    monkeypatch.setattr(select, "load_tensorflow", lambda: pytest.fail("loaded"))
    with pytest.raises(ConfigError, match=message):
        select.main(SelectConfig(task="phantom", workdir=str(tmp_path / "run"), **flags))


def test_earlier_networks_of_a_search_race_last_and_each_once(tmp_path):
    """Epochs 4 and 2 of 6; of a search that found the same throughout, none."""
    kinds = {
        "changing": ("conv_3", "conv_3", "dilated_conv_3_rate_2", "dilated_conv_3_rate_2", "average_pool_3", "conv_3"),
        "settled": ("conv_3",) * 6,
    }
    for name, found in kinds.items():
        for epoch, own in enumerate(found, start=1):
            genotype_history.record(tmp_path / name / genotype_history.FILE, epoch, uniform_genotype(own))
        uniform_genotype(found[-1]).save(tmp_path / name / "genotype.json")
    data = types.SimpleNamespace(patch_size=(32, 32, 32))
    searches = [tmp_path / name for name in kinds]
    names = [one.name for one in pool.pool(("found", "nnunet"), searches, tmp_path / "genotypes", data, 0)]
    assert names == ["nnunet", "found_1_w64", "found_2_w64", "found_1_w128", "found_2_w128", "found_1_epoch_4_w64"]
    early = Genotype.load(tmp_path / "genotypes" / "found_1_epoch_4.json")
    assert early.cells == uniform_genotype("dilated_conv_3_rate_2").cells


def test_a_patch_of_a_sample_is_along_x_y_z():
    plans = types.SimpleNamespace(transpose_forward=(1, 2, 0))  # y, z, x
    own = types.SimpleNamespace(survey=types.SimpleNamespace(fold=types.SimpleNamespace(plans=plans)))
    assert samples.Sampler._along_xyz(own, (24, 32, 16)) == (16, 24, 32)


@pytest.mark.parametrize("code, ends", [(0, 143), (143, 143), (-15, 143), (-9, 143), (70, 143), (74, None)])
def test_a_child_that_could_not_write_when_it_was_stopped_says_so(code, ends, monkeypatch):
    def wait(process, interruption, watch):
        interruption.asked = signal.SIGTERM
        return code

    monkeypatch.setattr(child, "_wait", wait)
    monkeypatch.setattr(child.subprocess, "Popen", lambda *words, **options: None)
    if ends is None:
        assert child.run_child("retrain", RetrainConfig()) == code
        return
    with pytest.raises(SystemExit) as caught:
        child.run_child("retrain", RetrainConfig())
    assert caught.value.code == ends


def test_a_file_that_a_child_cant_write_is_no_candidates_failure(tmp_path, monkeypatch):
    config = RetrainConfig(workdir=str(tmp_path / "unet"), budget_minutes=1.0)

    def full(command, config, output, watch):
        output.write(b"error: no room left\n")
        return 74

    monkeypatch.setattr(trials, "run_child", full)
    with pytest.raises(OutputError, match=r"^no room left \(from .*unet.log\)"):
        trials.run("retrain", config, "unet", 1.0)


@pytest.mark.parametrize(
    "codes, last, told",
    [
        ([-9, 0], "epoch 3", None),
        ([-9, -9], "error: no memory", "ended with code -9 (it was killed: often for lack of memory): no memory"),
        ([2], "epoch 3", "ended with code 2"),
        ([2], "error: too wide", "ended with code 2: too wide"),
    ],
)
def test_a_killed_process_goes_on_once_and_a_reason_is_an_error(codes, last, told, tmp_path, monkeypatch):
    folder, left = tmp_path / "unet", list(codes)

    def end(command, config, output, watch):
        output.write(f"{last}\n".encode())
        output.flush()
        folder.mkdir(exist_ok=True)
        if not left[0]:
            (folder / "summary.json").write_text("{}")
        return left.pop(0)

    monkeypatch.setattr(trials, "run_child", end)
    failure = trials.run("retrain", RetrainConfig(workdir=str(folder), budget_minutes=1.0), "unet", 1.0)
    assert not left and (failure and failure.reason) == told


@pytest.mark.parametrize("content, left", [(None, True), (b"cut off", False)])
def test_a_training_run_whose_checkpoints_are_damaged_begins_anew(content, left, tmp_path, monkeypatch):
    config = RetrainConfig(workdir=str(tmp_path / "unet"), budget_minutes=1.0)
    begun = open_run(config.workdir, config)
    begun.begin(config)
    begun.release()
    if content:
        begun["checkpoint"].mkdir()
        begun["checkpoint/last-000000010.ckpt"].write_bytes(content)
    seen = []
    monkeypatch.setattr(trials, "run_child", lambda *arguments: seen.append(begun["flags.cfg"].is_file()))
    trials.run("retrain", config, "unet", 1.0)
    assert seen == [left]


@pytest.mark.parametrize(
    "flags, message",
    [
        ({"machines": 2}, "--machines=2: this process is told of no others. Set KERASTUNER_TUNER_ID"),
        ({"searches": ","}, "--searches=,: a name"),
    ],
)
def test_machines_and_searches_that_are_none_are_refused(flags, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        checks.check(SelectConfig(task="phantom", workdir=str(tmp_path / "run"), hours=1.0, **flags))


@pytest.mark.parametrize("minutes, left", [(1.0, True), (1.64, False), (0.6, False)])
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


@pytest.mark.parametrize("name, joins", [("gpu_1", True), ("chief", False)])
def test_a_worker_joins_the_folder_that_its_chief_has_locked(name, joins, monkeypatch, tmp_path):
    class Loaded(Exception):
        pass

    def load():
        raise Loaded

    for variable, value in {"KERASTUNER_TUNER_ID": name, "KERASTUNER_ORACLE_IP": "127.0.0.1", "KERASTUNER_ORACLE_PORT": "8000"}.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setattr(select, "load_tensorflow", load)
    config = SelectConfig(task="phantom", num_phantoms=3, cache_dir=str(tmp_path / "cache"), workdir=str(tmp_path / "run"), hours=1.0)
    run = run_folder.RunFolder(tmp_path / "run", None, 0.0)
    run.begin(config)  # in another process it is busy; flock is a file's, so another opening of it is another's
    with pytest.raises(Loaded if joins else ConfigError):
        select.main(config)
    run.release()
