"""The figure of a race."""

import dataclasses

from scnas_keras.reporting.race_figure import RacedTrial, pareto, race_figure


def trial(name, stage, minutes, dice, milliseconds):
    return RacedTrial(name, name.split("_")[0], stage, minutes, dice, milliseconds)


TRIALS = [
    *(trial("nnunet", f"rung {i + 1}", minutes, dice, 1100) for i, (minutes, dice) in enumerate([(1.08, 0.6), (3.25, 0.7)])),
    *(trial("found_w64", f"rung {i + 1}", minutes, dice, 500) for i, (minutes, dice) in enumerate([(1.08, 0.62), (3.25, 0.72)])),
    trial("u_resnet", "rung 1", 1.08, 0.5, 2000),
    trial("nnunet", "final", 20, 0.88, 1100),
    trial("found_w64", "final", 20, 0.87, 500),
]


def test_every_training_is_a_point_and_every_network_a_line():
    left, right = race_figure(TRIALS).axes
    assert sorted(text.get_text() for text in left.texts) == ["found_w64", "nnunet", "u_resnet"]
    assert [label.get_text() for label in left.get_xticklabels()] == ["1.1", "3.2", "20"]
    assert sum(len(points.get_offsets()) for points in left.collections) == len(TRIALS)
    assert sum(len(points.get_offsets()) for points in right.collections) == len(TRIALS)
    assert [label.get_text() for label in left.get_legend().get_texts()] == ["nnunet", "found", "u"]
    (front,) = right.lines
    assert front.get_xydata().tolist() == [[500, 0.87], [1100, 0.88]]


def test_what_is_kept_has_a_ring():
    kept = [dataclasses.replace(one, kept=one.stage == "final" and one.name == "nnunet") for one in TRIALS]
    left, right = race_figure(kept).axes
    rings = [[points.get_offsets().tolist() for points in axes.collections if points.get_sizes()[0] > 100] for axes in (left, right)]
    assert rings == [[[[20, 0.88]]], [[[1100, 0.88]]]] and "kept" in [text.get_text() for text in right.texts]


def test_the_front_has_those_than_which_none_is_faster_and_better():
    some = [
        trial("a", "rung 1", 1, 0.5, 100),
        trial("b", "rung 1", 1, 0.4, 200),
        trial("c", "rung 1", 1, 0.6, 300),
        trial("d", "rung 1", 1, 0.6, 300),
    ]
    assert [one.name for one in pareto(some)] == ["a", "c"]
