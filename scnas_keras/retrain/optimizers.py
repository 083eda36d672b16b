"""The optimizers of recipes, with a moving average of the weights where one is asked for."""

from typing import Any

import keras

from scnas_keras.machine.precision import scaled
from scnas_keras.retrain.recipes import Recipe
from scnas_keras.training.names import ADAM
from scnas_keras.training.optimizers import SGD, Adam


def make_optimizer(found: Recipe, ema: float, precision: str) -> keras.Optimizer:
    """A recipe's optimizer; `ema` is the momentum of a moving average of the weights, 0 for none."""
    average: dict[str, Any] = {"use_ema": True, "ema_momentum": ema} if ema else {}
    if found.optimizer == ADAM:
        return scaled(Adam(found.learning_rate, name="adam", **average), precision)
    return scaled(SGD(found.learning_rate, found.momentum, nesterov=True, name="SGD", **average), precision)
