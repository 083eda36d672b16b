import json
import logging
import re

import numpy as np
import pytest
from small_task import REAL_DATA

from scnas_keras.errors import ConfigError, DataError
from scnas_keras.tasks.patients import group_by_patient, guess_pattern
from scnas_keras.tasks.split_files import FoldNames, read_splits, write_splits
from scnas_keras.tasks.splits import find_folds, make_splits, split_fold

SIZES = [(cases, folds) for cases in (4, 5, 7, 23, 208) for folds in (2, 3, 4, 5) if folds <= cases]
GOLDEN = (("a", "b", "f", "g", "h"), ("d",), ("c", "e"))
# scikit-learn 1.9.1: [part.tolist() for _, part in KFold(5, shuffle=True, random_state=12345).split(range(13))]
SKLEARN = [[0, 7, 9], [3, 6, 10], [8, 11, 12], [1, 4], [2, 5]]
OF_PATIENT = r"^(p\d+)_"


def split_cases(names, fold, num_folds=5, seed=0, *choices, **named):
    folds, groups = find_folds(names, num_folds, seed, *choices, **named)
    return split_fold(folds, fold, seed, groups)


def random_patients(seed: int) -> list[str]:
    """Names of 8 to 30 patients with 1 to 6 cases each."""
    random = np.random.default_rng(seed)
    return [f"p{patient}_{case}" for patient in range(random.integers(8, 31)) for case in range(random.integers(1, 7))]


@pytest.fixture
def warnings(caplog):
    caplog.set_level(logging.WARNING, logger="absl")
    return lambda: caplog.messages


@pytest.mark.parametrize("num_cases, num_folds", SIZES)
def test_parts_are_disjoint_and_every_case_is_validated_once(num_cases, num_folds):
    names = [f"case_{index}" for index in range(num_cases)]
    validated = []
    for fold in range(num_folds):
        split = split_cases(names, fold, num_folds, seed=3)
        parts = split.train + split.held_out + split.validation
        assert sorted(parts) == sorted(names)  # disjoint, and nothing is lost
        assert split.train and split.held_out and split.validation
        assert abs(len(split.held_out) - (num_cases - len(split.validation)) / 5) < 1
        validated += split.validation
    assert sorted(validated) == sorted(names)


def test_the_order_of_the_names_does_not_matter_but_the_seed_does():
    for names, pattern in (([f"case_{index}" for index in range(30)], None), (random_patients(0), OF_PATIENT)):
        assert split_cases(names, 1, 5, 0, pattern=pattern) == split_cases(names[::-1], 1, 5, 0, pattern=pattern)
        assert split_cases(names, 1, 5, 0, pattern=pattern) != split_cases(names, 1, 5, 1, pattern=pattern)


def test_the_split_is_the_same_on_every_platform():
    split = split_cases(list("abcdefgh"), fold=0, num_folds=4, seed=0)
    assert (split.train, split.held_out, split.validation) == GOLDEN


@pytest.mark.parametrize("seed", range(12))
def test_patients_stay_whole_and_folds_are_balanced(seed):
    names = random_patients(seed)
    groups = group_by_patient(names, OF_PATIENT)
    largest = max(map(len, groups.values()))
    for num_folds in (2, 3, 5):
        folds = make_splits(names, num_folds, seed, groups)
        assert sorted(name for fold in folds for name in fold.validation) == sorted(names)
        sizes = [len(fold.validation) for fold in folds]
        assert max(sizes) - min(sizes) <= largest
        for index, fold in enumerate(folds):
            split = split_fold(folds, index, seed, groups)
            parts = (split.train, split.held_out, split.validation)
            assert sorted(sum(parts, ())) == sorted(names)
            assert all(sum(not set(cases).isdisjoint(part) for part in parts) == 1 for cases in groups.values())
            assert abs(len(split.held_out) - len(fold.training) / 5) <= largest


def test_large_patients_are_dealt_first():
    names = [f"{patient}{case}" for patient, cases in (("a", 4), ("b", 2), ("c", 2), ("d", 3)) for case in range(cases)]
    for seed in range(6):
        folds = make_splits(names, 2, seed, group_by_patient(names, "^."))
        held_out = {frozenset(name[0] for name in fold.validation) for fold in folds}
        # a to one fold, d to the other; the first of b and c joins d (3 < 4), the second a (4 < 5)
        assert held_out in ({frozenset("ab"), frozenset("dc")}, {frozenset("ac"), frozenset("db")})


@pytest.mark.parametrize("sizes, expected", [([5, 5, 1, 3, 1], {2, 3}), ([9, 1, 10], {1}), ([4, 6, 3], {3}), ([8, 7], {7})])
def test_the_logits_take_patients_up_to_a_fifth_or_else_the_smallest(sizes, expected):
    # a fifth of the training cases is 3 of 15 (3 or 1 and 1 fit), 4 of 20, 3 of 13 (rounded), 3 of 15 (none fits)
    training = [f"p{patient}_{case}" for patient, size in enumerate(sizes) for case in range(size)]
    groups = group_by_patient([*training, "p99_0"], OF_PATIENT)
    for seed in range(6):
        split = split_fold([FoldNames(tuple(training), ("p99_0",))], 0, seed, groups)
        assert len(split.held_out) in expected


