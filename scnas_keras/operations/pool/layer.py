"""Pooling as a Keras layer."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from scnas_keras.operations.base import Operation, serializable


@serializable
class Pool(Operation):
    """3-wide max or average pooling; an average leaves out what lies beyond the border.

    Attributes:
        fast_form: a form whose gradient is faster, of (x, this layer's `pool`), that gives None where it can't; set on the layers of a
            model (`kernels.fast_forms`).
    """

    fast_form: Callable[..., Any] | None = None

    def __init__(self, mode: str, **kwargs):
        super().__init__(**kwargs)
        self.mode = mode

    def call(self, x):
        fast = None if self.fast_form is None else self.fast_form(x, self.pool)
        return self.pool(x) if fast is None else fast

    def pool(self, x):
        """What the layer computes, [batch, *space, channels] -> [batch, *space / stride, channels]."""
        rank = len(x.shape) - 2
        if keras.backend.standardize_dtype(x.dtype) == "float64":  # for which TensorFlow has no pooling kernels
            for axis in range(1, rank + 1):
                x = self._pool_axis(x, axis)
            return x
        pool = {"max": ops.max_pool, "average": ops.average_pool}[self.mode]
        if self.stride == 2:
            return pool(x, 3, 2, padding="same", data_format="channels_last")
        for axis in range(rank):  # one axis at a time: the same result at half the cost of a cubic window
            x = pool(x, tuple(3 if i == axis else 1 for i in range(rank)), 1, padding="same", data_format="channels_last")
        return x

    def _pool_axis(self, x, axis: int):
        """Pools one axis by combining three shifted slices."""
        size, count = x.shape[axis], -(-x.shape[axis] // self.stride)
        missing = max(0, (count - 1) * self.stride + 3 - size)
        padding = [(0, 0)] * len(x.shape)
        padding[axis] = (missing // 2, missing - missing // 2)

        def windows(values, fill):
            padded: Any = ops.moveaxis(ops.pad(values, padding, constant_values=fill), axis, 0)
            return [padded[i : i + (count - 1) * self.stride + 1 : self.stride] for i in range(3)]

        if self.mode == "max":
            first, second, third = windows(x, float("-inf"))
            pooled = ops.maximum(ops.maximum(first, second), third)
        else:
            pooled = sum(windows(x, 0.0)) / sum(windows(ops.ones_like(x), 0.0))
        return ops.moveaxis(pooled, 0, axis)

    def get_config(self):
        return {**super().get_config(), "mode": self.mode}


LAYER = Pool
