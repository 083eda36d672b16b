import pytest

from scnas_keras.data.splits import split_cases
from scnas_keras.errors import ConfigError, DataError

SIZES = [(cases, folds) for cases in (4, 5, 7, 23, 208) for folds in (2, 3, 4, 5) if folds <= cases]
GOLDEN = (("a", "b", "f", "g", "h"), ("d",), ("c", "e"))


@pytest.mark.parametrize("num_cases, num_folds", SIZES)
def test_parts_are_disjoint_and_every_case_is_validated_once(num_cases, num_folds):
    names = [f"case_{index}" for index in range(num_cases)]
    validated = []
    for fold in range(num_folds):
        split = split_cases(names, fold, num_folds, seed=3)
        parts = split.weights + split.logits + split.validation
        assert sorted(parts) == sorted(names)  # disjoint, and nothing is lost
        assert split.weights and split.logits and split.validation
        assert abs(len(split.logits) - (num_cases - len(split.validation)) / 5) < 1
        validated += split.validation
    assert sorted(validated) == sorted(names)


def test_the_order_of_the_names_does_not_matter_but_the_seed_does():
    names = [f"case_{index}" for index in range(30)]
    assert split_cases(names, 1, 5, seed=0) == split_cases(names[::-1], 1, 5, seed=0)
    assert split_cases(names, 1, 5, seed=0) != split_cases(names, 1, 5, seed=1)


def test_the_split_is_the_same_on_every_platform():
    split = split_cases(list("abcdefgh"), fold=0, num_folds=4, seed=0)
    assert (split.weights, split.logits, split.validation) == GOLDEN


@pytest.mark.parametrize("num_cases, fold, num_folds, error, message", [
    (10, 5, 5, ConfigError, "0 to 4"), (10, -1, 5, ConfigError, "0 to 4"), (10, 0, 1, ConfigError, "at least 2 folds"),
    (4, 0, 5, DataError, "--num_folds=4"), (3, 0, 2, DataError, "--num_folds=3"), (2, 0, 2, DataError, "at least 3")])
def test_impossible_splits_are_refused_with_a_remedy(num_cases, fold, num_folds, error, message):
    with pytest.raises(error, match=message):
        split_cases([f"case_{index}" for index in range(num_cases)], fold, num_folds, seed=0)
