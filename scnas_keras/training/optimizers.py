"""Keras' optimizers, for variables of float32, with one operation of TensorFlow a variable instead of some twenty.

A found network has hundreds of small variables: their updates took half of the time that its training step took to trace.
"""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

for _hook in ("_backend_update_step", "_update_model_variables_moving_average"):
    if not hasattr(keras.optimizers.Optimizer, _hook):  # or what stands below would silently not be called
        raise ImportError(f"Keras {keras.__version__} has no Optimizer.{_hook}")


class _Averaging:
    """Part of an optimizer whose moving average of the weights looks back over a ninth of the updates at most.

    Keras' begins at the first update: with a momentum of 0.99 it is still 45 % of the average after 80 more. Here the momentum after t
    updates is (1 + t) / (10 + t) until that reaches the one that was asked for, as in TensorFlow's ExponentialMovingAverage.
    """

    def _update_model_variables_moving_average(self: Any, trainable_variables: Sequence[keras.Variable]) -> None:
        if not self.use_ema:
            return
        updates = tf.cast(self.iterations.value, tf.float32)
        momentum = tf.where(updates > 0, tf.minimum(float(self.ema_momentum), (1 + updates) / (10 + updates)), 0.0)
        for variable, average in zip(trainable_variables, self._model_variables_moving_average):
            if average is not None:
                average.value.assign_sub((average.value - variable.value) * (1 - momentum))


class Adam(_Averaging, keras.optimizers.Adam):
    """Keras' Adam, of the same arguments and variables, with a better average. It has no `amsgrad`."""

    def _backend_update_step(self, grads, trainable_variables, learning_rate):
        if self.amsgrad:
            raise NotImplementedError("amsgrad")
        updates = tf.cast(self.iterations.value + 1, tf.float32)
        bias = tf.sqrt(1 - tf.pow(float(self.beta_2), updates)) / (1 - tf.pow(float(self.beta_1), updates))
        super()._backend_update_step(grads, trainable_variables, tf.cast(learning_rate, tf.float32) * bias)

    def update_step(self, gradient, variable, learning_rate):
        index = self._get_variable_index(variable)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=0.0,  # the rate is corrected for both already, once for all variables
            beta2_power=0.0,
            lr=learning_rate,
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )


class SGD(_Averaging, keras.optimizers.SGD):
    """Keras' SGD, of the same arguments and variables, with a better average."""

    def update_step(self, gradient, variable, learning_rate):
        if not self.momentum:
            super().update_step(gradient, variable, learning_rate)
            return
        tf.raw_ops.ResourceApplyKerasMomentum(
            var=variable.handle,
            accum=self.momentums[self._get_variable_index(variable)].value.handle,
            lr=tf.cast(learning_rate, tf.float32),
            grad=gradient,
            momentum=self.momentum,
            use_nesterov=self.nesterov,
        )
