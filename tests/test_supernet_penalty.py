"""The price on parameters and multiply-adds."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from planted_times import planted
from some_spaces import DENSE, SCNAS, alpha_shape, tables, uniform_genotype

from scnas_keras.operations.registry import operation
from scnas_keras.spaces.cost import cost_tables
from scnas_keras.spaces.derive import derive
from scnas_keras.spaces.description import ARGMAX, STRONGEST_TWO
from scnas_keras.spaces.presence import edge_shares, kept_edges
from scnas_keras.spaces.time_tables import Timed
from scnas_keras.supernet.penalty import CostPenalty

TABLES = cost_tables(SCNAS, 16, (32, 32, 32), 1, 2)
TIMES = Timed(SCNAS, 16, (32, 32, 32), 2, 1, 2).tables(planted)
SHAPE = (56, 8)
"""Of alpha: the four tables of 14 rows lie in one bank."""
CONV = SCNAS.operations.index("conv_3")


def random_alpha(seed, scale=1.0):
    return tf.constant(np.random.default_rng(seed).normal(0, scale, SHAPE), tf.float32)


def by_table(alpha):
    return tables(SCNAS, np.reshape(alpha, alpha_shape(SCNAS)))


def test_relative_cost_is_the_expected_cost_over_the_target():
    penalty = CostPenalty(TABLES, {"multiply_adds": 2e9, "parameters": 1e6})
    assert penalty.names == ("parameters", "multiply_adds")
    alpha = by_table(random_alpha(0))
    cost, shares = TABLES.expected(alpha), edge_shares(SCNAS, alpha)
    relative = penalty.relative_cost([tf.constant(shares[group], tf.float32) for group in SCNAS.groups])
    np.testing.assert_allclose(relative, [cost.parameters / 1e6, cost.multiply_adds / 2e9], rtol=1e-5)


def test_excess_is_that_of_the_network_that_would_be_derived():
    alpha = random_alpha(1)
    genotype = derive(SCNAS, by_table(alpha))
    assert not genotype.notes
    excess = CostPenalty(TABLES, {"multiply_adds": 1e9}).excess([alpha])
    np.testing.assert_allclose(excess, [TABLES.of_genotype(genotype).multiply_adds / 1e9 - 1], rtol=1e-5)


@pytest.mark.parametrize("seed, scale", [(0, 1.0), (1, 5.0), (2, 1e3)])
def test_milliseconds_are_the_expected_ones_over_the_target_and_the_excess_is_the_derived_network_s(seed, scale):
    penalty = CostPenalty(TABLES, {"milliseconds": 500.0, "multiply_adds": 1e9}, times=TIMES)
    assert penalty.names == ("multiply_adds", "milliseconds")
    alpha = random_alpha(seed, scale)
    shares = edge_shares(SCNAS, by_table(alpha))
    relative = penalty.relative_milliseconds([tf.constant(shares[group], tf.float32) for group in SCNAS.groups])
    np.testing.assert_allclose(relative, TIMES.expected(by_table(alpha)) / 500, rtol=1e-5)
    genotype = derive(SCNAS, by_table(alpha))
    if not genotype.notes:
        derived = TABLES.of_genotype(genotype).multiply_adds / 1e9, TIMES.of_genotype(genotype) / 500
        np.testing.assert_allclose(penalty.excess([alpha]), np.array(derived) - 1, rtol=1e-5, atol=1e-6)


def test_gradient_of_milliseconds_is_that_of_the_expected_ones():
    """By finite differences; where nothing else is asked for, also through the straight-through sum."""
    penalty, alpha = CostPenalty(TABLES, {"milliseconds": 500.0}, times=TIMES), random_alpha(6, 2.0)
    with tf.GradientTape() as tape:
        tape.watch(alpha)
        excess = penalty.excess([alpha])
    gradient = tape.gradient(excess, alpha)
    assert excess.shape == (1,) and isinstance(gradient, tf.Tensor)
    rng, wide, step = np.random.default_rng(0), alpha.numpy().astype(np.float64), 1e-4
    for row, column in zip(rng.integers(0, SHAPE[0], 12), rng.integers(0, SHAPE[1], 12)):
        sides = []
        for sign in (1, -1):
            moved = wide.copy()
            moved[row, column] += sign * step
            sides.append(TIMES.expected(by_table(moved)) / 500)
        np.testing.assert_allclose(gradient[row, column], (sides[0] - sides[1]) / (2 * step), rtol=2e-4, atol=2e-7)


def test_gradient_is_a_number_where_edges_are_certain():
    """A product's gradient where several of its factors are zero."""
    penalty, alpha = CostPenalty(TABLES, {"milliseconds": 500.0}, times=TIMES), random_alpha(3, 1e4)
    with tf.GradientTape() as tape:
        tape.watch(alpha)
        excess = penalty.excess([alpha])
    assert np.isfinite(tape.gradient(excess, alpha)).all()


