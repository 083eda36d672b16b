"""Presets and the flags that win over them, and what an update of the weights is made of."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from test_training_schedules import data, learner

from scnas_keras.errors import ConfigError
from scnas_keras.machine.precision import regularize, scaled
from scnas_keras.retrain import RetrainConfig
from scnas_keras.retrain.optimizers import make_optimizer
from scnas_keras.retrain.recipes import MOMENTUM, PRESETS, Recipe, recipe, steps_per_epoch
from scnas_keras.training.losses import make_loss
from scnas_keras.training.optimizers import SGD, Adam


def test_presets():
    scnas, nnunet, light = (recipe(RetrainConfig(preset=name)) for name in ("scnas", "nnunet", "light"))
    assert scnas == Recipe("jaccard", "adam", 3e-4, "plateau", 500, None, False, 0.0, None)
    assert nnunet == Recipe("dice_ce", "sgd", 0.01, "poly", 1000, 250, True, 3e-5, 12.0)
    assert light == Recipe("dice_ce", "adam", 6e-3, "cosine", 30, None, False, 2e-4, None, path_dropout=0.15)
    assert recipe(RetrainConfig()).path_dropout == 0


@pytest.mark.parametrize(
    "preset, flags, changes",
    [
        ("nnunet", {"loss": "focal", "epochs": 7, "steps_per_epoch": 3}, {"loss": "focal", "epochs": 7, "steps_per_epoch": 3}),
        ("nnunet", {"deep_supervision": "false", "schedule": "plateau"}, {"deep_supervision": False, "schedule": "plateau"}),
        (
            "scnas",
            {"deep_supervision": "true", "weight_decay": 0.1, "clip_norm": 2.0},
            {"deep_supervision": True, "weight_decay": 0.1, "clip_norm": 2.0},
        ),
        ("nnunet", {"clip_norm": 0.0, "weight_decay": 0.0}, {"clip_norm": None, "weight_decay": 0.0}),
        ("nnunet", {"optimizer": "adam"}, {"optimizer": "adam", "learning_rate": 3e-4}),
        ("scnas", {"optimizer": "sgd"}, {"optimizer": "sgd", "learning_rate": 0.01}),
        ("scnas", {"optimizer": "sgd", "learning_rate": 0.5}, {"optimizer": "sgd", "learning_rate": 0.5}),
        ("scnas", {"optimizer": "adam"}, {}),
        ("scnas", {"optimizer": "sgd", "momentum": 0.9}, {"optimizer": "sgd", "learning_rate": 0.01, "momentum": 0.9}),
        ("nnunet", {"momentum": 0.0}, {"momentum": 0.0}),
        ("light", {"path_dropout": 0.0, "schedule": "poly"}, {"path_dropout": 0.0, "schedule": "poly"}),
        ("scnas", {"path_dropout": 0.3}, {"path_dropout": 0.3}),
    ],
)
def test_flags_win_over_the_preset(preset, flags, changes):
    assert recipe(RetrainConfig(preset=preset, **flags)) == dataclasses.replace(PRESETS[preset], **changes)


@pytest.mark.parametrize(
    "flags, message",
    [
        ({"weight_decay": -1e-5}, "--weight_decay=-1e-05 must be 0 or more"),
        ({"ema": 1.0}, "--ema=1.0 must be from 0"),
        ({"ema": -0.1}, "--ema=-0.1 must be from 0"),
        ({"clip_norm": -1.0}, "--clip_norm=-1.0"),
        ({"optimizer": "sgd", "momentum": 1.0}, "--momentum=1.0 must be from 0"),
        ({"preset": "nnunet", "momentum": -0.1}, "--momentum=-0.1 must be from 0"),
        ({"path_dropout": 1.0}, "--path_dropout=1.0 must be from 0"),
        ({"momentum": 0.9}, "--momentum=0.9 is for --optimizer=sgd, and the optimizer is adam"),
    ],
)
def test_numbers_out_of_range_are_refused(flags, message):
    with pytest.raises(ConfigError, match=message):
        recipe(RetrainConfig(**flags))


def test_the_cross_entropy_of_two_classes_is_the_binary_one():
    """With Dice, as Auto-LW-MISN trains: one minus the soft Dice of the foreground, and the mean over voxels of -log p of the truth."""
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(2, 6, 5, 2)).astype("float32"), rng.integers(0, 2, (2, 6, 5))
    p = 1 / (1 + np.exp(logits[..., 0] - logits[..., 1]))
    binary = -(labels * np.log(p) + (1 - labels) * np.log(1 - p)).mean()
    dice = float(make_loss("dice")(labels, logits))
    assert float(make_loss("dice_ce")(labels, logits)) == pytest.approx(dice + binary, rel=1e-5)


@pytest.mark.parametrize(
    "preset, patches, batch, minutes, given, steps",
    [
        ("scnas", 10, 4, None, None, 3),
        ("scnas", 300, 2, 5.0, None, 50),
        ("nnunet", 10, 4, None, None, 250),
        ("nnunet", 10, 4, 5.0, None, 50),
        ("nnunet", 10, 4, 5.0, 70, 70),
        ("scnas", 10, 4, 5.0, None, 3),
    ],
)
def test_steps_of_an_epoch(preset, patches, batch, minutes, given, steps):
    assert steps_per_epoch(PRESETS[preset], patches, batch, minutes, given) == steps


def test_optimizers_are_those_of_their_papers():
    adam, sgd = (make_optimizer(PRESETS[name], 0.0, "none") for name in ("scnas", "nnunet"))
    assert (type(adam), adam.beta_1, adam.beta_2) == (Adam, 0.9, 0.999) and float(adam.learning_rate) == pytest.approx(3e-4)
    assert (type(sgd), sgd.momentum, sgd.nesterov) == (SGD, 0.99, True) and float(sgd.learning_rate) == pytest.approx(0.01)
    slower = make_optimizer(recipe(RetrainConfig(preset="nnunet", momentum=0.9)), 0.0, "none")
    assert (slower.momentum, slower.nesterov) == (0.9, True)
    assert not adam.use_ema and isinstance(make_optimizer(PRESETS["nnunet"], 0.0, "float16"), keras.optimizers.LossScaleOptimizer)


@pytest.mark.parametrize("precision", ["none", "float16"])
@pytest.mark.parametrize("clip_norm, weight_decay", [(None, 0.0), (2.0, 0.0), (None, 0.1), (2.0, 0.1), (50.0, 0.1)])
def test_gradients_are_clipped_and_then_decayed(clip_norm, weight_decay, precision):
    """Torch's clip_grad_norm_ (norm 13 of 3, 4, 12) and then its optimizers' weight_decay; of scaled gradients the scaled result."""
    values, gradients = [np.array([1.0, -2.0]), np.array([[5.0]])], [np.array([3.0, 4.0]), np.array([[12.0]])]
    variables = [keras.Variable(value, dtype="float32") for value in values]
    optimizer = scaled(keras.optimizers.SGD(1.0), precision)
    optimizer.build(variables)
    scale = float(optimizer.scale_loss(1.0)) if precision == "float16" else 1.0
    found = regularize(optimizer, [tf.constant(scale * g, tf.float32) for g in gradients], variables, weight_decay, clip_norm)
    factor = 1.0 if clip_norm is None else min(1.0, clip_norm / (13 + 1e-6))
    for ours, gradient, value in zip(found, gradients, values, strict=True):
        np.testing.assert_allclose(ours / scale, factor * gradient + weight_decay * value, rtol=1e-6)


def test_nesterov_goes_through_decay_as_in_torch():
    """Three steps of torch.optim.SGD(nesterov=True, weight_decay=0.1) on the gradient 1 from 2: v = m v + g, w -= rate (g + m v)."""
    variable, optimizer = keras.Variable([2.0]), keras.optimizers.SGD(0.5, MOMENTUM, nesterov=True)
    optimizer.build([variable])
    w, v = 2.0, 0.0
    for _ in range(3):
        g = 1 + 0.1 * w
        v = MOMENTUM * v + g
        w -= 0.5 * (g + MOMENTUM * v)
        optimizer.apply(regularize(optimizer, [tf.constant([1.0])], [variable], 0.1, None), [variable])
        np.testing.assert_allclose(keras.ops.convert_to_numpy(variable), [w], rtol=1e-5)


@pytest.mark.parametrize("precision", ["none", "float16"])
def test_a_moving_average_of_the_weights_is_what_is_kept(precision):
    """The average starts at the weights after the first step."""
    model = learner(make_optimizer(dataclasses.replace(PRESETS["scnas"], learning_rate=0.05), 0.9, precision))
    step, average = tf.function(model.train_step, autograph=False), None
    for update in range(4):
        step(data())
        weights, momentum = model.network.get_weights(), (1 + update) / (10 + update)
        average = weights if average is None else [momentum * old + (1 - momentum) * new for old, new in zip(average, weights)]
    assert np.abs(weights[0] - average[0]).max() > 1e-3
    model.optimizer.finalize_variable_values(model.network.trainable_variables)
    for ours, theirs in zip(model.network.get_weights(), average, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize("name", ["scnas", "nnunet"])
@pytest.mark.parametrize("ema, updates", [(0.99, 30), (0.5, 30)])
def test_the_average_of_few_updates_has_left_the_start_values(name, ema, updates):
    """Against the recurrence in float64; a momentum of 0.99 from the first update on would leave three quarters of them."""
    optimizer, weight = make_optimizer(PRESETS[name], ema, "none"), keras.Variable([5.0])
    optimizer.build([weight])
    step = tf.function(lambda: optimizer.apply([tf.ones((1,))]))
    seen, average = [], 5.0
    for update in range(updates):
        step()
        seen.append(float(weight.numpy()[0]))
        momentum = 0.0 if update == 0 else min(ema, (1 + update) / (10 + update))
        average = momentum * average + (1 - momentum) * seen[-1]
    optimizer.finalize_variable_values([weight])
    assert float(weight.numpy()[0]) == pytest.approx(average, rel=1e-5)
    assert abs(average - seen[-1]) < 0.3 * abs(seen[-1] - 5.0)
