"""Which cases a run is judged on, and that it opens no others: by the prepared arrays, images and labels that it reads."""

import csv
import dataclasses
import json
import types

import numpy as np
import pytest
from small_task import change, write_task
from small_training import FLAGS, retrain
from some_spaces import LEVEL, TINY, uniform_genotype

from scnas_keras.architectures.registry import footprint
from scnas_keras.assess import AssessConfig, assess
from scnas_keras.assess.finished import load_search, warn_of_differences
from scnas_keras.crossval import CrossvalConfig
from scnas_keras.errors import ConfigError, DataError
from scnas_keras.inference.companion import read_companion
from scnas_keras.inference.model_folder import SegmentationModel
from scnas_keras.options import parse, to_flagfile
from scnas_keras.preprocessing.prepared_case import PreparedCase
from scnas_keras.retrain import RetrainConfig, runner, validation
from scnas_keras.retrain.checks import check, warn_of_leak
from scnas_keras.runs.folds import open_fold
from scnas_keras.runs.recorded import read_recorded
from scnas_keras.search import SearchConfig
from scnas_keras.search import checks as search_checks
from scnas_keras.search import epochs as search_epochs
from scnas_keras.search import runner as search_runner
from scnas_keras.tasks.splits import find_folds, split_fold
from scnas_keras.training import schedules

NETWORK = (
    "--genotype=genotype.json",
    "--width=4",
    "--patch_size=8,8,8",
    "--epochs=2",
    "--fold=1",
    "--steps_per_epoch=6",
    "--validation_steps=2",
)
ARRAYS = ("image", "label", "foreground_voxel")


class Opened:
    """Names of the cases whose prepared arrays a run has opened, and of those whose scans and labels it has."""

    def __init__(self, monkeypatch):
        self.prepared, self.scans, self.labels, self.seen = set(), [], [], []
        for name in ARRAYS:
            monkeypatch.setattr(PreparedCase, name, self._noted(getattr(PreparedCase, name)))
        load_image, load_label, seen_in = validation.load_image, validation.load_label, runner.seen_in
        monkeypatch.setattr(validation, "load_image", lambda task, case, *own: self.scans.append(case.name) or load_image(task, case, *own))
        monkeypatch.setattr(validation, "load_label", lambda task, case: self.labels.append(case.name) or load_label(task, case))
        monkeypatch.setattr(runner, "seen_in", lambda cases: self.seen.extend(case.name for case in cases) or seen_in(cases))

    def _noted(self, method):
        def noted(case, *arguments):
            self.prepared.add(case.name)
            return method(case, *arguments)

        return noted


@pytest.fixture
def opened(monkeypatch):
    return Opened(monkeypatch)


def split_of(names, fold):
    folds, groups = find_folds(names, 5)
    return split_fold(folds, fold, 0, groups)


def split_of_run(run, fold):
    folds = json.loads((run / "splits.json").read_text())
    return split_of(sorted(folds[0]["train"] + folds[0]["val"]), fold)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """With a genotype, and a cache that the training runs here share."""
    folder = tmp_path_factory.mktemp("judge")
    uniform_genotype(space=LEVEL).save(folder / "genotype.json")
    return folder


def test_a_training_judged_on_held_out_cases_opens_no_validation_case(opened, folder, caplog):
    result = retrain(folder, *NETWORK, "--judge_on=held_out", "--workdir=held_out")
    run, split = folder / "held_out", split_of_run(folder / "held_out", 1)
    assert opened.prepared == {*split.train, *split.held_out} and not opened.prepared & {*split.validation}
    assert opened.scans == opened.labels and list(dict.fromkeys(opened.scans)) == list(split.held_out) == list(result.dice)
    assert opened.seen == list(split.train)
    assert [row["case"] for row in csv.DictReader((run / "validation.csv").open())] == list(split.held_out)
    assert sorted(path.name for path in (run / "validation").iterdir()) == [f"{name}.nii.gz" for name in split.held_out]
    found = json.loads((run / "summary.json").read_text())["result"]
    assert found["judged_on"] == "held_out" and [name for name in map(_of_path, found["validation_images"])] == list(split.held_out)
    assert result.table.startswith(f"{len(split.held_out)} whole held-out scans of fold 1, mean of scans:")
    assert "on held-out patches" in caplog.text and "held-out 1/1" in caplog.text and "on validation patches" not in caplog.text
    assert "the validation cases aren't looked at" in caplog.text


def _of_path(path):
    return path.rpartition("/")[2].removesuffix(".nii.gz")


