"""Cross-validation without training: which training runs there are, what their results say together, and the report."""

import csv
import dataclasses
import hashlib
import io
import json
import re
import statistics

import numpy as np
import pytest
from scipy import stats
from some_spaces import uniform_genotype

from scnas_keras.architectures.registry import TRAINABLE
from scnas_keras.crossval import CrossvalConfig, runner
from scnas_keras.crossval.config import NAMES
from scnas_keras.crossval.published import PUBLISHED
from scnas_keras.crossval.report import CrossvalReport
from scnas_keras.crossval.results import FoldResult, NetworkResult, collect
from scnas_keras.crossval.trainings import all_trainings
from scnas_keras.errors import ChildError, ConfigError, DataError, GenotypeError
from scnas_keras.metrics.paired import PairedTest, holm, paired_tests
from scnas_keras.options import parse, to_flagfile
from scnas_keras.reporting.comparison_figure import comparison_figure
from scnas_keras.retrain import RetrainConfig
from scnas_keras.retrain.architecture import choose
from scnas_keras.runs import in_turn

COST = {
    "parameters": 2e6,
    "multiply_adds": 3e9,
    "seconds_per_step": 0.5,
    "seconds_per_epoch": 25.0,
    "epochs": 10,
    "training_peak_bytes": 2**31,
    "seconds_per_scan": 0.75,
    "width": 48,
}


def three_folds(tmp_path):
    """The settings of a cross-validation of two networks, and the architecture of one of them."""
    uniform_genotype("conv_3").save(tmp_path / "genotype.json")
    return CrossvalConfig(
        task="phantom",
        networks="genotype,nnunet",
        genotype=str(tmp_path / "genotype.json"),
        num_folds=3,
        epochs=2,
        workdir=str(tmp_path / "cv"),
    )


@pytest.fixture
def config(tmp_path):
    return three_folds(tmp_path)


def finish(training, dice, task="phantom", **flags):
    """Leaves what a training run leaves: `dice` maps cases to one number a class."""
    training.folder.mkdir(parents=True, exist_ok=True)
    rows = "".join(f"{case},{','.join(map(str, values))}\n" for case, values in dice.items())
    (training.folder / "validation.csv").write_text("case,core,shell\n" + rows)
    result = {"task": task, "dice": {"core": 0.0, "shell": 0.0}, **COST}
    summary = {"flags": json.loads(json.dumps(dataclasses.asdict(training.config))) | flags, "result": result}
    (training.folder / "summary.json").write_text(json.dumps(summary))


def network(name, averages, cases=4, seed=0):
    """Folds with cases around an average; no class is missing."""
    random = np.random.default_rng(seed)
    folds = tuple(
        FoldResult(fold, {f"case_{fold}_{i}": {"core": average + random.normal(0, 0.01), "shell": average} for i in range(cases)}, COST)
        for fold, average in enumerate(averages)
    )
    return NetworkResult(name, folds)


def test_every_network_on_every_fold(config):
    trainings = all_trainings(config)
    assert [(t.name, t.fold) for t in trainings] == [(n, f) for f in range(3) for n in ("genotype", "nnunet")]
    first, second = trainings[:2]
    assert first.folder.parts[-3:] == ("cv", "genotype", "fold_0") and not first.finished
    assert (first.config.network, first.config.fold, first.config.width, first.config.epochs) == ("genotype", "0", "64", 2)
    assert (second.config.network, second.config.genotype, second.config.width) == ("nnunet", None, "32")
    assert set(NAMES) == {*TRAINABLE, "transfer"}


@pytest.mark.parametrize("name", ["flags.cfg", "summary.json", "notes.txt"])
def test_a_folder_of_another_command_is_refused(config, tmp_path, name):
    (tmp_path / "cv").mkdir()
    (tmp_path / "cv" / name).write_text("x")
    with pytest.raises(ConfigError, match=f"--workdir=.*cv holds .*{name}"):
        all_trainings(config)
    assert [path.name for path in (tmp_path / "cv").iterdir()] == [name]


