"""Batches in slices: the update of the whole batch, for a training run and for both levels of a search."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from some_spaces import LEVEL
from test_training_devices import learned, small_network
from two_devices import stepped

from scnas_keras.errors import ConfigError
from scnas_keras.machine.accumulation import count_slices, over_slices
from scnas_keras.machine.distribution import Cluster
from scnas_keras.machine.precision import scaled, set_precision
from scnas_keras.spaces.cost import cost_tables
from scnas_keras.supernet.penalty import CostPenalty
from scnas_keras.supernet.supernet import Supernet
from scnas_keras.training.learner import Learner
from scnas_keras.training.losses import JaccardLoss, make_loss

ONE = Cluster(tf.distribute.get_strategy())


def test_slices_are_of_one_size_and_none_is_empty():
    assert [count_slices(8, n) for n in (1, 2, 4, 8, 100)] == [1, 2, 4, 8, 8] and count_slices(None, 1) == 1
    with pytest.raises(ConfigError, match="--accumulate=4: 6 patches a device can't be divided equally; use --accumulate=3"):
        count_slices(6, 4)
    with pytest.raises(ConfigError, match="drop_remainder"):
        count_slices(None, 2)


def test_a_slice_is_computed_after_the_other_and_traced_once():
    traced = []

    @tf.function
    def sums(x, y):
        return over_slices(lambda x, y: traced.append(x.shape) or [tf.reduce_sum(x) * y[0]], (x, y), 3, [()])

    (found,) = sums(tf.range(6.0), tf.constant([1.0, 0, 10, 0, 100, 0]))
    assert float(found) == 1 + 10 * 5 + 100 * 9 and traced == [(2,)]


@pytest.mark.parametrize("accumulate", [2, 4])
@pytest.mark.parametrize("name", ["jaccard", "clipped", "decayed", "dropped"])
def test_a_learner_learns_what_it_does_from_the_whole_batch(name, accumulate):
    np.testing.assert_allclose(learned(ONE, name, accumulate=accumulate), learned(ONE, name), atol=2e-6)


@pytest.mark.parametrize("deep_supervision", [False, True])
def test_validation_is_the_same(deep_supervision):
    rng, found = np.random.default_rng(0), []
    batch = tf.constant(rng.normal(size=(4, 8, 8, 1)), tf.float32), tf.constant(rng.integers(0, 3, (4, 8, 8)))
    for accumulate in (1, 4):
        learner = Learner(small_network(deep_supervision), 3)
        learner.compile(keras.optimizers.SGD(0.5), make_loss("dice_ce"), accumulate=accumulate)
        found.append([float(value) for value in tf.function(learner.test_step, autograph=False)(batch).values()])
    np.testing.assert_allclose(*found, rtol=1e-6)


def test_dice_leaves_out_what_nobody_annotated():
    learner, images = Learner(small_network(False), 3, 255), np.random.default_rng(0).normal(size=(2, 8, 8, 1)).astype("float32")
    learner.compile(keras.optimizers.SGD(0.5), JaccardLoss(ignore_label=255))
    labels = np.argmax(learner(images), -1)
    labels[:, ::2] = 255
    assert learner.test_step((tf.constant(images), tf.constant(labels)))["dice"] == 1


def test_both_levels_of_a_search_learn_what_they_do_from_the_whole_batch():
    whole, sliced = stepped(ONE), stepped(ONE, accumulate=4)
    for name in whole:
        np.testing.assert_allclose(sliced[name], whole[name], err_msg=name, atol=1e-6)


def test_the_penalty_counts_once_and_the_draws_are_those_of_one_step():
    rng, found = np.random.default_rng(1), []
    batch = tf.constant(rng.normal(size=(2, 8, 8, 8, 1)), tf.float32), tf.constant(rng.integers(0, 2, (2, 8, 8, 8)))
    tables = cost_tables(LEVEL, 8, (8, 8, 8), 1, 2)
    for accumulate in (1, 2):
        keras.utils.set_random_seed(0)
        penalty = CostPenalty(tables, {"parameters": float(tables.least().parameters)})
        supernet = Supernet(LEVEL, 1, 2, 8, seed=1, penalty=penalty, parameter_free_dropout=0.3)
        supernet.compile(keras.optimizers.SGD(0.1), keras.optimizers.SGD(1.0), JaccardLoss(), accumulate)
        supernet.multipliers.assign([3.0])
        gradients = tf.function(lambda own=supernet: own.alpha_gradient(*batch)[1], autograph=False)()
        validated = tf.function(lambda own=supernet: own.test_step(batch), autograph=False)()
        found.append([*(np.ravel(one) for one in gradients), [float(value) for value in validated.values()], [int(supernet.draws)]])
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    assert found[0][-1] == [2] and np.abs(found[0][0]).max() > 1e-2


@pytest.mark.parametrize("value", [1.0, 1e4])
def test_half_precision_has_one_scale_for_all_slices(value):
    """Of images of 1e4 the third overflows: the step is left out, and the scale halved, as with the whole batch."""
    results = []
    images = np.random.default_rng(2).normal(size=(4, 8, 8, 1)).astype("float32")
    images[2] *= value**2
    batch = tf.constant(images), tf.constant((images[..., 0] > 0).astype("int32"))
    try:
        for accumulate in (1, 4):
            set_precision("float16")
            learner = Learner(small_network(False), 3)
            learner.compile(scaled(keras.optimizers.SGD(0.5), "float16"), JaccardLoss(), accumulate=accumulate)
            before = learner.network.get_weights()
            tf.function(learner.train_step, autograph=False)(batch)
            after, optimizer = learner.network.get_weights(), learner.optimizer
            moved = any(np.any(one != other) for one, other in zip(before, after))
            results.append(([float(optimizer.dynamic_scale), float(moved)], np.concatenate([one.ravel() for one in after])))
    finally:
        set_precision("none")
    assert results[0][0] == results[1][0] == ([2.0**15, 1.0] if value == 1 else [2.0**14, 0.0])
    np.testing.assert_allclose(results[0][1], results[1][1], atol=2e-3)


@pytest.mark.parametrize(
    "loss", [make_loss("dice", batch_dice=True), make_loss("dice_ce", ignore_label=2), make_loss("focal", ignore_label=2)]
)
def test_a_loss_that_is_no_mean_over_items_is_refused(loss):
    with pytest.raises(ConfigError, match="--accumulate=2: .* Use --loss=jaccard, or --accumulate=1 with a smaller --batch_size"):
        Learner(small_network(False), 3, 2).compile(keras.optimizers.SGD(0.5), loss, accumulate=2)
