"""Convolutions that double the resolution, as a Keras layer."""

import math

import keras
from keras import ops

from scnas_keras.operations.base import NormalizedConv, serializable
from scnas_keras.operations.kernels import composed
from scnas_keras.operations.transposed_conv import facts


@serializable
class TransposedConv(NormalizedConv):
    """LeakyReLU - 3-wide transposed convolution with stride 2 - InstanceNorm: the adjoint of a convolution with stride 2.

    [batch, *space, channels] -> [batch, *space * 2, channels].

    Args:
        separable: of a depthwise convolution and a pointwise one, computed as one with the composed kernel.
        dilated: with taps two voxels apart. Stride and dilation meet the same voxels: of each block only one would have values, those of a
            3-wide convolution of what is read. Here all voxels of the block have them.
    """

    doubles = True
    kernel: keras.Variable
    depthwise: keras.Variable
    pointwise: keras.Variable

    def __init__(self, separable: bool = False, dilated: bool = False, **kwargs):
        super().__init__(**kwargs)
        self.separable, self.dilated = separable, dilated

    def kernels(self, rank, channels, branches=1):
        return (facts.separable if self.separable else facts.repeated if self.dilated else facts.dense)(rank, channels, branches)

    def convolve(self, x):
        if self.dilated:
            y = ops.conv(x, self.kernel, padding="same", data_format="channels_last")
            for axis in range(1, len(x.shape) - 1):
                y = ops.repeat(y, 2, axis=axis)
            return y
        kernel = composed(self.depthwise, self.pointwise, self.branches) if self.separable else self.kernel
        return ops.conv_transpose(x, ops.swapaxes(kernel, -1, -2), strides=2, padding="same", data_format="channels_last")

    def multiply_adds(self, positions: int) -> int:
        read = self.depthwise if self.separable else self.kernel
        size = math.prod(read.shape)
        return positions * size // 2 ** (len(read.shape) - 2) + positions * (self.kernel_weights() - size)

    def get_config(self):
        return {**super().get_config(), "separable": self.separable, "dilated": self.dilated}


LAYER = TransposedConv
