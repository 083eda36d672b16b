"""Depthwise-separable convolution, twice, as a Keras layer."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from scnas_keras.operations.base import NEGATIVE_SLOPE, ManyKernels, serializable
from scnas_keras.operations.kernels import separable
from scnas_keras.operations.separable_conv import facts


@serializable
class SeparableConv(ManyKernels):
    """LeakyReLU - depthwise convolution, `size` wide - pointwise convolution - InstanceNorm, twice; the first has the stride.

    Each pair is computed as one dense convolution with the composed kernel, unless there is a faster form of it.

    Attributes:
        fast_form: see `DilatedSeparableConv`.
    """

    fast_form: Callable[..., Any] | None = None

    depthwise_1: keras.Variable
    pointwise_1: keras.Variable
    depthwise_2: keras.Variable
    pointwise_2: keras.Variable

    def __init__(self, size: int = 3, **kwargs):
        super().__init__(**kwargs)
        self.size = size

    def kernels(self, rank, channels):
        return facts.kernels(rank, channels, self.size)

    def normalized(self, channels: int) -> tuple[int, ...]:
        return channels, channels

    def call(self, x):
        pairs = (self.depthwise_1, self.pointwise_1, self.stride), (self.depthwise_2, self.pointwise_2, 1)
        for norm, (depthwise, pointwise, stride) in zip(self.norms, pairs):
            x = ops.leaky_relu(x, NEGATIVE_SLOPE)
            apart = None if self.fast_form is None else self.fast_form(x, depthwise, pointwise, 1, stride)
            x = norm(apart[0] if apart else self._dense(x, depthwise, pointwise, stride))
        return x

    def _dense(self, x, depthwise, pointwise, stride: int):
        return ops.conv(x, separable(depthwise, pointwise), strides=stride, padding="same", data_format="channels_last")

    def get_config(self):
        return {**super().get_config(), "size": self.size}


LAYER = SeparableConv