@pytest.mark.parametrize("derivation", [ARGMAX, STRONGEST_TWO])
def test_shares_are_those_that_the_space_derives_by(derivation):
    """Of edges of which each decides for itself, and of nodes that keep two, where zero is no choice."""
    space = dataclasses.replace(DENSE, derivation=derivation)
    penalty = CostPenalty(cost_tables(space, 12, (8, 8, 8), 1, 2), {"parameters": 1e6})
    alpha = tables(space, np.random.default_rng(5).normal(size=alpha_shape(space)).astype(np.float32))
    matrices, kept = [tf.constant(own) for own in penalty._banks.from_tables(alpha)], kept_edges(space, alpha)
    for group, expected in edge_shares(space, alpha).items():
        found = penalty._expected(group, matrices, tf.constant(kept[group], tf.float32))
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)
    assert all(own.all() == (derivation == ARGMAX) for own in kept.values())


def test_gradient_prefers_what_is_cheaper():
    alpha = random_alpha(2)
    penalty = CostPenalty(TABLES, {"multiply_adds": 1e9})
    with tf.GradientTape() as tape:
        tape.watch(alpha)
        excess = penalty.excess([alpha])[0]
    gradient = tape.gradient(excess, alpha).numpy()
    np.testing.assert_allclose(gradient.sum(-1), 0, atol=1e-6)
    assert np.all(gradient[..., CONV] > 0)
    assert np.all(gradient[..., SCNAS.operations.index("identity")] < 0)


def test_multipliers_rise_with_the_excess_and_never_below_zero():
    penalty = CostPenalty(TABLES, {"multiply_adds": 1e9, "parameters": 1e6}, rate=0.1)
    np.testing.assert_allclose(penalty.raised(tf.constant([0.5, 0.01]), tf.constant([0.2, -0.5])), [0.52, 0.0])
    np.testing.assert_allclose(penalty.raised(tf.constant([0.5, 0.0]), tf.constant([7.0, 0.0])), [0.6, 0.0])


IDENTITY, ZERO = (SCNAS.operations.index(name) for name in ("identity", "zero"))


@pytest.mark.parametrize(
    "learning_rate, liked, most_identities, priced",
    [
        pytest.param(0.01, CONV, None, "multiply_adds", marks=pytest.mark.nightly),
        (0.03, CONV, None, "multiply_adds"),
        pytest.param(0.02, IDENTITY, 0, "multiply_adds", marks=pytest.mark.nightly),
        pytest.param(0.02, ZERO, None, "multiply_adds", marks=pytest.mark.nightly),
        (0.03, CONV, None, "milliseconds"),
    ],
    ids=["slow", "fast", "under-a-cap", "dead-nodes", "milliseconds"],
)
def test_a_search_that_likes_convolutions_ends_at_its_target(learning_rate, liked, most_identities, priced):
    """Toy loss: falls with the probability of a convolution on each edge, on some more than on others, with noise.

    Or it likes another operation a little better, which `derive` replaces by a convolution where it is capped or where
    a node would be left without input.
    """
    taste = tf.constant(np.random.default_rng(3).uniform(0.2, 1, SHAPE[:1]), tf.float32)
    times = Timed(SCNAS, 16, (32, 32, 32), 2, 1, 2).tables(like_multiply_adds)
    most = cost_of(uniform_genotype(), priced, times)
    target = 0.4 * most
    penalty = CostPenalty(TABLES, {priced: target}, max_identity_edges=most_identities, times=times)
    alpha, multipliers = keras.Variable(random_alpha(4, 0.01)), tf.Variable(tf.zeros(1))
    optimizer = keras.optimizers.Adam(learning_rate, 0.5, 0.999)
    optimizer.build([alpha])

    @tf.function
    def step(i):
        with tf.GradientTape() as tape:
            value = tf.convert_to_tensor(alpha)
            tape.watch(value)
            noise = tf.random.stateless_normal(SHAPE, [0, i], stddev=0.3)
            shares = tf.nn.softmax(value + noise)
            loss = -tf.reduce_mean(taste * (shares[..., liked] + 0.8 * (liked != CONV) * shares[..., CONV]))
            loss += tf.reduce_sum(multipliers * tf.nn.relu(penalty.excess([value])))
        optimizer.apply([tape.gradient(loss, value)], [alpha])
        multipliers.assign(penalty.raised(multipliers, penalty.excess([tf.convert_to_tensor(alpha)])))

    for i in range(round(10 / learning_rate)):
        step(tf.constant(i))
    found = cost_of(derive(SCNAS, by_table(alpha), most_identities), priced, times)
    one_edge = max(costs[:, CONV, 1].max() for costs in TABLES.of_groups.values()) * (1 if priced == "multiply_adds" else 2e-6)
    assert 0.75 * target < found <= target + one_edge


def like_multiply_adds(part):
    """A millisecond for 1e6 of them and as much for the first branch, so that the second costs half."""
    if part.kind != "operation" or not operation(part.name).learns:
        return 0.0
    voxels = int(np.prod(part.voxels)) // 8 ** (part.role == "halving")
    return 1e-6 * operation(part.name).multiply_adds(3, part.inputs, voxels) * (1 + part.count)


def cost_of(genotype, priced, times):
    return times.of_genotype(genotype) if priced == "milliseconds" else TABLES.of_genotype(genotype).multiply_adds


def test_a_target_that_is_kept_anyway_costs_nothing():
    penalty = CostPenalty(TABLES, {"parameters": 1e9})
    multipliers = penalty.raised(tf.zeros(1), penalty.excess([random_alpha(0)]))
    assert multipliers.numpy() == [0]
