"""Algorithm 1: which operations are drawn, with which weights, and who learns from it."""

import itertools

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from scnas_keras.supernet import relaxation
from scnas_keras.supernet.names import RELAXATIONS, operations_drawn


def test_pairs_follow_the_enumerated_distribution_of_algorithm_1():
    z = np.array([0.42, 0.2, 0.13, 0.1, 0.07, 0.05, 0.02, 0.01])
    pairs = list(itertools.combinations(range(8), 2))
    q = np.array([(z[a] + z[b]) / 7 for a, b in pairs])
    assert len(pairs) == 28 and np.isclose(q.sum(), 1)
    draws = 40_000
    drawn = relaxation.draw_pair(tf.math.log(tf.constant(np.tile(z, (draws, 1)), tf.float32)), tf.constant([1, 2])).numpy()
    counts = np.array([np.sum((drawn.min(1) == a) & (drawn.max(1) == b)) for a, b in pairs])
    assert counts.sum() == draws
    assert scipy.stats.chisquare(counts, q * draws).pvalue > 0.01
    assert scipy.stats.chisquare(counts, np.full(28, draws / 28)).pvalue < 1e-6  # the test can tell


def test_relaxed_sample_has_the_gumbel_softmax_distribution():
    """At any temperature the largest component is distributed as softmax(alpha): P(first drawn), before the pair's other."""
    alpha = np.array([1.0, 0.0, -1.0, 0.5])
    expected = np.exp(alpha) / np.exp(alpha).sum()
    draw = relaxation.gumbel_pair(tf.constant(np.tile(alpha, (30_000, 1)), tf.float32), tf.constant(0.05), tf.constant([3, 4]))
    first = np.bincount(draw.operations.numpy()[:, 0], minlength=4)
    assert scipy.stats.chisquare(first, expected * first.sum()).pvalue > 0.001


@pytest.mark.parametrize("temperature", [5.0, 0.2, 0.01])
def test_weights_of_a_pair_sum_to_one_and_only_its_alphas_learn(temperature):
    alpha = tf.random.stateless_normal((4, 14, 8), (1, 1))
    with tf.GradientTape() as tape:
        tape.watch(alpha)
        draw = relaxation.gumbel_pair(alpha, tf.constant(temperature), tf.constant([0, 5]))
        score = tf.reduce_sum(draw.weights * tf.random.stateless_normal(draw.weights.shape, (2, 2)))
    gradient = tape.gradient(score, alpha).numpy()
    operations = draw.operations.numpy()
    np.testing.assert_allclose(draw.weights.numpy().sum(-1), 1, rtol=1e-6)
    assert np.all(operations[..., 0] != operations[..., 1])
    taken = np.take_along_axis(gradient, operations, -1)
    np.testing.assert_array_equal(taken[..., 0], -taken[..., 1])
    np.put_along_axis(gradient, operations, 0, -1)
    assert not gradient.any()
    if temperature > 1:
        assert taken.all()


def test_draws_are_functions_of_seed_and_counter():
    alpha, temperature = tf.zeros((4, 14, 8)), tf.constant(1.0)
    one, again, other = (relaxation.gumbel_pair(alpha, temperature, tf.constant([7, n])) for n in (0, 0, 1))
    np.testing.assert_array_equal(one.operations, again.operations)
    np.testing.assert_array_equal(one.weights, again.weights)
    assert np.any(one.operations.numpy() != other.operations.numpy())


@pytest.mark.parametrize("temperature", [0.2, 1.0, 5.0])
def test_softmax_runs_all_operations_and_has_no_temperature(temperature):
    """DARTS, equation 2: the weights are softmax(alpha)."""
    alpha = tf.random.stateless_normal((2, 3, 8), (1, 1))
    draw = relaxation.draw("softmax", alpha, tf.constant(temperature), tf.constant([0, 0]))
    np.testing.assert_array_equal(draw.operations, np.broadcast_to(np.arange(8), (2, 3, 8)))
    np.testing.assert_allclose(draw.weights, scipy.special.softmax(alpha.numpy(), axis=-1), rtol=1e-5)


def test_single_draws_follow_the_softmax_and_teach_all_alphas_of_their_edge():
    values = np.array([1.0, 0.0, -1.0, 0.5])
    expected = scipy.special.softmax(values)
    alpha = tf.constant(np.tile(values, (30_000, 1)), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(alpha)
        draw = relaxation.gumbel_single(alpha, tf.constant(0.7), tf.constant([3, 4]))
    np.testing.assert_allclose(draw.weights, 1, rtol=1e-6)
    counts = np.bincount(draw.operations.numpy()[:, 0], minlength=4)
    assert scipy.stats.chisquare(counts, expected * counts.sum()).pvalue > 0.001
    np.testing.assert_allclose(draw.inclusion[0], expected, rtol=1e-5)
    gradient = tape.gradient(draw.weights, alpha).numpy()
    np.testing.assert_allclose(gradient.sum(-1), 0, atol=1e-5)
    assert np.all(np.take_along_axis(gradient, draw.operations.numpy(), -1) > 0)
    assert np.mean(gradient != 0) > 0.99


def test_uniform_draws_do_not_depend_on_alpha():
    alpha = tf.constant(np.tile([9.0, 0.0, 0.0, 0.0], (30_000, 1)), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(alpha)
        draw = relaxation.uniform(alpha, tf.constant([3, 4]))
    assert tape.gradient(draw.weights, alpha) is None
    np.testing.assert_array_equal(draw.weights, 0.5)
    counts = draw.counts(4).numpy().sum(0)
    assert counts.sum() == 60_000 and scipy.stats.chisquare(counts).pvalue > 0.001
    np.testing.assert_array_equal(draw.inclusion, 0.5)


def test_inclusion_of_a_pair_is_how_often_it_is_drawn():
    """z + (1 - z) / (n - 1), on average over the relaxed samples z."""
    alpha = tf.constant(np.tile([2.0, 0.0, -1.0, 0.5], (40_000, 1)), tf.float32)
    draw = relaxation.gumbel_pair(alpha, tf.constant(1.0), tf.constant([5, 6]))
    p = draw.inclusion.numpy()
    np.testing.assert_allclose(p.sum(-1), 2, rtol=1e-4)
    deviation = (draw.counts(4).numpy() - p).sum(0) / np.sqrt((p * (1 - p)).sum(0))
    assert np.abs(deviation).max() < 3.5
    assert p.min() >= 1 / 3 - 1e-6


@pytest.mark.parametrize("name", RELAXATIONS)
def test_draws_by_name_run_as_many_operations_as_announced(name):
    draw = relaxation.draw(name, tf.zeros((4, 14, 8)), tf.constant(1.0), tf.constant([1, 2]))
    assert draw.operations.shape == draw.weights.shape == (4, 14, operations_drawn(name) or 8)
    assert draw.inclusion.shape == (4, 14, 8)
    np.testing.assert_allclose(tf.reduce_sum(draw.weights, -1), 1, rtol=1e-5)


def test_the_strongest_has_weight_one():
    alpha = tf.constant([[[0.0, 3.0, 1.0, 2.0], [0.0, 0.0, 0.0, 0.0]]])
    draw = relaxation.strongest(alpha)
    np.testing.assert_array_equal(draw.operations, [[[1], [0]]])
    np.testing.assert_array_equal(draw.weights, [[[1.0], [1.0]]])
