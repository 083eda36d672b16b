"""Times of parts: kept a machine, measured where they are missing, taken up by a resumed search. None of them is judged."""

import csv
import dataclasses
import io
import json
import sys

import pytest
from planted_times import planted, planted_times
from some_spaces import LEVEL, SCNAS, uniform_genotype

from scnas_keras.errors import ConfigError, DataError
from scnas_keras.machine.distribution import open_cluster
from scnas_keras.operations.facts import HALVING
from scnas_keras.runs.folds import open_fold
from scnas_keras.runs.run_folder import RunFolder
from scnas_keras.search import SearchConfig, checks
from scnas_keras.search import times as module
from scnas_keras.search.runner import run_search
from scnas_keras.spaces.genotype import Genotype
from scnas_keras.spaces.milliseconds import ADD, ALIGN, CONCAT, HEAD, NETWORK, OPERATION, REFERENCES, STEM, UPDATE, Part, reference
from scnas_keras.spaces.time_tables import Timed
from scnas_keras.timing import measuring, process, times
from scnas_keras.timing.records import Machine, Record, cache_file, keep_times, kept_times
from scnas_keras.timing.times import Setting, measured, part_times, this_machine

MACHINE = Machine("A processor (R) 3 @ 2 GHz", 2, None, "2.19.0", "none", True, True)
SHAPE = (1, (8, 8, 8), 4)
ADDED, CONVOLVED = Part(ADD, *SHAPE, 4), Part(OPERATION, *SHAPE, 4, "conv_3", HALVING, count=2)


@pytest.fixture
def warned(monkeypatch):
    lines = []
    monkeypatch.setattr("absl.logging.warning", lambda text, *values: lines.append(text % values))
    return lines


def test_what_is_kept_comes_back(tmp_path, warned):
    file = cache_file(tmp_path, MACHINE)
    assert file.parent == tmp_path / "milliseconds" and file.name.startswith("A-processor-R-3-2-GHz-")
    assert kept_times(file, MACHINE) == {}
    keep_times(file, MACHINE, {ADDED: 1.0})
    keep_times(file, MACHINE, {CONVOLVED: 2.5})
    assert kept_times(file, MACHINE) == {ADDED: 1.0, CONVOLVED: 2.5}
    assert len(file.read_text().splitlines()) < 25  # a part a line
    assert not warned


@pytest.mark.parametrize("change", [{"tensorflow": "2.20.0"}, {"cores": 4}, {"gpu": "H100"}, {"precision": "bfloat16"}, {"onednn": False}])
def test_another_machine_has_another_file_and_its_file_is_not_used(change, tmp_path, warned):
    other = dataclasses.replace(MACHINE, **change)
    file = cache_file(tmp_path, MACHINE)
    assert cache_file(tmp_path, other) != file
    keep_times(file, other, {ADDED: 1.0})
    assert kept_times(file, MACHINE) == {}
    (line,) = warned
    assert str(file) in line and "was measured on another machine" in line and "Everything is measured anew" in line


@pytest.mark.parametrize(
    "damage, complaint",
    [
        (lambda text: text[:-30], "broken JSON"),
        (lambda text: text.replace('"version": 1', '"version": 9'), "version 9 can't be read"),
        (lambda text: text.replace('"milliseconds": 1.0', '"milliseconds": -1.0'), "times[0].milliseconds: found -1, expected"),
        (lambda text: text.replace('"kind": "add"', '"kind": "sum"'), 'times[0].part.kind: found "sum", expected one of'),
        (lambda text: "", "an empty file"),
    ],
)
def test_a_damaged_file_is_told_in_a_line_and_measured_anew(damage, complaint, tmp_path, warned, monkeypatch):
    file = cache_file(tmp_path, MACHINE)
    keep_times(file, MACHINE, {ADDED: 1.0})
    file.write_text(damage(file.read_text()))
    monkeypatch.setattr(times, "measured", lambda parts, machine: ((part, 3.0) for part in parts))
    assert part_times([ADDED], MACHINE, tmp_path) == {ADDED: 3.0}
    assert complaint in warned[0] and str(file) in warned[0] and "measured anew" in warned[0] and "\n" not in warned[0]
    assert kept_times(file, MACHINE) == {ADDED: 3.0}


def test_only_what_is_missing_is_measured_and_what_was_measured_before_a_failure_is_kept(tmp_path, monkeypatch):
    asked = []

    def measure(parts, machine):
        asked.append(list(parts))
        yield parts[0], planted(parts[0])
        if len(parts) > 1:
            raise ConfigError("killed")

    monkeypatch.setattr(times, "measured", measure)
    with pytest.raises(ConfigError, match="killed"):
        part_times([ADDED, CONVOLVED], MACHINE, tmp_path)
    for _ in range(2):
        assert part_times([CONVOLVED, ADDED], MACHINE, tmp_path) == planted_times([CONVOLVED, ADDED])
    assert asked == [[ADDED, CONVOLVED], [CONVOLVED]]


