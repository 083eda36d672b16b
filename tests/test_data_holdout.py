"""Repeated holdout: what `--protocol` may say, and which cases each repeat holds out."""

import dataclasses
import itertools
import pathlib
import re
import shlex

import pytest
from small_task import REAL_DATA, write_task
from some_spaces import SCNAS

from scnas_keras.architectures.searched import DerivedNetwork, SupernetNetwork
from scnas_keras.crossval import CrossvalConfig
from scnas_keras.errors import ConfigError, DataError
from scnas_keras.options import parse, to_flagfile
from scnas_keras.retrain import RetrainConfig
from scnas_keras.runs.checks import check_data
from scnas_keras.runs.folds import open_fold
from scnas_keras.runs.following import following
from scnas_keras.search import SearchConfig
from scnas_keras.select import SelectConfig
from scnas_keras.select.job_flags import search_config
from scnas_keras.tasks.holdout import Holdout, _part, parse_protocol
from scnas_keras.tasks.patients import group_by_patient, shuffled
from scnas_keras.tasks.split_files import read_splits, write_splits
from scnas_keras.tasks.splits import ALL, find_folds, make_splits, split_fold

NAMES = [f"case_{index:02}" for index in range(40)]
CASES = [f"case_{index}" for index in range(6)]
OF_PATIENT = r"^(p\d+)_"


def repeats(names=NAMES, protocol="holdout:0.3x4", seed=0, pattern=None):
    return make_splits(names, seed=seed, groups=group_by_patient(names, pattern), protocol=protocol)


@pytest.mark.parametrize("share, held_out", [(0.3, 12), (0.5, 20), (0.03, 1), (0.94, 38)])
def test_every_repeat_holds_out_the_share_and_trains_on_the_rest(share, held_out):
    found = repeats(protocol=f"holdout:{share}x3")
    assert len(found) == 3 and {len(repeat.validation) for repeat in found} == {held_out}
    for number, repeat in enumerate(found):
        assert not {*repeat.training} & {*repeat.validation} and sorted(repeat.training + repeat.validation) == NAMES
        split = split_fold(found, number)
        assert split.train and split.held_out and sorted(split.train + split.held_out) == [*repeat.training]
    assert sorted(split_fold(found, ALL).train) == NAMES


