"""Devices that share a batch learn what one does, with every loss and kind of update."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from scnas_keras.networks.path_dropout import PathDropout
from scnas_keras.training.learner import Learner
from scnas_keras.training.losses import LOSSES

pytestmark = pytest.mark.nightly
LEARNERS = {  # loss, its options, of `Learner.compile`, whether with deep supervision
    "jaccard": ("jaccard", {}, {}, False),
    "focal": ("focal", {}, {}, False),
    "dice": ("dice", {}, {}, False),
    "batch-dice": ("dice", {"batch_dice": True}, {}, False),
    "batch-dice-ce": ("dice_ce", {"batch_dice": True}, {}, False),
    "clipped": ("jaccard", {}, {"clip_norm": 0.01}, False),
    "decayed": ("jaccard", {}, {"weight_decay": 0.1}, False),
    "dropped": ("jaccard", {}, {"path_dropout": 0.4, "seed": 2}, False),
    "nnunet": ("dice_ce", {"batch_dice": True}, {"clip_norm": 0.5, "weight_decay": 0.1}, True),
    "ignoring": ("dice_ce", {"batch_dice": True, "ignore_label": 2, "class_weights": (1, 2, 0)}, {"clip_norm": 0.5}, True),
}


def small_network(deep_supervision):
    keras.utils.set_random_seed(3)
    image = keras.Input((None, None, 1))
    fine = PathDropout()(keras.layers.Conv2D(4, 3, padding="same", activation="relu")(image))
    coarse = keras.layers.Conv2D(4, 3, 2, padding="same", activation="relu")(fine)
    outputs = [keras.layers.Conv2D(3, 1)(x) for x in (fine, coarse)]
    return keras.Model(image, outputs if deep_supervision else outputs[0])


def learned(cluster, name, alone=False, accumulate=1):
    """Weights, loss and Dice after three steps on batches of four; `alone`: with Dice by replica, as if nobody had thought of it."""
    loss, options, update, deep_supervision = LEARNERS[name]
    with cluster.strategy.scope():
        learner = Learner(small_network(deep_supervision), 3, options.get("ignore_label"))
        loss = LOSSES[loss](**options)
        learner.compile(keras.optimizers.SGD(0.5, 0.9, nesterov=True), loss, **update, accumulate=accumulate)
    if alone:
        loss.over_replicas = lambda sums: sums
    rng = np.random.default_rng(5)
    x, labels = rng.normal(size=(12, 8, 8, 1)).astype("float32"), rng.integers(0, 3, (12, 8, 8))
    labels[::4], labels[3::4] = np.minimum(labels[::4], 1), 0  # items differ in what they hold
    batches = tf.data.Dataset.from_tensor_slices((x, labels)).batch(4 // cluster.replicas)
    step = tf.function(lambda batch: cluster.strategy.run(learner.train_step, args=(batch,)), autograph=False)
    for batch in cluster.distribute(lambda: batches):
        step(batch)
    values = [*learner.network.get_weights(), learner.loss_tracker.result(), learner.dice.result()]
    return np.concatenate([np.ravel(keras.ops.convert_to_numpy(value)) for value in values])


@pytest.fixture(scope="module")
def devices(two_devices_at_night):
    with np.load(two_devices_at_night / "learners.npz") as arrays:
        return dict(arrays)


@pytest.mark.parametrize("name", LEARNERS)
def test_two_devices_learn_what_one_does(devices, name):
    two, one = devices[name]
    np.testing.assert_allclose(two, one, atol=2e-6)


def test_two_devices_in_slices_learn_what_one_does_at_once(devices):
    two, one = devices["accumulated"]
    np.testing.assert_allclose(two, one, atol=2e-6)


def test_the_learners_differ(devices):
    """Every option changes what is learnt; so does a Dice that each device takes of its own items."""
    results = [devices[name][1] for name in LEARNERS]
    for i, name in enumerate(LEARNERS):
        assert all(one.shape != results[i].shape or np.abs(one - results[i]).max() > 1e-4 for one in results[:i]), name
    assert np.abs(np.subtract(*devices["alone"])).max() > 1e-3