def test_nnunet_folds_equal_scikit_learn():
    names = [f"case_{index:02}" for index in range(13)]
    folds = make_splits(names[::-1], 5, seed=99, method="nnunet")  # its seed is its own
    assert [fold.validation for fold in folds] == [tuple(names[index] for index in part) for part in SKLEARN]
    assert all(fold.training == tuple(sorted(set(names) - set(fold.validation))) for fold in folds)


def test_nnunet_folds_warn_of_divided_patients(warnings):
    names = [f"p{index // 2}_{index % 2}" for index in range(10)]
    make_splits(names, method="nnunet")
    assert not warnings()
    groups = group_by_patient(names, OF_PATIENT)
    assert make_splits(names, groups=groups, method="nnunet") == make_splits(names, method="nnunet")
    assert "of 5 patients are both trained on and validated" in warnings()[0]
    make_splits(names, groups=groups)
    assert len(warnings()) == 1


@pytest.mark.parametrize(
    "num_cases, fold, num_folds, error, message",
    [
        (10, 5, 5, ConfigError, "0 to 4"),
        (10, -1, 5, ConfigError, "0 to 4"),
        (10, 0, 1, ConfigError, "at least 2 folds"),
        (4, 0, 5, DataError, "--num_folds=4"),
        (3, 0, 2, DataError, "--num_folds=3"),
        (2, 0, 2, DataError, "at least 3"),
        (1, 0, 2, DataError, "at least 3"),
        (0, 0, 5, DataError, "Found 0"),
    ],
)
@pytest.mark.parametrize("method", ["by_patient", "nnunet"])
def test_impossible_splits_are_refused_with_a_remedy(num_cases, fold, num_folds, error, message, method):
    with pytest.raises(error, match=message):
        split_cases([f"case_{index}" for index in range(num_cases)], fold, num_folds, seed=0, method=method)


@pytest.mark.parametrize(
    "num_patients, num_folds, message",
    [
        (4, 5, "found 4 patients.*Use --num_folds=4"),
        (2, 2, "Found 2 patients.*at least 3"),
        (1, 2, "fix --group_pattern"),
        (3, 2, "all of one patient.*Use --num_folds=3"),
    ],
)
def test_too_few_patients_are_refused_with_a_remedy(num_patients, num_folds, message):
    names = [f"p{patient}_{case}" for patient in range(num_patients) for case in range(6)]
    with pytest.raises(DataError, match=message):
        split_cases(names, 0, num_folds, pattern=OF_PATIENT)
    if num_patients > 2:
        assert split_cases(names, 0, num_patients, pattern=OF_PATIENT)  # the remedy helps


def test_an_unknown_method_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match="by_patient, nnunet"):
        make_splits(list("abcdef"), method="random")


@pytest.mark.parametrize("method", ["by_patient", "nnunet"])
def test_a_file_of_splits_gives_the_folds_that_were_written(tmp_path, method):
    names = ["é_1", 'quo"te', "a, b", *(f"case_{index}" for index in range(20))]
    folds = make_splits(names, method=method)
    write_splits(tmp_path / "splits.json", folds)
    assert read_splits(tmp_path / "splits.json", names) == folds
    for fold in range(5):
        from_file = split_cases(names, fold, num_folds=2, seed=4, file=tmp_path / "splits.json")
        assert from_file == split_fold(folds, fold, seed=4)


def test_a_file_of_nnunet_is_read_as_it_is(tmp_path, warnings):
    (tmp_path / "splits_final.json").write_text('[\n {"train": ["c", "a"],\n  "val": ["b"]}, {"val": ["a"], "train": ["b", "c"]}\n]')
    folds = read_splits(tmp_path / "splits_final.json", list("abc"))
    assert folds == [FoldNames(("a", "c"), ("b",)), FoldNames(("b", "c"), ("a",))]
    (warning,) = warnings()
    assert warning.endswith("splits_final.json: 1 of the task's 3 cases are validated in no fold: c")
    with pytest.raises(ConfigError, match="--fold=2.*0 to 1"):
        split_cases(list("abc"), 2, file=tmp_path / "splits_final.json")