def test_a_file_is_no_folder(config, tmp_path):
    (tmp_path / "cv").write_text("")
    with pytest.raises(ConfigError, match="--workdir=.*cv is a file"):
        all_trainings(config)


def test_a_folder_of_a_cross_validation_is_taken_again(config, tmp_path):
    for name in ("nnunet/fold_0", "genotype"):
        (tmp_path / "cv" / name).mkdir(parents=True)
    for name in ("crossval.txt", "cases.csv", "notes.txt"):
        (tmp_path / "cv" / name).write_text("")
    assert len(all_trainings(config)) == 6


def test_a_training_is_its_command_line(config):
    for training in all_trainings(
        dataclasses.replace(config, networks="genotype,transfer,unet", transfer_from=config.genotype, init="scratch")
    ):
        assert parse(RetrainConfig, ["retrain", *to_flagfile(training.config).splitlines()]) == training.config


def test_a_fold_may_have_its_own_architecture_and_transfer_another(config, tmp_path):
    for fold in range(3):
        uniform_genotype("max_pool_3").save(tmp_path / f"search_{fold}.json")
    trainings = all_trainings(
        dataclasses.replace(
            config, networks="genotype,transfer", genotype=str(tmp_path / "search_{fold}.json"), transfer_from=config.genotype, width="68"
        )
    )
    own = [t.config for t in trainings if t.name == "genotype"]
    other = [t.config for t in trainings if t.name == "transfer"]
    assert [c.genotype for c in own] == [str(tmp_path / f"search_{fold}.json") for fold in range(3)] and {c.transfer_from for c in own} == {
        None
    }
    assert {(c.network, c.genotype, c.transfer_from, c.width) for c in other} == {("genotype", None, config.genotype, "68")}