@pytest.mark.nightly
def test_by_default_validation_scans_alone_are_segmented_and_all_others_trained_on(opened, folder, caplog, monkeypatch):
    """By the network that is kept, whose weights are averages where they are asked for, mirrored on request."""
    trained, asked, train, segment = [], [], runner.train, SegmentationModel.segment

    def watched(config, recipe, fold, architecture, learner, *rest):
        history = train(config, recipe, fold, architecture, learner, *rest)
        trained.extend(learner.network.get_weights())
        return history

    monkeypatch.setattr(runner, "train", watched)
    monkeypatch.setattr(SegmentationModel, "segment", lambda self, *own: asked.append(own[1]) or segment(self, *own))
    result = retrain(folder, *NETWORK, "--steps_per_epoch=12", "--workdir=validation", "--ema=0.9", "--mirror=true")
    assert asked == [True] * len(result.dice)
    assert not all(np.array_equal(one, other) for one, other in zip(trained, result.model.network.get_weights(), strict=True))
    split = split_of_run(folder / "validation", 1)
    assert opened.prepared == {*split.train, *split.held_out, *split.validation}
    assert opened.scans == opened.labels and list(dict.fromkeys(opened.scans)) == list(split.validation) == list(result.dice)
    assert opened.seen == [*split.train, *split.held_out]
    found = json.loads((folder / "validation/summary.json").read_text())["result"]
    assert read_companion(folder / "validation/model.json").dice == result.model.dice == found["dice"]
    assert found["judged_on"] == "validation" and "whole validation scans of fold 1" in result.table
    assert "on validation patches" in caplog.text and "held-out" not in caplog.text


def test_where_all_cases_train_none_is_held_out(folder):
    with pytest.raises(ConfigError, match="--fold=all with --judge_on=held_out: every case is trained on.*Name a fold.*--fold=0"):
        retrain(folder, *NETWORK, "--fold=all", "--judge_on=held_out", "--workdir=refused")
    assert not (folder / "refused").exists()
    check(RetrainConfig(fold="all"))


@pytest.mark.parametrize(
    "flags, message",
    [
        ({"judge_on": "validation"}, "--patience=9 with --judge_on=validation: .* chosen on the validation cases.*Add --judge_on=held_out"),
        ({"judge_on": "held_out", "budget_minutes": 5.0}, "--patience=9 with --budget_minutes=5: a run ends by one of them"),
        ({"judge_on": "held_out", "patience": 0}, "--patience=0 must be above 0"),
    ],
)
def test_patience_is_for_held_out_cases_and_runs_without_a_budget(flags, message):
    check(RetrainConfig(patience=9, judge_on="held_out"))
    with pytest.raises(ConfigError, match=message):
        check(RetrainConfig(**{"patience": 9} | flags))


@pytest.mark.nightly
def test_a_training_ends_when_its_held_out_dice_no_longer_rises(folder, caplog, monkeypatch):
    """With a rate of nothing, a Dice that isn't averaged rises in the first epoch at most."""
    monkeypatch.setattr(schedules, "SMOOTHING", 0.0)
    still = ("--epochs=9", "--learning_rate=1e-30", "--schedule=poly")
    retrain(folder, *NETWORK, *still, "--patience=2", "--judge_on=held_out", "--workdir=patient")
    rows = list(csv.DictReader((folder / "patient/history.csv").open()))
    assert len({row["val_dice"] for row in rows}) == 1 and len(rows) == (3 if float(rows[0]["val_dice"]) >= 0.001 else 2)
    assert "has not risen by 0.001 for 2 epochs" in caplog.text
    assert json.loads((folder / "patient/summary.json").read_text())["result"]["epochs"] == len(rows)


