"""A cross-validation whose repeats share cases: what counts once, what is paired; MIoU; published figures and whether they compare."""

import dataclasses
import json
import statistics

import numpy as np
import pytest
from scipy import stats
from some_spaces import uniform_genotype

from scnas_keras.crossval import CrossvalConfig, runner
from scnas_keras.crossval.beside import notes, published_of
from scnas_keras.crossval.published import ZHANG
from scnas_keras.crossval.report import CrossvalReport
from scnas_keras.crossval.results import FoldResult, NetworkResult
from scnas_keras.crossval.trainings import all_trainings
from scnas_keras.errors import ConfigError
from scnas_keras.metrics.dice import dice_scores, iou_of_dice
from scnas_keras.metrics.paired import paired_tests
from scnas_keras.metrics.structure import Surfaces, structure_metrics
from scnas_keras.runs import in_turn
from scnas_keras.tasks.holdout import Holdout

COST = {"parameters": 2e6, "multiply_adds": 3e9}
TWO = Holdout(0.3, 2)


def dice_of_iou(iou):
    return 2 * iou / (1 + iou)


def network(name, *folds, **cost):
    """Folds as case -> class -> Dice."""
    return NetworkResult(name, tuple(FoldResult(number, dice, COST | cost) for number, dice in enumerate(folds)))


def of_classes(**values):
    """Case -> Dice of the class "core"."""
    return {case: {"core": value} for case, value in values.items()}


def row_of(text, name):
    return next(line.split() for line in text.splitlines() if line.startswith(name))


def test_iou_is_that_of_the_evaluation():
    """By hand: 6 voxels in both, 2 in the prediction alone, 4 in the label alone: 6 / 12."""
    label, prediction = np.zeros((2, 3, 4, 4), np.uint8)
    label.flat[:10], prediction.flat[4:12] = 1, 1
    (dice,) = dice_scores(label, prediction, 2)
    assert dice == 12 / 18 and iou_of_dice(dice) == pytest.approx(6 / 12)
    assert iou_of_dice(0) == 0 and iou_of_dice(1) == 1
    for seed in range(5):
        one, other = np.random.default_rng(seed).integers(0, 2, (2, 6, 7, 5)).astype(bool)
        (dice,) = dice_scores(one.astype(int), other.astype(int), 2)
        assert iou_of_dice(dice) == pytest.approx(structure_metrics(one, other, (1, 1, 1), 1).jaccard)


def test_miou_is_the_mean_of_cases_means_of_classes():
    """a: (1/2 + 1/4) / 2 = 3/8. b: 1, its other class is nowhere. c has no class and doesn't count. The class means would give 1/2."""
    half, quarter = dice_of_iou(0.5), dice_of_iou(0.25)
    found = network("one", {"a": {"core": half, "shell": quarter}, "b": {"core": 1.0}, "c": {}})
    assert found.miou == pytest.approx((3 / 8 + 1) / 2)
    assert found.average(("core", "shell"), "iou") == pytest.approx((3 / 4 + 1 / 4) / 2)
    again = network("one", *(fold.dice for fold in found.folds), {"a": {"core": quarter, "shell": dice_of_iou(0.75)}})
    assert again.miou == pytest.approx(((3 / 8 + 1 / 2) / 2 + 1) / 2)  # a counts once, by the mean of its IoU, not the IoU of its mean
    assert network("none").miou is None and network("none", {"c": {}}).miou is None
    table = CrossvalReport("phantom", 1, ("core", "shell"), (found,), (), "case").text
    assert row_of(table, "one")[4] == f"{11 / 16:.3f}" and "MIoU" in table
    assert CrossvalReport("phantom", 1, ("core", "shell"), (found,), (), "case").to_json()["networks"]["one"]["miou"] == found.miou


def test_a_case_of_several_repeats_counts_once():
    """a has 0.9 and 0.5: 0.7. Measured thrice in all, the mean would be 0.6, and with the last alone 0.45."""
    found = network("one", of_classes(a=0.9, b=0.4), of_classes(a=0.5))
    assert found.dice == {"a": {"core": pytest.approx(0.7)}, "b": {"core": 0.4}}
    assert found.class_mean("core") == found.average(("core",)) == pytest.approx(0.55)
    assert found.spread(("core",)) == pytest.approx(statistics.stdev([0.65, 0.5]))
    near, far = ({"a": {"core": Surfaces(nsd, hd95, 1.0)}} for nsd, hd95 in ((0.9, 2.0), (0.7, None)))
    folds = [dataclasses.replace(fold, surfaces=surfaces) for fold, surfaces in zip(found.folds, (near, far))]
    folds[1].surfaces["b"] = {"core": Surfaces(0.4, 6.0, 1.0)}
    measured = NetworkResult("one", tuple(folds))
    assert measured.class_mean("core", "nsd") == pytest.approx((0.8 + 0.4) / 2) and measured.class_mean("core", "hd95") == 4.0