def test_a_cache_that_cannot_be_written_serves_this_process(tmp_path, monkeypatch, warned):
    (tmp_path / "milliseconds").write_text("in the way")
    monkeypatch.setattr(times, "measured", lambda parts, machine: ((part, 3.0) for part in parts))
    assert part_times([ADDED], MACHINE, tmp_path) == {ADDED: 3.0}
    assert "The times aren't kept" in warned[-1]


@pytest.mark.nightly
def test_every_kind_of_part_is_measured_in_a_process_of_its_own():
    parts = [
        *(ADDED, CONVOLVED, Part(OPERATION, *SHAPE, 4, "average_pool_3"), Part(OPERATION, *SHAPE, 4, "identity")),
        *(Part(ALIGN, *SHAPE, 8, shift=1), Part(STEM, 1, (8, 8, 8), 1, 4), Part(HEAD, *SHAPE, 3), Part(CONCAT, *SHAPE, 4, count=2)),
        Part(UPDATE, 1, (), 1000, 1000),
    ]
    found = dict(measured(parts, this_machine("none", True, False)))
    assert list(found) == parts and min(found.values()) >= 0 and found[CONVOLVED] > 0


@pytest.mark.nightly
def test_a_whole_network_is_measured():
    part = Part(NETWORK, 1, (8, 8, 8), 8, 3, "scnas", shift=1)
    ((own, found),) = measured([part], this_machine("none", True, False))
    assert own == part and found > 0


@pytest.mark.nightly
def test_a_failure_of_that_process_is_told():
    with pytest.raises(ConfigError, match="Measuring .*'no_such_operation'.* failed with exit code 1"):
        list(measured([Part(OPERATION, *SHAPE, 4, "no_such_operation")], this_machine("none", True, False)))


def test_slices_are_computed_one_after_the_other():
    whole, halves = (Setting(SCNAS, 16, (8, 8, 8), 4, 1, 2, slices) for slices in (1, 2))
    assert {part.batch for part in whole.parts if part.kind != UPDATE} == {4}
    assert {part.batch for part in halves.parts if part.kind != UPDATE} == {2}
    of_two = Timed(SCNAS, 16, (8, 8, 8), 2, 1, 2).tables(planted)
    assert halves.tables(planted_times(halves.parts)).head == pytest.approx(2 * of_two.head)


def test_whole_networks_put_the_sum_of_parts_right():
    setting = Setting(SCNAS, 8, (8, 8, 8), 1, 1, 2)
    wholes = [part for part in setting.parts if part.kind == NETWORK]
    assert len(wholes) == REFERENCES and not Setting(LEVEL, 8, (8, 8, 8), 1, 1, 2).references
    plain = setting.tables(planted_times(setting.parts))
    steps = [plain.of_genotype(reference(SCNAS, number)) for number in range(REFERENCES)]
    found = setting.tables(planted_times(setting.parts) | {part: 0.7 * step for part, step in zip(wholes, steps)})
    genotype = uniform_genotype()
    assert found.of_genotype(genotype) == pytest.approx(0.7 * plain.of_genotype(genotype))
    mixed = setting.tables(planted_times(setting.parts) | dict(zip(wholes, (steps[0], 0.5 * steps[1]))))
    assert mixed.head == pytest.approx(plain.head * (steps[0] + 0.5 * steps[1]) / sum(steps))


FLAGS = {
    "task": "phantom",
    "num_phantoms": 5,
    "patch_size": (16, 16, 16),
    "batch_size": 2,
    "processes": 1,
    "epochs": 10,
    "steps_per_epoch": 10,
    "validation_steps": 1,
    "stem_channels": 4,
    "width": 8,
    "alpha_lr": 0.1,
}


def slow_shortcuts(parts, machine=None, cache_dir=None):
    """What a search of a few steps takes otherwise, pools and identities, takes 100 ms; all else nothing."""
    return {part: 100.0 * (part.name in ("max_pool_3", "identity")) for part in parts}