def test_cases_that_train_need_a_class(tmp_path):
    """The held-out case alone has one: enough to train on, but for a training run that is judged on it."""
    task = write_task(tmp_path / "task", 5)
    names = [f"case_{number}" for number in range(5)]
    split = split_of(names, 0)
    for name in {*names} - {*split.held_out}:
        change(task / "labelsTr" / f"{name}.nii.gz", lambda label: label.fill(0))
    flags = ["retrain", *FLAGS, "--task=custom", f"--data_dir={task}", f"--cache_dir={tmp_path / 'cache'}", "--patch_size=8,8,8"]
    default, held_out = (parse(RetrainConfig, [*flags, f"--judge_on={judge}"]) for judge in ("validation", "held_out"))
    open_fold(default, footprint("unet", 2), 0, default.trained_parts)
    with pytest.raises(DataError, match="none of the 3 cases that fold 0 trains on has any class"):
        open_fold(held_out, footprint("unet", 2), 0, held_out.trained_parts)


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """A search judged on held-out cases, and the names of the cases that it opened."""
    folder = tmp_path_factory.mktemp("search")
    write_task(folder / "data", num_cases=5, shape=(16, 12, 12))
    sizes = {"patch_size": (8, 8, 8), "batch_size": 1, "stem_channels": 4, "width": 4}
    length = {"epochs": 2, "steps_per_epoch": 6, "validation_steps": 2, "processes": 1, "hessian_every": 1}
    places = {"data_dir": str(folder / "data"), "cache_dir": str(folder / "cache"), "workdir": str(folder / "run")}
    with pytest.MonkeyPatch.context() as patch:
        opened = Opened(patch)
        patch.setattr(search_checks, "find_space", lambda name, rank: TINY)
        patch.setattr(search_epochs, "alpha_curvature", lambda supernet, images, labels: lambda epoch: float(epoch))
        search_runner.run_search(SearchConfig(task="custom", judge_on="held_out", **places, **sizes, **length))
    return folder / "run", opened.prepared


def test_a_search_judged_on_held_out_cases_opens_no_validation_case(searched):
    run, prepared = searched
    split = split_of_run(run, 0)
    assert prepared == {*split.train, *split.held_out} and split.validation
    result = json.loads((run / "summary.json").read_text())["result"]
    assert result["judged_on"] == "held_out" and result["cases"] == {name: list(cases) for name, cases in vars(split).items()}


def test_an_assessment_measures_on_what_the_search_was_judged_on(searched, opened, caplog):
    run, _ = searched
    report = assess(AssessConfig(workdir=str(run), random=19, patches=4)).reports[0]
    split, search = split_of_run(run, 0), load_search(str(run))
    assert opened.prepared == {*split.held_out}
    assert report.judged_on == "held_out" and "held-out Dice" in (run / "assessment/assessment.txt").read_text(encoding="utf-8")
    assert "learned alpha from them" in caplog.text
    assert search.judged_cases == list(split.held_out)


def test_searches_that_were_judged_on_different_cases_are_told(caplog):
    cases = {"train": ["a", "b"], "held_out": ["c"], "validation": ["d"]}

    def search(judge):
        config = types.SimpleNamespace(judge_on=judge)
        found = types.SimpleNamespace(path=judge, config=config, result={"task": "T", "cases": cases})
        found.judged_cases = cases[judge]
        return found

    warn_of_differences([search("held_out"), search("held_out")])
    assert not caplog.text
    warn_of_differences([search("validation"), search("held_out")])
    assert "judged on different cases" in caplog.text


@pytest.mark.parametrize(
    "judge, told",
    [("validation", None), ("held_out", "1 of 1 held-out cases took part in the search (c ...): their Dice is too good. Compare")],
)
def test_a_genotype_whose_search_learned_from_the_cases_that_judge_is_told(judge, told, tmp_path, caplog):
    """A search on the same fold has learned alpha from what is held out, and nothing from what validates."""
    parts = {"train": ["a", "b"], "held_out": ["c"], "validation": ["d"]}
    (tmp_path / "summary.json").write_text(json.dumps({"result": {"task": "T", "cases": parts}}))
    architecture = types.SimpleNamespace(source=tmp_path / "genotype.json")
    fold = types.SimpleNamespace(task=types.SimpleNamespace(name="T"), split=types.SimpleNamespace(**parts))
    warn_of_leak(RetrainConfig(judge_on=judge), architecture, fold)
    assert told in caplog.text if told else not caplog.text
    fold.split.validation = ["a", "d"]
    warn_of_leak(RetrainConfig(), architecture, fold)
    assert "1 of 2 validation cases took part in the search (a ...): their Dice is too good. Use the search's --fold" in caplog.text


def test_a_cross_validation_is_always_of_validation_cases():
    assert "judge_on" not in {field.name for field in dataclasses.fields(CrossvalConfig)}


@pytest.mark.parametrize("config_class", [SearchConfig, RetrainConfig])
def test_runs_of_the_version_before_were_judged_on_validation_cases(config_class, tmp_path):
    config = config_class(task="phantom", judge_on="held_out")
    (tmp_path / "flags.cfg").write_text(to_flagfile(config))
    assert read_recorded(config_class, tmp_path / "flags.cfg").config == config
    lines = [line for line in to_flagfile(config).splitlines() if not line.startswith("--judge_on=")]
    (tmp_path / "flags.cfg").write_text("\n".join(lines) + "\n")
    assert read_recorded(config_class, tmp_path / "flags.cfg").config == dataclasses.replace(config, judge_on="validation")
