"""The optimizers of recipes, with a moving average of the weights where one is asked for."""

from typing import Any

import keras

from scnas_keras.machine.precision import scaled
from scnas_keras.retrain.config import ADAM
from scnas_keras.retrain.recipes import Recipe


class _Averaging:
    """Part of an optimizer whose moving average of the weights looks back over a ninth of the updates at most.

    Keras' begins at the first update: with a momentum of 0.99 it is still 45 % of the average after 80 more. Here the momentum after t
    updates is (1 + t) / (10 + t) until that reaches the one that was asked for, as in TensorFlow's ExponentialMovingAverage.
    """

    @property
    def ema_momentum(self) -> Any:
        updates = keras.ops.cast(self.iterations, "float32")  # type: ignore[attr-defined]
        return keras.ops.minimum(self._most, (1 + updates) / (10 + updates))

    @ema_momentum.setter
    def ema_momentum(self, momentum: float) -> None:
        self._most = momentum


class AveragedAdam(_Averaging, keras.optimizers.Adam):
    """Keras' Adam with such an average."""


class AveragedSGD(_Averaging, keras.optimizers.SGD):
    """Keras' SGD with such an average."""


def make_optimizer(found: Recipe, ema: float, precision: str) -> keras.Optimizer:
    """A recipe's optimizer; `ema` is the momentum of a moving average of the weights, 0 for none."""
    average: dict[str, Any] = {"use_ema": True, "ema_momentum": ema} if ema else {}
    adam, sgd = (AveragedAdam, AveragedSGD) if ema else (keras.optimizers.Adam, keras.optimizers.SGD)
    if found.optimizer == ADAM:
        return scaled(adam(found.learning_rate, name="adam", **average), precision)
    return scaled(sgd(found.learning_rate, found.momentum, nesterov=True, name="SGD", **average), precision)