@pytest.mark.nightly
def test_a_search_ends_at_its_milliseconds(tmp_path, monkeypatch, small_search):
    config = SearchConfig(**FLAGS, workdir=str(tmp_path / "run"), cache_dir=str(small_search), target_ms=50.0)
    monkeypatch.setattr(module, "part_times", slow_shortcuts)
    result = run_search(config)
    record = Record.load(tmp_path / "run" / "milliseconds.json")
    stem, head = (next(part for part in record.times if part.kind == kind) for kind in (STEM, HEAD))
    setting = Setting(LEVEL, 8, (16, 16, 16), 2, stem.inputs, head.outputs)
    assert record.machine.precision == "none" and set(record.times) == set(setting.parts)
    found = setting.tables(record.times).of_genotype(result.genotype)
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["result"]["derived"]["milliseconds"] == pytest.approx(found, abs=1e-3) and found <= 50
    with open(tmp_path / "run" / "history.csv", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert float(rows[-1]["derived_ms"]) == pytest.approx(found) and float(rows[-1]["expected_ms"]) > 0
    assert max(float(row["derived_ms"]) for row in rows) > 50, "the target was never in question"
    assert max(float(row["penalty_milliseconds"]) for row in rows) > 0
    assert Genotype.load(tmp_path / "run") == result.genotype


@pytest.fixture
def small_search(monkeypatch, shared_folder):
    """Searches have two cells; the folder of their cache."""
    monkeypatch.setattr(checks, "find_space", lambda name, rank: LEVEL)
    return shared_folder / "timing_cache"


def test_a_resumed_search_goes_by_the_times_of_its_folder(tmp_path, monkeypatch, small_search):
    config = SearchConfig(**FLAGS, workdir=str(tmp_path), cache_dir=str(small_search), target_ms=50.0)
    cluster, run = open_cluster("cpu"), RunFolder(tmp_path, None, 0.0)
    fold = open_fold(config, checks.footprint(config), 0)
    monkeypatch.setattr(module, "part_times", planted_times)
    began = module.times_record(config, LEVEL, fold, run, cluster)
    assert not (tmp_path / module.TIMES).exists()
    began.save(run)
    monkeypatch.setattr(module, "part_times", None)
    monkeypatch.setattr(module, "this_machine", None)
    resumed = module.times_record(config, LEVEL, fold, run, cluster)
    assert resumed.record == began.record and resumed.tables.sums.fixed == began.tables.sums.fixed
    Record(MACHINE, dict(list(began.record.times.items())[1:])).save(run[module.TIMES])
    with pytest.raises(DataError, match=r"milliseconds.json: lacks 1 of \d+ parts.*Restore it from a copy"):
        module.times_record(config, LEVEL, fold, run, cluster)


@pytest.mark.parametrize("space", [False, True])
def test_the_cost_command_tells_milliseconds(space, tmp_path, capsys, command, monkeypatch):
    monkeypatch.setattr(times, "part_times", planted_times)
    genotype, output = uniform_genotype(), tmp_path / "cost.json"
    genotype.save(tmp_path / "genotype.json")
    of = {"space": "scnas"} if space else {"network": tmp_path}
    flags = {"patch_size": "8,16,8", "batch_size": 3, "channels": 2, "classes": 3, "width": 8, "json": output, "cache_dir": tmp_path}
    command("scnas_keras.cost", **of, **flags, milliseconds="true")
    tables = Timed(SCNAS, 8, (8, 16, 8), 3, 2, 3).tables(planted)
    expected, found = tables.least() if space else tables.of_genotype(genotype), json.loads(output.read_text())
    assert (found["least"] if space else found)["milliseconds"] == pytest.approx(expected)
    assert f" {expected:.1f} " in capsys.readouterr().out


def test_a_whole_networks_time_comes_back(tmp_path, warned):
    """Its image channels stand where an alignment has -1 to 1."""
    part, file = Part(NETWORK, 1, (8, 8, 8), 8, 3, "scnas", shift=4), cache_file(tmp_path, MACHINE)
    keep_times(file, MACHINE, {part: 3.0})
    assert kept_times(file, MACHINE) == {part: 3.0} and not warned


def test_milliseconds_of_one_part(monkeypatch):
    """Of a call that takes 36 ms: three layers of three additions, three convolutions, twelve updates, one head."""
    monkeypatch.setattr(measuring, "_repeated", lambda function, arguments: 0.036)
    monkeypatch.setattr(measuring, "_call_seconds", lambda: 0.0)
    parts = {Part(ADD, *SHAPE, 4): 4.0, CONVOLVED: 12.0, Part(UPDATE, 1, (), 10, 10): 3.0, Part(HEAD, *SHAPE, 3): 36.0}
    for part, expected in parts.items():
        assert measuring.milliseconds(part) == pytest.approx(expected), part


@pytest.mark.parametrize("deterministic", [True, False])
def test_parts_are_measured_as_deterministic_as_runs_are(deterministic, monkeypatch):
    asked = []
    monkeypatch.setattr("scnas_keras.machine.determinism.make_deterministic", lambda: asked.append(True))
    monkeypatch.setattr("scnas_keras.machine.precision.set_precision", lambda precision: None)
    monkeypatch.setattr(process.signal, "signal", lambda *arguments: None)
    monkeypatch.setattr(sys, "stdin", io.StringIO(process.to_json([], dataclasses.replace(MACHINE, deterministic=deterministic))))
    process.main()
    assert asked == [True] * deterministic