@pytest.mark.parametrize(
    "changes, error, message",
    [
        ({"workdir": None}, ConfigError, "--workdir=DIR"),
        ({"networks": "genotype,vnet"}, ConfigError, "--networks=genotype,vnet: expected some of"),
        ({"networks": "nnunet,nnunet"}, ConfigError, "once each"),
        ({"networks": "unet,nas_unet"}, ConfigError, "For published:nas_unet name genotype, with --genotype=published:nas_unet"),
        ({"folds": (0, 3)}, ConfigError, "--folds=0,3: with 3 folds they are 0 to 2"),
        ({"networks": "transfer", "genotype": None}, ConfigError, "--transfer_from=RUN"),
        ({"genotype": "absent.json"}, GenotypeError, "absent.json: can't be read"),
        ({"networks": "u_resnet", "deep_supervision": "true"}, ConfigError, "u_resnet"),
        ({"splits": "absent.json"}, DataError, "absent.json: can't be read"),
        ({"baseline_width": (33,)}, ConfigError, "width 33 can't be built"),
        ({"width": "66"}, ConfigError, "64 or 68"),
        ({"width": "match:vnet"}, ConfigError, "--width=match:vnet"),
        ({"width": "match:unet2d"}, ConfigError, "--width=match:unet2d:32: the genotype has 3 axes, and unet2d is for 2"),
        ({"width": "match:unet:1000000"}, ConfigError, "--width=1000000: expected a number from 1 to"),
        ({"width": "match:unet:" + "9" * 5000}, ConfigError, "9: expected a number from 1 to"),
        ({"width": "match:unet:abc"}, ConfigError, "--width=match:unet:abc: expected match: and one of"),
        ({"width": "match:unet:33"}, ConfigError, "unet network of width 33 can't be built"),
        (
            {"networks": "genotype", "genotype": "published:nas_unet", "configuration": "2d", "deep_supervision": "true"},
            ConfigError,
            "--deep_supervision=true: a genotype network has no outputs at coarser levels",
        ),
        ({"init": "weights"}, ConfigError, "--init is for transfer, of which --networks=genotype,nnunet names none"),
        ({"networks": "nnunet"}, ConfigError, "--genotype is for genotype"),
        ({"networks": "nnunet", "genotype": None, "width": "0"}, ConfigError, "--width=0: expected a number from 1"),
        ({"networks": "genotype", "baseline_width": (16,)}, ConfigError, "--baseline_width is for hand-made networks, of which"),
        ({"networks": "nnunet,unet2d", "genotype": None, "configuration": "3d_fullres"}, ConfigError, "this unet2d network takes 2D ones"),
        ({"num_folds": 0}, ConfigError, "--num_folds=0: cross-validation needs at least 2 folds"),
        ({"width": "100001"}, ConfigError, "--width=100001: expected a number from 1 to 100000"),
        (
            {"networks": "transfer", "genotype": None, "transfer_from": "genotype.json", "init": "weights"},
            ConfigError,
            "model.keras with model.json beside it, a trained network, isn't there",
        ),
    ],
)
def test_what_would_fail_hours_later_is_refused_at_once(config, changes, error, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.json").write_text("{}")
    with pytest.raises(error, match=message):
        all_trainings(dataclasses.replace(config, **changes))


def test_only_searched_networks_leave_out_edges(config):
    trainings = all_trainings(
        dataclasses.replace(config, networks="unet,genotype,transfer", transfer_from=config.genotype, path_dropout=0.2, folds=(0,))
    )
    assert [(own.name, own.config.path_dropout) for own in trainings[:3]] == [("unet", None), ("genotype", 0.2), ("transfer", 0.2)]
    with pytest.raises(ConfigError, match="--path_dropout is for genotype or transfer, of which --networks=unet,nnunet names none. Leave"):
        all_trainings(dataclasses.replace(config, networks="unet,nnunet", genotype=None, path_dropout=0.2))


def test_what_was_hardly_trained_is_named():
    few, enough = (
        dataclasses.replace(
            found, folds=tuple(dataclasses.replace(fold, cost=COST | {"updates": number}) for fold, number in zip(found.folds, updates))
        )
        for found, updates in ((network("genotype", (0.8, 0.9)), (1000, 199)), (network("unet", (0.8, 0.9), seed=1), (200, 300)))
    )
    text = report(networks=(few, enough, network("nnunet", (0.7, 0.8), seed=2))).text
    assert "not trained, with fewer than 200 updates: genotype (199). Their Dice" in text
    assert text.splitlines()[1].startswith("not trained")
    pairs = tuple(PairedTest(first, "nnunet", 9, 0.1, 9, 0, 0.001, 0.001) for first in ("genotype", "unet"))
    tested = dataclasses.replace(report(networks=(few, enough)), tests=pairs).text
    assert re.search(r"\ngenotype - nnunet .* differ, not trained\nunet - nnunet .* differ(\n|$)", tested)
    assert "not trained" not in report(networks=(enough,)).text


def test_blanks_behind_commas_are_no_part_of_a_name(config):
    trainings = all_trainings(dataclasses.replace(config, networks="genotype, nnunet"))
    assert [training.name for training in trainings[:2]] == ["genotype", "nnunet"]
    dataclasses.replace(config, networks="nnunet, genotype", width="64").check_given({"width"})


def test_several_hosts_take_different_folds_instead(config, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 0}}')
    with pytest.raises(ConfigError, match="different --folds"):
        all_trainings(config)


def test_results_are_merged_and_what_is_missing_is_named(config):
    trainings = all_trainings(config)
    finish(trainings[0], {"a": (0.5, 0.7), "b": (0.7, float("nan"))})
    finish(trainings[2], {"c": (0.9, 0.8)})
    finish(trainings[1], {"a": (0.4, 0.4), "b": (0.4, 0.4)})
    (genotype, nnunet), classes = collect(trainings)
    assert classes == ["core", "shell"] and genotype.missing == (2,) and nnunet.missing == (1, 2)
    assert genotype.dice["b"] == {"core": 0.7}  # the other class is nowhere
    assert genotype.class_mean("core") == pytest.approx((0.5 + 0.7 + 0.9) / 3) and genotype.class_mean("shell") == pytest.approx(0.75)
    assert genotype.average(classes) == pytest.approx((0.7 + 0.75) / 2)
    assert [*genotype.fold_averages(classes).values()] == pytest.approx([(0.6 + 0.7) / 2, 0.85])
    assert genotype.spread(classes) == pytest.approx(statistics.stdev([0.65, 0.85])) and nnunet.spread(classes) is None
    assert genotype.cost("seconds_per_step") == 0.5


