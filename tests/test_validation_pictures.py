"""Which validation cases are drawn."""

import math

import pytest

from scnas_keras.retrain.validation import _told, representative

NAN = math.nan


@pytest.mark.parametrize(
    "dice, expected",
    [
        ({}, {}),
        ({"a": [0.5]}, {"median": "a"}),
        ({"a": [0.5], "b": [0.7]}, {"median": "a", "best": "b"}),
        ({"a": [0.9], "b": [0.7], "c": [0.8]}, {"best": "a", "median": "c", "worst": "b"}),
        ({"a": [0.9], "b": [0.7], "c": [0.8], "d": [0.1], "e": [0.2]}, {"best": "a", "median": "b", "worst": "d"}),
        ({"a": [0.9, NAN], "b": [0.7, 0.9], "c": [0.9, 0.1]}, {"best": "a", "median": "b", "worst": "c"}),
        ({"a": [NAN, NAN], "b": [0.7, 0.9], "c": [0.9, 0.9]}, {"best": "c", "median": "b"}),
    ],
)
def test_the_best_the_median_and_the_worst_case_stand_for_all(dice, expected):
    assert representative(dice) == expected


def test_a_line_of_the_log_holds_a_few_classes_and_of_many_the_mean():
    assert _told([0.5, float("nan")]) == "0.500 nan"
    assert _told([0.25, float("nan"), *[0.75] * 9, 0.25]) == "0.659, the mean of 12 classes"