def test_the_report_tells_that_repeats_share_cases():
    found = network("one", of_classes(a=0.9, b=0.4), of_classes(a=0.5, b=0.3, c=0.2))
    text = CrossvalReport("phantom", 2, ("core",), (found,), (), "case", TWO).text
    assert "over 3 whole scans" in text and "2 of them were validated in several repeats: each counts once" in text
    assert "their deviation is no measure of how sure an average is" in text and "± repeats" in text
    assert row_of(text, "one")[-3:] == ["2", "of", "2"]
    apart = network("one", of_classes(a=0.9, b=0.4), of_classes(c=0.2))
    text = CrossvalReport("phantom", 2, ("core",), (apart,), (), "case").text
    assert "several" not in text and "± folds" in text


def test_pairs_are_of_the_same_repeat_and_a_case_is_one_unit():
    """The second network lacks repeat 1: what the first found there has no partner."""
    values = np.random.default_rng(0).uniform(0.4, 0.9, (3, 8))
    names = [f"case_{index}" for index in range(8)]
    first = network("first", *(of_classes(**dict(zip(names, row))) for row in values[:2]))
    second = network("second", of_classes(**dict(zip(names, values[2]))))

    def tested(*networks):
        measured = {own.name: own.measured() for own in networks}
        (test,) = paired_tests(measured, {key: key[1] for keys in measured.values() for key in keys})
        return test

    test = tested(first, second)
    assert test.units == 8 and test.difference == pytest.approx((values[0] - values[2]).mean())
    assert test.probability == pytest.approx(stats.wilcoxon(values[0], values[2]).pvalue)
    both = network("second", *(of_classes(**dict(zip(names, row))) for row in (values[2], values[0])))
    differences = ((values[0] - values[2]) + (values[1] - values[0])) / 2
    test = tested(first, both)
    assert test.units == 8 and test.difference == pytest.approx(differences.mean())
    assert test.probability == pytest.approx(stats.wilcoxon(differences).pvalue)


def test_one_network_whose_case_another_lacks_is_compared_on_the_others():
    first, second = network("a", of_classes(p_1=0.9, p_2=0.1, q_1=0.5)), network("b", of_classes(p_1=0.8, q_1=0.5))
    patients = {"p_1": "p", "p_2": "p", "q_1": "q"}
    (test,) = paired_tests({own.name: own.dice for own in (first, second)}, patients)
    assert (test.units, test.difference) == (2, pytest.approx(0.05))


@pytest.fixture
def config(tmp_path):
    uniform_genotype("conv_3").save(tmp_path / "genotype.json")
    return CrossvalConfig(
        task="nuclei",
        networks="genotype,nnunet",
        genotype=str(tmp_path / "genotype.json"),
        protocol="holdout:0.3x2",
        workdir=str(tmp_path / "cv"),
    )