@pytest.mark.parametrize(
    "flags, task, message",
    [
        ({"epochs": 7}, "phantom", "other settings .--epochs: 7 there, 2 here"),
        ({}, "spleen", "was trained on spleen"),
    ],
)
def test_results_of_another_training_are_refused(config, flags, task, message):
    trainings = all_trainings(config)
    finish(trainings[0], {"a": (0.5, 0.5)})
    finish(trainings[1], {"a": (0.5, 0.5)}, task, **flags)
    with pytest.raises(ConfigError, match=message):
        collect(trainings)


def test_results_from_another_machine_are_taken(config):
    trainings = all_trainings(config)
    finish(
        trainings[0], {"a": (0.5, 0.5)}, data_dir="/elsewhere", cache_dir="/scratch", workdir="/elsewhere/cv", genotype="/elsewhere/g.json"
    )
    assert collect(trainings)[0][0].folds[0].fold == 0


@pytest.mark.parametrize("file, numbers", [("splits.json", (0, 1)), ("plans.json", (0, 2))])
def test_results_with_other_folds_or_plans_are_refused(config, file, numbers):
    trainings = all_trainings(config)
    for number in numbers:
        finish(trainings[number], {f"case_{number}": (0.5, 0.5)})
        (trainings[number].folder / file).write_text(f"{number}")
    with pytest.raises(ConfigError, match=f"{file}: isn't that of"):
        collect(trainings)
    for number in numbers:
        (trainings[number].folder / file).write_text("the same")
    assert sum(len(network.folds) for network in collect(trainings)[0]) == 2


def test_results_of_another_plan_rule_are_refused(config):
    trainings = all_trainings(config)
    finish(trainings[0], {"a": (0.5, 0.5)}, plan="scnas")
    with pytest.raises(ConfigError, match="--plan: scnas there, nnunet here"):
        collect(trainings)


def test_results_of_other_data_are_refused(config):
    trainings = all_trainings(config)
    for number, text in enumerate(("{}", "{ }")):
        finish(trainings[number], {"a": (0.5, 0.5)})
        (trainings[number].folder / "data.json").write_text(text)
    with pytest.raises(ConfigError, match="data.json: isn't that of"):
        collect(trainings)


@pytest.mark.parametrize("text", ["", "case,core,shell\n", "case,core,kern\na,0.5,0.5\n"])
def test_a_table_of_cases_that_is_cut_off_is_damaged(config, text):
    training = all_trainings(config)[0]
    finish(training, {"a": (0.5, 0.5)})
    (training.folder / "validation.csv").write_text(text)
    with pytest.raises(ConfigError, match="validation.csv: damaged"):
        collect([training])


@pytest.mark.parametrize("changes", [{"seed": 1}, {"split_seed": 1}, {"mixed_precision": "float16"}, {"accumulate": 2}])
def test_results_of_another_seed_or_precision_are_refused(config, changes):
    trainings = all_trainings(config)
    finish(trainings[0], {"a": (0.5, 0.5)}, **changes)
    with pytest.raises(ConfigError, match=f"other settings .--{next(iter(changes))}:"):
        collect(trainings)


@pytest.mark.parametrize("name", ["plan", "splits"])
def test_results_by_another_file_than_is_named_now_are_refused(config, name, tmp_path, monkeypatch):
    """Before anything is trained; where the file is doesn't count, nor does one that is gone."""
    first, second = tmp_path / "first.json", tmp_path / "second.json"
    for file in (first, second):
        file.write_text("the same")
    there, here = (dataclasses.replace(all_trainings(config)[0].config, **{name: str(file)}) for file in (first, second))
    training = dataclasses.replace(all_trainings(config)[0], config=here)
    finish(dataclasses.replace(training, config=there), {"a": (0.5, 0.5)})
    assert collect([training])[0][0].folds
    first.write_text("another")
    with pytest.raises(ConfigError, match=f"with other settings .--{name}: .*first.json there, .*second.json here"):
        collect([training])
    first.unlink()
    assert collect([training])[0][0].folds


