"""What a search tells about itself, against values computed by hand."""

import json
import math

import numpy as np
import pytest
from some_spaces import SMALL, TINY, U, alpha_shape, kinds, tables

from scnas_keras.spaces.cost import cost_tables
from scnas_keras.spaces.u_shape import u_shaped
from scnas_keras.supernet import diagnostics as diag
from scnas_keras.supernet.diagnostics import Diagnostics

SHAPE = alpha_shape(TINY)
TABLES = cost_tables(TINY, 8, (16, 16, 16), 1, 2)


def test_entropy_and_margin():
    p = np.array([[0.25] * 4, [0.5, 0.5, 0, 0], [1, 0, 0, 0], [0.6, 0.1, 0.25, 0.05]])
    last = -sum(x * math.log(x) for x in p[3]) / math.log(4)
    np.testing.assert_allclose(diag.edge_entropy(p), [1, 0.5, 0, last])
    np.testing.assert_allclose(diag.edge_margin(p), [0, 0, 1, 0.35])


def test_jensen_shannon_divergence():
    p = np.array([[1, 0], [1, 0], [0.3, 0.7]])
    q = np.array([[0, 1], [0.5, 0.5], [0.3, 0.7]])
    middle = (math.log2(1 / 0.75) + 0.5 * math.log2(0.5 / 0.75) + 0.5 * math.log2(0.5 / 0.25)) / 2
    np.testing.assert_allclose(diag.jensen_shannon(p, q), [1, middle, 0], atol=1e-12)
    np.testing.assert_allclose(diag.jensen_shannon(q, p), diag.jensen_shannon(p, q), atol=1e-12)


def test_deviation_of_draws_in_standard_deviations():
    expected, drawn = np.array([25.0, 75.0]), np.array([30.0, 70.0])
    assert diag.draw_deviation(drawn, expected, 100) == pytest.approx(5 / math.sqrt(100 * 0.25 * 0.75))
    assert diag.draw_deviation(np.full(4, 50.0), np.full(4, 50.0), 50) == 0  # all are drawn in every step


def test_deviation_is_about_one_for_draws_as_expected_and_more_for_others():
    rng = np.random.default_rng(0)
    drawn = rng.binomial(400, 0.25, size=(56, 8)).astype(float)
    assert 0.9 < diag.draw_deviation(drawn, np.full((56, 8), 100.0), 400) < 1.1
    assert diag.draw_deviation(drawn, np.full((56, 8), 120.0), 400) > 2


def alpha_of(**winners):
    """Each kind's first edge takes one operation and the second another; kinds that aren't named take conv_3 twice."""
    alpha = np.zeros(SHAPE)
    for k, kind in enumerate(kinds(TINY)):
        for e, name in enumerate(winners.get(kind, ("conv_3", "conv_3"))):
            alpha[k, e, TINY.operations.index(name)] = 3
    return tables(TINY, alpha)


def counts(draws, per_operation):
    drawn, expected = np.broadcast_to(np.array(per_operation, float), SHAPE).copy(), np.full(SHAPE, draws / 2)
    return tables(TINY, drawn), tables(TINY, expected), draws


