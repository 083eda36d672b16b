import pytest

from scnas_keras.errors import ConfigError
from scnas_keras.tasks.sides import mirror_axes, side_pairs


@pytest.mark.parametrize(
    "names, pairs",
    [
        (["background", "Left kidney", "Right kidney", "tumour"], [("Left kidney", "Right kidney")]),
        (["hippocampus_L", "hippocampus_R"], [("hippocampus_L", "hippocampus_R")]),
        (["R_lung", "L_lung"], [("L_lung", "R_lung")]),
        (["kidneyLeft", "kidneyRight"], [("kidneyLeft", "kidneyRight")]),
        (["ctx-lh-insula", "ctx-rh-insula"], [("ctx-lh-insula", "ctx-rh-insula")]),
        (["Lt. femur", "RT femur"], [("Lt. femur", "RT femur")]),
        (
            ["upper_lobe_left", "lower_lobe_left", "lower_lobe_right", "middle_lobe_right", "upper_lobe_right"],
            [("upper_lobe_left", "upper_lobe_right"), ("lower_lobe_left", "lower_lobe_right")],
        ),
        (["left", "right"], [("left", "right")]),
        (["rib_left_1", "rib_right_2"], []),
        (["Left kidney"], []),
        (["upright", "upleft", "clear", "ear", "l5", "bright"], []),
        (["liver", "liver right lobe"], []),
        (["Anterior", "Posterior"], []),
        ([], []),
    ],
)
def test_sides_are_words_of_their_own_and_come_in_pairs(names, pairs):
    assert side_pairs(names) == pairs


def test_classes_in_pairs_keep_the_side_axis_from_being_mirrored():
    names = ["background", "left kidney", "right kidney"]
    for plan, axes in (("xyz", (1, 2)), ("zxy", (0, 2)), ("yzx", (0, 1))):
        found, message = mirror_axes(names, tuple(plan), "auto")
        assert found == axes
        assert "left kidney/right kidney" in message and "--mirror_axes=x,y,z" in message


@pytest.mark.parametrize(
    "names, axis, pair, left_over",
    [
        (["background", "Anterior", "Posterior"], "y", ("Anterior", "Posterior"), (0, 2)),
        (["upper lobe", "lower lobe", "nodule"], "z", ("upper lobe", "lower lobe"), (0, 1)),
        (["vertebra_superior", "vertebra_inferior"], "z", ("vertebra_superior", "vertebra_inferior"), (0, 1)),
    ],
)
def test_other_sides_keep_their_axis_from_being_mirrored(names, axis, pair, left_over):
    assert side_pairs(names, axis) == [pair] and side_pairs(names) == []
    found, message = mirror_axes(names, tuple("xyz"), "auto")
    assert found == left_over and "/".join(pair) in message


def test_sides_of_several_axes_are_told_together():
    names = ["upper_lobe_left", "lower_lobe_left", "upper_lobe_right", "lower_lobe_right"]
    found, message = mirror_axes(names, tuple("zxy"), "auto")
    assert found == (2,) and "from left to right or from top to bottom" in message


def test_axes_that_may_go_from_left_to_right_are_not_mirrored():
    names, axes = ["left kidney", "right kidney"], ("2", "0", "1")
    found, message = mirror_axes(names, axes, "auto")
    assert found == () and "along any of the axes 2, 0, 1" in message
    assert mirror_axes(["liver"], axes, "auto") == ((0, 1, 2), None)
    assert mirror_axes(names, axes, "1,2") == ((0, 2), None)
    with pytest.raises(ConfigError, match="some of 0, 1, 2"):
        mirror_axes(names, axes, "x")


def test_without_pairs_all_axes_are_mirrored():
    assert mirror_axes(["background", "liver"], tuple("zxy"), "auto") == ((0, 1, 2), None)


@pytest.mark.parametrize("choice, axes", [("x,y,z", (0, 1, 2)), ("none", ()), ("x", (1,)), ("y", (2,)), ("z", (0,)), ("z,y", (0, 2))])
def test_a_choice_overrules_the_names(choice, axes):
    assert mirror_axes(["left lung", "right lung"], tuple("zxy"), choice) == (axes, None)


@pytest.mark.parametrize("choice", ["", "xy", "x,x", "a", "1,2", "x,y,", "all"])
def test_another_choice_is_refused(choice):
    with pytest.raises(ConfigError, match="expected auto, none, or some of x, y, z"):
        mirror_axes(["liver"], tuple("xyz"), choice)


def test_many_pairs_are_listed_in_part():
    names = [f"{side} {number}" for number in "abcdefg" for side in ("left", "right")]
    message = mirror_axes(names, tuple("xyz"), "auto")[1]
    assert "left e/right e" in message and "left f" not in message and "and 2 more" in message