def test_results_that_began_with_other_weights_are_refused(config, tmp_path):
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        uniform_genotype("conv_3").save(tmp_path / name / "genotype.json")
        (tmp_path / name / "model.json").write_text("{}")
        (tmp_path / name / "model.keras").write_text(name)

    def trainings(name):
        source = {"networks": "transfer", "genotype": None, "transfer_from": str(tmp_path / name), "init": "weights"}
        return all_trainings(dataclasses.replace(config, **source))

    finish(trainings("one")[0], {"a": (0.5, 0.5)})
    digest = hashlib.sha256(b"one").hexdigest()
    (trainings("one")[0].folder / "transfer.json").write_text(json.dumps({"sha256": digest}))
    assert collect(trainings("one"))[0][0].folds
    with pytest.raises(ConfigError, match="began with the weights of another network than .*other/model.keras is now"):
        collect(trainings("other"))
    begun = trainings("other")
    (tmp_path / "other" / "model.keras").unlink()  # gone since then
    assert collect(begun)[0][0].folds


def test_a_matched_width_is_that_of_the_hand_made_networks_here(config):
    trainings = all_trainings(dataclasses.replace(config, width="match:u_resnet", baseline_width=(16,)))
    assert trainings[0].config.width == "match:u_resnet:16" and trainings[1].config.width == "16"


def test_a_width_matches_hand_made_networks_of_any_width(config, caplog):
    """Twice as wide a network, about twice the width."""
    caplog.set_level("INFO")
    flat = dataclasses.replace(config, networks="genotype", genotype="published:nas_unet", configuration="2d")
    matched = [all_trainings(dataclasses.replace(flat, width=f"match:unet:{width}"))[0].config for width in (8, 16)]
    widths = [choose(own).network.width for own in matched]
    assert widths[0] % 48 == widths[1] % 48 == 0 and 1.6 < widths[1] / widths[0] < 2.6
    assert "for a patch of 128^2 with 4 channels" in caplog.text


def test_a_width_that_isnt_given_is_one_that_the_space_can_have(config):
    published = dataclasses.replace(config, genotype="published:nas_unet", networks="genotype", configuration="2d", width="auto")
    training = all_trainings(published)[0]
    assert training.config.width == "96"
    assert choose(dataclasses.replace(training.config, width=None), early=True).network.width == 96
    with pytest.raises(ConfigError, match="64 stem channels can't be divided among 3 nodes a cell .*; use a multiple of 48"):
        all_trainings(dataclasses.replace(published, width="64"))


def test_a_width_that_no_network_takes_is_refused_on_the_command_line_alone(tmp_path):
    """Tasks and presets set it for whatever is trained."""
    (tmp_path / "own.cfg").write_text("--width=8\n")
    command = ["command", "--task=phantom", "--networks=nnunet,u_resnet"]
    for given in ("--width=32", "--width=match:nnunet"):
        with pytest.raises(
            ConfigError, match="--width is for genotype or transfer, of which --networks=nnunet,u_resnet names .*--baseline_w"
        ):
            parse(CrossvalConfig, [*command, given])
    assert parse(CrossvalConfig, command).width == "16"
    assert parse(CrossvalConfig, ["command", *command[1:], f"--flagfile={tmp_path / 'own.cfg'}"]).width == "8"
    assert parse(CrossvalConfig, [*command, "--preset=scnas"]).width == "68"
    assert parse(CrossvalConfig, [*command, "--width=auto"]).width == "auto"
    assert parse(CrossvalConfig, ["command", "--networks=nnunet,transfer", "--width=32"]).width == "32"


def test_a_damaged_result_is_named(config):
    training = all_trainings(config)[0]
    finish(training, {"a": (0.5, 0.5)})
    (training.folder / "validation.csv").write_text("case,core\na,much\n")
    with pytest.raises(ConfigError, match="validation.csv: damaged.*Delete"):
        collect([training])


def dice_of(*networks):
    return {network.name: network.dice for network in networks if network.folds}