def test_a_holdout_is_trained_repeat_by_repeat_and_put_into_one_table(config, tmp_path, monkeypatch):
    trainings = all_trainings(config)
    assert [(own.name, own.fold) for own in trainings] == [(name, fold) for fold in range(2) for name in ("genotype", "nnunet")]
    assert {own.config.protocol for own in trainings} == {"holdout:0.3x2"}
    held_out = [[f"case_{index}" for index in part] for part in (range(7), range(4, 10))]

    def train(command, settings):
        training = next(own for own in trainings if own.config == settings)
        training.folder.mkdir(parents=True)
        better = 0.1 * (training.name == "genotype")
        rows = "".join(f"{case},{0.6 + better + 0.01 * training.fold}\n" for case in held_out[training.fold])
        (training.folder / "validation.csv").write_text("case,nucleus\n" + rows)
        result = {"task": "Nuclei", "dice": {"nucleus": 0.6}, "training_scans": 153, "validation_images": ["a.png"], **COST}
        (training.folder / "summary.json").write_text(json.dumps({"flags": dataclasses.asdict(settings), "result": result}))
        return 0

    monkeypatch.setattr(in_turn, "run_child", train)
    found = runner.run_crossval(config)
    (test,) = found.report.tests
    assert (test.units, test.better) == (10, 10) and test.difference == pytest.approx(0.1)
    assert "3 of them were validated in several repeats" in found.text
    assert "not comparable: 670 pictures there, 160 cases here; 4 repeats with a share of 0.3 held out there, 2 repeats with" in found.text
    document = json.loads((tmp_path / "cv" / "crossval.json").read_text())
    assert (document["protocol"], document["num_folds"]) == ("holdout:0.3x2", 2)
    assert len((tmp_path / "cv" / "cases.csv").read_text().splitlines()) == 1 + 2 * 13  # a line a repeat


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"protocol": "holdout:1.5x4"}, "holds out a share of 1.5"),
        ({"protocol": "holdout:0.3x0"}, "1 to 1000 repeats, found 0"),
        ({"split": "nnunet"}, "--split=nnunet deals cases out to folds"),
        ({"folds": (2,)}, "--folds=2: with 2 folds they are 0 to 1"),
    ],
)
def test_a_protocol_that_cannot_be_is_refused_before_any_training(config, changes, message):
    with pytest.raises(ConfigError, match=message):
        all_trainings(dataclasses.replace(config, **changes))


def test_published_figures_stand_in_both_tables_with_what_differs():
    def told(holdout, folds=4, **cost):
        found = network("genotype", of_classes(a=0.9), **cost)
        return CrossvalReport("nuclei", folds, ("core",), (found,), (), "case", holdout).text

    text = told(Holdout(0.3, 4), training_scans=669)
    assert "Tables 2 and 5" in text and "not comparable" not in text
    rows = [line.split("  ") for line in text.splitlines() if line.startswith("paper: Auto-LW-MISN  ")]
    dice, cost = ([cell.strip() for cell in row if cell] for row in rows)
    assert dice[1:4] == ["0.921", "0.921", "0.858"] and cost[1:6] == ["256x256", "-", "0.57", "15.8", "-"]
    assert "  multiply-adds of a transposed convolution are counted at its outputs there, at its inputs here\n" in text
    assert "  not comparable: 670 pictures there, 48 cases here\n" in told(Holdout(0.3, 4), training_scans=47)
    unknown = "670 pictures there, and how many cases here isn't known"  # of trainings that didn't tell
    assert f"  not comparable: {unknown}; 4 repeats with a share of 0.3 held out there, 5 folds here\n" in told(None, 5)
    assert f"  perhaps not comparable: {unknown}\n" in told(Holdout(0.3, 4))
    sized = told(Holdout(0.3, 4), patch_size=[128, 96])
    assert [line.split()[1] for line in (text + "\n" + sized).splitlines() if line.startswith("genotype ")][1::2] == ["-", "128x96"]


def test_the_light_networks_tables_are_whole():
    """Table 2 has eight rows, as 3 and 4; table 5 adds one to each."""
    assert {task: len(rows) for task, rows in ZHANG.items()} == {"nuclei": 9, "liver_ct": 9, "prostate_mr": 9}
    best = {task: next(row for row in rows if row.network == "Auto-LW-MISN") for task, rows in ZHANG.items()}
    assert all(max(rows, key=lambda row: row.average) is max(rows, key=lambda row: row.miou) is best[task] for task, rows in ZHANG.items())
    assert {task: round(row.costs["parameters"] / 1e4) for task, row in best.items()} == {"nuclei": 57, "liver_ct": 56, "prostate_mr": 61}
    impossible = {(task, row.network) for task, rows in ZHANG.items() for row in rows if row.miou < iou_of_dice(row.average) - 2e-4}
    assert impossible == {("liver_ct", name) for name in ("AutoDeepLab", "NAS-Unet", "Auto-LW-MISN")}
    assert not published_of("nuclei", 2) and not published_of("phantom", 1)


@pytest.mark.parametrize("cases", [None, 20, 2874])
@pytest.mark.parametrize(
    "task, line",
    [
        ("liver_ct", "means over 2874 slices there, over whole scans here; slices divided 1:1 in the search there, 4 repeats here"),
        ("prostate_mr", "means over 1377 slices there, over whole scans here; slices divided 3:2 in the search there, 4 repeats here"),
    ],
)
def test_means_over_slices_are_none_over_scans(task, line, cases):
    assert notes(published_of(task, 1), cases, "4 repeats")[1] == f"  not comparable: {line}"