def test_an_epoch_after_the_other():
    diagnostics = Diagnostics(TABLES)
    first = diagnostics.update(alpha_of(reduction=("identity", "zero")), *counts(10, [10, 5, 5, 0]))
    assert {"changes", "js", "unchanged_epochs"} & set(first) == set()
    assert first["share_reduction_identity"] == first["share_reduction_zero"] == 0.5 and first["share_reduction_conv"] == 0
    assert first["share_decoder_normal_conv"] == 1
    assert (first["drawn_conv_3"], first["drawn_zero"], first["drawn_expected_zero"]) == (1, 0, 0.5)

    second = diagnostics.update(alpha_of(reduction=("max_pool_3", "conv_3")), *counts(30, [20, 15, 15, 10]))
    assert (second["changes"], second["unchanged_epochs"]) == (2, 0)
    # of the twenty draws since: 10, 10, 10, 10
    assert [second[f"drawn_{name}"] for name in TINY.operations] == [0.5] * 4
    winner, other = math.exp(3) / (math.exp(3) + 3), 1 / (math.exp(3) + 3)
    edge = diag.jensen_shannon(np.array([winner, other, other, other]), np.array([other, winner, other, other]))
    assert second["js_max"] == pytest.approx(edge) and second["js"] == pytest.approx(edge * 2 / 8)
    assert second["entropy_min"] == pytest.approx(second["entropy_max"]) and second["margin"] == pytest.approx(winner - other)

    third = diagnostics.update(alpha_of(reduction=("max_pool_3", "conv_3")), *counts(30, [20, 15, 15, 10]))
    assert (third["changes"], third["unchanged_epochs"], third["js"]) == (0, 1, 0)
    assert "drawn_conv_3" not in third  # nothing was drawn
    assert set(second) == set(diagnostics.columns) and len(set(diagnostics.columns)) == len(diagnostics.columns)


def test_costs_are_those_of_the_genotype_and_of_the_probabilities():
    values = Diagnostics(TABLES).update(tables(TINY, np.zeros(SHAPE)), *counts(1, [1, 1, 0, 0]))
    certain = {name: 1e3 * alpha for name, alpha in alpha_of().items()}
    even, conv = TABLES.expected(tables(TINY, np.zeros(SHAPE))), TABLES.expected(certain)
    assert values["expected_mparams"] == pytest.approx(even.parameters / 1e6)
    assert values["expected_gmacs"] == pytest.approx(even.multiply_adds / 1e9)
    assert values["derived_mparams"] == pytest.approx(conv.parameters / 1e6)
    assert values["derived_gmacs"] == pytest.approx(conv.multiply_adds / 1e9)


def test_epochs_in_which_nothing_learns_are_no_sign_of_stability():
    diagnostics = Diagnostics(TABLES)
    values = [diagnostics.update(alpha_of(), *counts(i, [i, i, 0, 0]), learning)["entropy"] for i, learning in ((1, False), (2, False))]
    assert diagnostics.unchanged == 0 and values[0] == values[1]
    diagnostics.update(alpha_of(), *counts(3, [3, 3, 0, 0]), True)
    assert diagnostics.unchanged == 1


def test_state_goes_through_json():
    """Whoever takes up the state reports the same next epoch."""
    whole = Diagnostics(TABLES)
    rng = np.random.default_rng(0)
    whole.update(tables(TINY, rng.normal(size=SHAPE)), *counts(10, [10, 5, 5, 0]))
    resumed = Diagnostics(TABLES)
    resumed.state = json.loads(json.dumps(whole.state))
    following = tables(TINY, rng.normal(size=SHAPE)), *counts(17, [15, 9, 5, 5])
    assert resumed.update(*following) == whole.update(*following)
    assert resumed.state == whole.state


def test_a_space_without_some_operations_has_no_columns_for_them():
    """Groups are those of the space's operations; zero is always among them, for derivations that leave edges out."""
    pools = u_shaped("pools", 3, ("max_pool_3", "average_pool_3"), 1, U)
    assert diag.groups_of(pools) == ("pool", "zero") and diag.groups_of(SMALL) == ("conv", "dilated", "pool", "identity", "zero")
    diagnostics = Diagnostics(cost_tables(pools, 8, (16, 16, 16), 1, 2))
    zeros = tables(pools, np.zeros(alpha_shape(pools)))
    values = diagnostics.update(zeros, zeros, zeros, 0)
    assert {name for name in values if name.startswith("share_reduction")} == {"share_reduction_pool", "share_reduction_zero"}
    assert {name for name in diagnostics.columns if name.startswith("drawn_")} == {
        f"{of}_{name}" for of in ("drawn", "drawn_expected") for name in pools.operations
    }