def test_wilcoxon_over_cases_and_over_patients():
    one, other = network("one", (0.8, 0.82), 5), network("other", (0.75, 0.83), 5, seed=1)
    (test,) = paired_tests(dice_of(one, other), {})
    pairs = [(statistics.fmean(one.dice[case].values()), statistics.fmean(other.dice[case].values())) for case in one.dice]
    assert test.probability == test.corrected == pytest.approx(stats.wilcoxon(*zip(*pairs)).pvalue)
    assert test.units == 10 and test.better == sum(a > b for a, b in pairs) == 10 - test.worse
    assert test.difference == pytest.approx(statistics.fmean(a - b for a, b in pairs))
    (test,) = paired_tests(dice_of(one, other), {case: case[:6] for case in one.dice})  # a fold is a patient
    assert test.units == 2 and test.difference == pytest.approx(statistics.fmean(a - b for a, b in pairs))


def test_equal_networks_and_networks_without_common_cases():
    (same,) = paired_tests(dice_of(network("a", (0.8,)), network("b", (0.8,))), {})
    assert (same.difference, same.probability, same.better, same.worse) == (0, 1, 0, 0) and not same.differs
    apart = NetworkResult("c", (FoldResult(1, {"elsewhere": {"core": 0.5}}, COST),))
    (none,) = paired_tests(dice_of(network("a", (0.8,)), apart), {})
    assert (none.units, none.probability) == (0, 1)


def test_holm_by_hand():
    """0.01 * 4, then 0.02 * 3, 0.03 * 2 (the running maximum holds 0.06), 0.9."""
    assert holm([0.03, 0.01, 0.9, 0.02]) == pytest.approx([0.06, 0.04, 0.9, 0.06])
    assert holm([0.5, 0.6]) == [1.0, 1.0] and holm([]) == []


def report(task="phantom", classes=("core", "shell"), networks=None, unit="case"):
    networks = networks or (network("genotype", (0.8, 0.9)), network("nnunet", (0.7,), seed=1))
    return CrossvalReport(task, 5, classes, networks, tuple(paired_tests(dice_of(*networks), {})), unit)


def test_the_table_says_what_was_found():
    text = report().text
    row = next(line.split() for line in text.splitlines() if line.startswith("genotype"))
    assert row[2] == "0.850" and row[-3:] == ["2", "of", "5"]
    lines = [line.strip() for line in text.splitlines()]
    titles, costs = (re.split(r"\s{2,}", next(line for line in lines if word in line)) for word in ("s/scan", " 0.75"))
    told = dict(zip(titles, costs[1:]))
    assert (told["width"], told["params M"], told["epochs"], told["s/scan"]) == ("48", "2.00", "10", "0.75")
    assert "2.00" in text and "3.0" in text and "too few to tell (4 in common)" in text and "different folds" in text
    assert "paper:" not in text


def test_the_papers_figures_stand_beside_those_of_its_tasks():
    """Table 1: the printed averages are the means of the classes to two digits."""
    for rows in PUBLISHED.values():
        for row in rows:
            assert row.average == pytest.approx(statistics.fmean(row.dice), abs=6e-5), row
    one = NetworkResult("genotype", (FoldResult(0, {"a": {"tumour": 0.6}}, COST),))
    text = report("lung", ("tumour",), (one,)).text
    assert "paper: SCNAS (transfer)" in text and "0.686" in text and "arXiv 1906.05956" in text
    assert "paper:" not in report("lung", ("core", "shell")).text  # other classes than the paper's


def test_cases_and_json_hold_every_number():
    found = report()
    rows = list(csv.DictReader(io.StringIO(found.cases_csv({"case_0_0": "patient"}))))
    assert len(rows) == 12 and rows[0]["patient"] == "patient" and rows[1]["patient"] == rows[1]["case"]
    assert statistics.fmean(float(row["shell"]) for row in rows if row["network"] == "genotype") == pytest.approx(0.85)
    document = json.loads(json.dumps(found.to_json()))
    assert document["networks"]["genotype"]["fold_averages"].keys() == {"0", "1"} and document["paired_tests"][0]["units"] == 4