def test_every_repeat_has_cases_of_its_own_for_the_architecture():
    """Of repeats that validate alike, one seed would find nearly the same; the seed of the next repeat is that of the next --split_seed."""
    found = repeats(protocol="holdout:0.1x4")
    held_out = [{*split_fold(found, number, protocol="holdout:0.1x4").held_out} for number in range(4)]
    for number, one in enumerate(held_out):
        assert all(len(one & other) <= len(one) // 2 for other in held_out[:number])
    later = repeats(protocol="holdout:0.1x3", seed=1)
    assert [split_fold(later, number, 1, protocol="holdout:0.1x3") for number in range(3)] == [
        split_fold(found, number, protocol="holdout:0.1x4") for number in range(1, 4)
    ]
    assert split_fold(found, 0, protocol="holdout:0.1x4") == split_fold(found, 0)


def test_the_cases_that_are_held_out_stay_those():
    """Of a seed: runs of different versions are compared."""
    assert repeats(protocol="holdout:0.1x2")[0].validation == ("case_04", "case_11", "case_24", "case_27")


def test_the_folds_of_k_fold_are_divided_by_one_seed():
    """As in runs that were begun before repeats were: by hand, of the order of all cases those that aren't validated, a fifth."""
    order = shuffled(NAMES, 7)
    for number, fold in enumerate(folds := make_splits(NAMES, 4, seed=7)):
        expected = [name for name in order if name in fold.training][:6]
        assert split_fold(folds, number, 7).held_out == tuple(sorted(expected))


def test_repeats_are_drawn_anew_by_the_seeds_from_split_seed_on():
    found = repeats()
    assert found == repeats(NAMES[::-1]) and len({repeat.validation for repeat in found}) == 4
    held_out = [case for repeat in found for case in repeat.validation]
    assert len(held_out) == 48 and len({*held_out}) < len(NAMES)  # some in several, others in none
    assert repeats(seed=1)[:3] == found[1:] and repeats(protocol="holdout:0.3x2") == found[:2]


@pytest.mark.parametrize("seed", range(8))
def test_patients_stay_whole_and_the_share_is_as_near_as_they_allow(seed):
    names = [f"p{patient}_{case}" for patient in range(12) for case in range(1 + (patient * 5 + seed) % 6)]
    groups = group_by_patient(names, OF_PATIENT)
    largest = max(map(len, groups.values()))
    for share in (0.2, 0.3, 0.5):
        for repeat in repeats(names, f"holdout:{share}x4", seed, OF_PATIENT):
            assert abs(len(repeat.validation) - share * len(names)) <= largest / 2
            assert all({*cases} <= {*repeat.validation} or not {*cases} & {*repeat.validation} for cases in groups.values())


def test_seven_to_three_of_the_pictures_of_the_paper():
    """Zhang et al. 2022, section 3.1: 670 pictures."""
    assert {len(repeat.validation) for repeat in repeats([f"{index}" for index in range(670)])} == {201}


@pytest.mark.parametrize(
    "text, message",
    [
        ("holdout:1.5x4", "holds out a share of 1.5; expected one above 0 and below 1, like 0.3"),
        ("holdout:1x4", "holds out a share of 1; expected"),
        ("holdout:0x4", "holds out a share of 0; expected"),
        ("holdout:0.3x0", "expected 1 to 1000 repeats, found 0"),
        ("holdout:0.3x1001", "expected 1 to 1000 repeats, found 1001"),
        *((text, "expected kfold, or like holdout:0.3x4") for text in ("holdout", "holdout:0.3", "holdout:-0.3x4", "holdout:.x4", "5", "")),
    ],
)
def test_a_protocol_that_is_none_is_refused(text, message):
    with pytest.raises(ConfigError, match=f"^--protocol={re.escape(text)}: {message}"):
        parse_protocol(text)
    with pytest.raises(ConfigError, match=message):
        check_data(SelectConfig(protocol=text, splits="own.json"))


def test_what_a_protocol_says():
    assert parse_protocol("kfold") is None
    assert parse_protocol("holdout:0.25x10") == Holdout(0.25, 10) and str(Holdout(0.25, 10)) == "holdout:0.25x10"
    assert Holdout(0.3, 4).words == "4 repeats with a share of 0.3 held out" and Holdout(0.5, 1).words.startswith("1 repeat with")


@pytest.mark.parametrize(
    "names, pattern, protocol, message",
    [
        (NAMES, None, "holdout:0.01x4", "0.01 of 40 labelled cases is nearer to none than to one. Hold out a larger share"),
        (NAMES, None, "holdout:0.99x4", "0 of 40 labelled cases would be left to train on; at least 2 are needed"),
        (NAMES[:3], None, "holdout:0.6x1", "1 of 3 labelled cases would be left .* Hold out a smaller share"),
        (NAMES[:3], None, "holdout:0.3x4", "so few cases, 3, that only 3 different ways to hold out .* fewer repeats, or for"),
        (NAMES[:2], None, "holdout:0.5x1", "Found 2 labelled cases; at least 3"),
        ([f"p{i % 4}_{i}" for i in range(40)], OF_PATIENT, "holdout:0.1x2", r"0.1 of 4 patients \(40 labelled cases\) is nearer to none"),
        ([f"p{i % 4}_{i}" for i in range(40)], OF_PATIENT, "holdout:0.7x2", r"1 of 4 patients \(40 labelled cases\) would be left"),
        ([f"p{i % 2}_{i}" for i in range(40)], OF_PATIENT, "holdout:0.5x2", "Found 2 patients"),
    ],
)
def test_a_share_that_leaves_no_case_on_a_side_is_refused(names, pattern, protocol, message):
    with pytest.raises(DataError, match=message):
        repeats(names, protocol, pattern=pattern)


def test_a_draw_that_leaves_one_patient_is_passed_over():
    """Where all four small patients come first, the large one no longer fits, and alone would be left to train on."""
    names = [f"p0_{case}" for case in range(6)] + [f"p{patient}_0" for patient in range(1, 5)]
    groups = group_by_patient(names, OF_PATIENT)
    passed_over = 0
    for seed in range(50):
        (repeat,) = repeats(names, "holdout:0.6x1", seed, OF_PATIENT)
        assert len({name[:2] for name in repeat.training}) >= 2
        passed_over += sorted(repeat.validation) != sorted(_part(names, groups, 0.6, seed))
    assert passed_over > 0


def test_a_holdout_has_no_folds_to_deal_out_nor_to_count():
    message = "--split=nnunet deals cases out to folds, which --protocol=holdout:0.3x4 doesn't have. Add --protocol=kfold, or --split=by_p"
    with pytest.raises(ConfigError, match=message):
        make_splits(NAMES, method="nnunet", protocol="holdout:0.3x4")
    with pytest.raises(ConfigError, match=message):
        check_data(SearchConfig(split="nnunet", protocol="holdout:0.3x4"))
    given = ["command", "--task=nuclei", "--num_folds=3"]
    for config_class in (SearchConfig, RetrainConfig, CrossvalConfig, SelectConfig):
        with pytest.raises(ConfigError, match="--num_folds=3: the protocol of --task=nuclei, .*, has repeats .* Add --protocol=kfold"):
            parse(config_class, given)
        assert parse(config_class, [*given, "--protocol=kfold"]).num_folds == 3


@pytest.mark.parametrize(
    "flags, message",
    [
        ("--num_folds=3 --protocol=holdout:0.3x4", "--num_folds=3: --protocol=holdout:0.3x4 has repeats .* Leave out one of the two"),
        ("--splits=F --protocol=holdout:0.3x4", "--protocol=holdout:0.3x4: --splits=F says which folds there are. Leave out one"),
        ("--splits=F --num_folds=3", "--num_folds=3: --splits=F says how many folds there are. Leave out one of the two"),
        ("--splits=F --num_folds=3 --task=nuclei", "--num_folds=3: --splits=F says how many folds there are. Leave out one of the two"),
    ],
)
def test_flags_that_say_the_folds_twice_are_refused(flags, message):
    for config_class in (SearchConfig, RetrainConfig, CrossvalConfig, SelectConfig):
        with pytest.raises(ConfigError, match=message):
            parse(config_class, ["command", *flags.split()])
        parse(config_class, ["command", "--task=nuclei", "--splits=F", "--protocol=kfold"])  # which takes the task's away


def test_a_command_that_another_begins_says_all_and_is_not_refused():
    """As `run_child` does; and the next line, which a person pastes, has no two of them."""
    for config_class, task in itertools.product((SearchConfig, RetrainConfig, CrossvalConfig, SelectConfig), ("nuclei", "custom")):
        for splits, protocol in ((None, "holdout:0.5x2"), ("F", "holdout:0.5x2"), ("F", "kfold")):
            config = dataclasses.replace(parse(config_class, ["", f"--task={task}"]), protocol=protocol, splits=splits, num_folds=3)
            assert parse(config_class, ["command", *to_flagfile(config).splitlines()]).protocol == protocol
            again = parse(RetrainConfig, shlex.split(following("retrain", config))[1:])
            assert again.splits == splits and (splits or again.protocol == protocol)
    selected = search_config(SelectConfig(task="nuclei", protocol="holdout:0.5x2", num_folds=3), tmp := pathlib.Path("search"), 60.0)
    assert (selected.protocol, selected.workdir, selected.preset, selected.space) == ("holdout:0.5x2", str(tmp), "short", "light")


def test_a_file_of_splits_goes_before_the_protocol_and_may_hold_its_repeats(tmp_path):
    found, _ = find_folds(NAMES, protocol="holdout:0.3x4")
    write_splits(tmp_path / "splits.json", found)
    assert read_splits(tmp_path / "splits.json", NAMES) == found
    assert find_folds(NAMES, file=tmp_path / "splits.json", protocol="holdout:0.5x2")[0] == found


def test_search_and_training_of_a_fold_have_the_same_repeat(tmp_path):
    data = write_task(tmp_path / "task", num_cases=6)
    flags = ["command", "--task=custom", f"--data_dir={data}", f"--cache_dir={tmp_path}/cache", "--processes=1", "--patch_size=8,8,8"]
    networks = {SearchConfig: SupernetNetwork(SCNAS, 4), RetrainConfig: DerivedNetwork(SCNAS, 4)}
    of_repeat, held_out = [], []
    for number in range(2):
        opened = [open_fold(parse(kind, [*flags, "--protocol=holdout:0.3x2"]), network, number) for kind, network in networks.items()]
        assert opened[0].split == opened[1].split and len(opened[0].split.validation) == 2
        of_repeat.append(opened[0].split.validation)
        held_out.append(opened[0].split.held_out)
        opened[0].save(tmp_path / f"run_{number}")
        config, splits = parse(SearchConfig, [*flags, "--protocol=holdout:0.3x2"]), f"{tmp_path}/run_{number}/splits.json"
        assert (
            open_fold(dataclasses.replace(config, splits=splits), networks[SearchConfig], number).split == opened[0].split
        )  # as assess opens a finished search
    assert held_out == [split_fold(repeats(CASES, "holdout:0.3x2"), number, protocol="holdout:0.3x2").held_out for number in range(2)]
    assert held_out[1] != split_fold(repeats(CASES, "holdout:0.3x2"), 1).held_out
    assert of_repeat == [repeat.validation for repeat in repeats(CASES, "holdout:0.3x2")]


def test_real_nuclei_are_split_as_in_the_paper():
    names = sorted(path.stem for path in (REAL_DATA / "Nuclei_DSB2018" / "images").glob("*"))
    if not names:
        pytest.skip(f"real data isn't at {REAL_DATA / 'Nuclei_DSB2018'}")
    found = repeats(names)
    assert {len(repeat.validation) for repeat in found} == {round(0.3 * len(names))} and len({*found}) == 4
