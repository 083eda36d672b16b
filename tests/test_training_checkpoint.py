"""An interrupted run goes on as if nothing had happened."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from test_supernet_search import SMALL

from scnas_keras.errors import DataError
from scnas_keras.supernet.supernet import Supernet
from scnas_keras.training.callbacks import FOREVER, History, Pace, Plateau
from scnas_keras.training.checkpoint import Checkpoint
from scnas_keras.training.horizon import Horizon
from scnas_keras.training.losses import JaccardLoss

STEPS = 2


def item(index):
    """Images and labels as a function of their index."""
    seed = tf.stack([tf.cast(index, tf.int32), 1])
    return tf.random.stateless_normal((1, 8, 8, 8, 1), seed), tf.random.stateless_uniform((1, 8, 8, 8), seed, 0, 2, tf.int32)


def run(folder, epochs):
    """Trains a small supernet up to a number of epochs from where the folder's checkpoint stands."""
    keras.utils.set_random_seed(4)
    supernet = Supernet(SMALL, 1, 2, 4, seed=4)
    optimizers = keras.optimizers.Adam(0.01), keras.optimizers.Adam(0.05)
    supernet.compile(*optimizers, JaccardLoss())
    horizon = Horizon(epochs)
    history, plateau = History(folder / "history.csv", ["loss", "held_out_loss"]), Plateau(horizon, 0.1, factor=0.5)
    checkpoint = Checkpoint(folder / "checkpoint.npz", supernet, optimizers, horizon, history, plateau, "digest", minutes=0)
    done = checkpoint.restore()
    data = tf.data.Dataset.range(done * STEPS, FOREVER).map(lambda i: (item(2 * i), item(2 * i + 1)))
    callbacks = [Pace(horizon, STEPS, lambda logs: ""), plateau, history, checkpoint]
    supernet.fit(data, initial_epoch=done, epochs=epochs, steps_per_epoch=STEPS, verbose=0, shuffle=False, callbacks=callbacks)
    return [np.array(v) for v in checkpoint._variables], history.rows, plateau.state, done


def test_a_resumed_search_equals_the_uninterrupted_one(tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir(), parts.mkdir()
    variables, rows, plateau, done = run(whole, 5)
    assert done == 0 and len(rows) == 5
    run(parts, 2)
    resumed, resumed_rows, resumed_plateau, done = run(parts, 5)
    assert done == 2
    for ours, theirs in zip(resumed, variables):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-7)
    assert [row["epoch"] for row in resumed_rows] == [1, 2, 3, 4, 5]
    for row, expected in zip(resumed_rows, rows):
        assert row == pytest.approx(expected, rel=1e-5)
    assert resumed_plateau == pytest.approx(plateau, rel=1e-5)
    assert (parts / "history.csv").read_text().count("\n") == 6


def test_unusable_checkpoints_are_named(tmp_path):
    horizon, model = Horizon(1), keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    history, plateau = History(tmp_path / "history.csv", ["loss"]), Plateau(horizon, 0.1)
    checkpoint = Checkpoint(tmp_path / "checkpoint.npz", model, [], horizon, history, plateau, "digest", 1)
    assert checkpoint.restore() == 0
    horizon.begin()
    checkpoint.on_train_end()
    data = (tmp_path / "checkpoint.npz").read_bytes()
    other = keras.Sequential([keras.Input((2,)), keras.layers.Dense(4)])
    with pytest.raises(DataError, match="checkpoint.npz: belongs to another network"):
        Checkpoint(tmp_path / "checkpoint.npz", other, [], horizon, history, plateau, "digest", 1).restore()
    with pytest.raises(DataError, match="checkpoint.npz: was begun with other scans"):
        Checkpoint(tmp_path / "checkpoint.npz", model, [], horizon, history, plateau, "other", 1).restore()
    (tmp_path / "checkpoint.npz").write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match="checkpoint.npz: damaged.*Delete it"):
        checkpoint.restore()
