"""Dilated depthwise-separable convolution as a Keras layer."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from scnas_keras.operations.base import NormalizedConv, serializable, subsample
from scnas_keras.operations.dilated_separable_conv import facts
from scnas_keras.operations.kernels import composed


@serializable
class DilatedSeparableConv(NormalizedConv):
    """LeakyReLU - depthwise dilated convolution, `size` wide - pointwise convolution - InstanceNorm (SCNAS section 3).

    Nothing stands between the two convolutions, so they are computed as one dense convolution with the composed
    kernel `depthwise * pointwise`: the same function of the same parameters, without the grouped convolution that
    is tens of times slower on CPUs and missing from exchange formats. It costs more arithmetic than
    `multiply_adds` counts, which is the operation's own.

    Attributes:
        fast_form: a faster form of the layer's convolution, (x, depthwise, pointwise, rate, stride) to a result a branch, that gives None
            where it can't; set on the layers of a model (`kernels.fast_forms`).
    """

    depthwise: keras.Variable
    pointwise: keras.Variable
    fast_form: Callable[..., Any] | None = None

    def __init__(self, rate: int = 2, size: int = 3, **kwargs):
        super().__init__(**kwargs)
        self.rate, self.size = rate, size

    def kernels(self, rank, channels, branches=1):
        return facts.kernels(rank, channels, branches, self.size)

    def composed(self):
        """The dense kernel, [size, ..., channels, branches * channels]."""
        return composed(self.depthwise, self.pointwise, self.branches)

    def convolve(self, x):
        rate, stride, kernel = self.rate, self.stride, self.composed()
        if stride == 2 and rate % 2 == 0:  # all taps fall on the voxels that subsampling keeps
            x, rate, stride = subsample(x), rate // 2, 1
        if rate == 1:
            return ops.conv(x, kernel, strides=stride, padding="same", data_format="channels_last")
        y = ops.conv(x, kernel, padding="same", data_format="channels_last", dilation_rate=rate)
        return subsample(y) if stride == 2 else y

    def convolve_apart(self, x):
        if self.fast_form is None:
            return None
        return self.fast_form(x, ops.convert_to_tensor(self.depthwise), ops.convert_to_tensor(self.pointwise), self.rate, self.stride)

    def get_config(self):
        return {**super().get_config(), "rate": self.rate, "size": self.size}


LAYER = DilatedSeparableConv