TRAIN = ["case_0", "case_1", "case_2"]
BROKEN = {
    "JSON": ('[{"train": ["a"],\n "val" ["b"]}]', "line 2, column 8"),
    "not UTF-8": (b"\x80\x04\x95", "UTF-8"),
    "no list": ({"train": TRAIN, "val": ["case_3"]}, r'found {"train": .*, expected a list\. The format is'),
    "no fold": ([], r"found \[\], expected a list of length >= 1"),
    "no val": ([{"train": TRAIN, "validation": ["case_3"]}], r'\[0\]: found the keys "train", "validation", expected the key "val"'),
    "fold is a list": ([[TRAIN, ["case_3"]]], r'\[0\]: found \[\["case_0", .*, expected an object'),
    "names are numbers": ([{"train": [0, 1], "val": [3]}], r"\[0\].train\[0\]: found 0, expected a word in quotes"),
    "overlap": (
        [{"train": TRAIN, "val": ["case_3"]}, {"train": TRAIN, "val": ["case_1"]}],
        r"\[1\]: found 1 cases more than once, 1 of them in both train and val: case_1; expected each once",
    ),
    "a name is empty": ([{"train": ["", "case_1"], "val": ["case_3"]}], r'\[0\].train\[0\]: found "", expected a word in quotes'),
    "a line in a name": ([{"train": ["a\n", "case_1"], "val": ["case_3"]}], r'\[0\].train\[0\]: found "a\\n", expected a word'),
    "no list of names": ([{"train": TRAIN, "val": "case_3"}], r'\[0\].val: found "case_3", expected a list'),
    "empty": ("", "found an empty file"),
    "cut off": ('[{"train": ["case_0", ', "the file ends here: was it cut off"),
    "twice": ('[{"train": ["a"], "train": ["b"], "val": ["c"]}]', r"\[0\].train: found this key more than once"),
    "repeated": ([{"train": [*TRAIN, "case_0"], "val": ["case_3"]}], r"\[0\]: found 1 cases more than once, 0 of them in both.*: case_0"),
    "one to train": ([{"train": ["case_0"], "val": ["case_3"]}], r"\[0\]: found 1 cases to train and 1 to validate, expected at least 2"),
    "none to validate": ([{"train": TRAIN, "val": []}], "0 to validate"),
    "file ending": (
        [{"train": TRAIN, "val": ["case_3.nii.gz"]}],
        "found 1 of its 4 cases, case_3.nii.gz, that aren't .* 6 labelled cases. case_3.nii.gz is like case_3. ",
    ),
    "other task": (
        [{"train": [f"liver{index}" for index in range(7)], "val": ["case_1"]}],
        "found 7 of its 8 cases, liver0, liver1, liver2, liver3, liver4 and 2 more, that aren't .* A case's name",
    ),
}


@pytest.mark.parametrize("content, message", BROKEN.values(), ids=BROKEN)
def test_a_broken_file_of_splits_is_refused_with_the_place(tmp_path, content, message):
    file = tmp_path / "splits.json"
    text = content if isinstance(content, (str, bytes)) else json.dumps(content)
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError, match=f"{re.escape(str(file))}.*{message}") as caught:
        read_splits(file, [f"case_{index}" for index in range(6)])
    assert "\n" not in str(caught.value)


def test_a_missing_file_of_splits_is_refused(tmp_path):
    with pytest.raises(DataError, match="gone.json.*No such file"):
        read_splits(tmp_path / "gone.json", ["a"])


def test_patients_that_a_file_divides_and_cases_validated_twice_are_warned_of(tmp_path, warnings):
    names = ["p1_a", "p1_b", "p2_a", "p3_a"]
    file = tmp_path / "splits.json"
    write_splits(file, [FoldNames(("p1_a", "p2_a", "p3_a"), ("p1_b",)), FoldNames(("p2_a", "p3_a"), ("p1_a", "p1_b"))])
    folds = read_splits(file, names, group_by_patient(names, OF_PATIENT))
    assert [fold.validation for fold in folds] == [("p1_b",), ("p1_a", "p1_b")]
    assert "validated in no fold: p2_a, p3_a" in warnings()[0]
    assert "validated in several folds: p1_b" in warnings()[1]
    assert "1 of 3 patients are both trained on and validated" in warnings()[2] and "good: p1. " in warnings()[2]


def test_names_that_look_like_patients_are_warned_of_until_a_pattern_is_given(warnings):
    names = [f"patient{index // 2}_frame{index % 2}" for index in range(20)]
    split_cases(names, 0)
    (warning,) = warnings()
    assert "from 10 patients" in warning and r"--group_pattern='^patient\d+'" in warning
    split_cases(names, 0, pattern=r"^patient\d+")
    assert split_cases(names, 0, pattern=".+") == split_cases(sorted(names), 0, pattern=".+")
    assert len(warnings()) == 1


def test_no_real_lung_patient_is_in_two_parts():
    names = sorted(path.name.split(".")[0] for path in (REAL_DATA / "Task06_Lung" / "labelsTr").glob("*.nii.gz"))
    if not names:
        pytest.skip(f"real data isn't at {REAL_DATA / 'Task06_Lung'}")
    pattern = guess_pattern(names)
    validated = []
    for fold in range(5):
        split = split_cases(names, fold, pattern=pattern)
        parts = (split.train, split.held_out, split.validation)
        patients = [{name[: len("LIDC-IDRI-0000")] for name in part} for part in parts]
        assert sum(map(len, patients)) == len(set.union(*patients)) == len({name[:14] for name in names})
        validated += split.validation
    assert sorted(validated) == names