def test_the_figure_has_a_panel_a_class_and_a_point_a_case():
    networks = {found.name: found.dice for found in report().networks}
    figure = comparison_figure(networks, ("core", "shell"))
    assert [axes.get_title() for axes in figure.axes] == ["core", "shell"]
    assert [len(points.get_offsets()) for points in figure.axes[1].collections] == [8, 4]


def test_finished_folds_are_not_trained_again_and_a_failure_keeps_them(config, monkeypatch):
    trained = []

    def train(command, settings):
        training = next(own for own in all_trainings(config) if own.config.workdir == settings.workdir)
        assert command == "retrain" and settings == training.config
        if (training.name, training.fold) == ("nnunet", 1) and not trained.count("failed"):
            trained.append("failed")
            return -9
        trained.append((training.name, training.fold))
        finish(training, {f"case_{training.fold}": (0.5, 0.6)})
        return 0

    monkeypatch.setattr(in_turn, "run_child", train)
    with pytest.raises(ChildError, match=r"training run of nnunet on fold 1 ended with code -9 \(it was killed"):
        runner.run_crossval(config)
    assert trained == [("genotype", 0), ("nnunet", 0), ("genotype", 1), "failed"]
    result = runner.run_crossval(dataclasses.replace(config, folds=(1,)))
    assert trained[4:] == [("nnunet", 1)] and "fold 2 not there yet" in result.text
    assert {path.name for path in result.folder.iterdir()} >= {"crossval.txt", "crossval.json", "crossval.png", "cases.csv"}
    runner.run_crossval(config)
    assert trained[5:] == [("genotype", 2), ("nnunet", 2)]


def test_folds_are_paired_by_patient(config, monkeypatch):
    config = dataclasses.replace(config, group_pattern=r"p\d")
    for training in all_trainings(config):
        dice = 0.5 + 0.1 * (training.name == "nnunet")
        finish(training, {f"p{training.fold}_{scan}": (dice, dice) for scan in "abc"})
    found = runner.run_crossval(config)
    assert found.report.unit == "patient" and found.report.tests[0].units == 3


@pytest.mark.parametrize("unit", ["mm", "pixels"])
def test_surfaces_stand_beside_dice_where_they_were_measured(config, unit):
    """Of one network's first fold; of another none."""
    for training in all_trainings(config)[:2]:
        measured = {"tolerance_mm": 1.5, "length_unit": unit} if training.name == "nnunet" else {}
        finish(training, {"a": (0.9, 0.8), "b": (0.7, 0.6)}, **{})
        summary = json.loads((training.folder / "summary.json").read_text())
        summary["result"] |= measured
        (training.folder / "summary.json").write_text(json.dumps(summary))
        if measured:
            rows = "a,core,0.95,2,1\nb,core,0.85,4,1\na,shell,0.5,1,1\nb,shell,0,,\n"
            (training.folder / "surfaces.csv").write_text("case,class,nsd,hd95,assd\n" + rows)
    networks, classes = collect(all_trainings(config))
    report = CrossvalReport("phantom", 3, tuple(classes), tuple(networks), (), "case")
    header, first, second = [line for line in report.text.splitlines()[2:5]]
    assert header.endswith(f"NSD at 1.5 {unit}  HD95 {unit}")
    assert first.split()[0] == "genotype" and first.split()[-2:] == ["-", "-"] and second.split()[-2:] == ["0.575", "2.00"]
    told = report.to_json()["networks"]["nnunet"]
    assert told["nsd"] == {"core": pytest.approx(0.9), "shell": 0.25} and told["hd95_mm"] == {"core": 3.0, "shell": 1.0}
    rows = [*csv.DictReader(io.StringIO(report.cases_csv({})))]
    assert [row["shell NSD"] for row in rows] == ["", "", "0.500000", "0.000000"] and rows[3][f"shell HD95 {unit}"] == "" == rows[0][
        "core NSD"
    ]
    assert rows[2]["core"] == "0.900000" and rows[2][f"core HD95 {unit}"] == "2.000000" and report.to_json()["length_unit"] == unit
