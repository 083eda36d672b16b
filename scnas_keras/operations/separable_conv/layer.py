"""Depthwise-separable convolution, twice, as a Keras layer."""

import keras
from keras import ops

from scnas_keras.operations.base import NEGATIVE_SLOPE, ManyKernels, serializable
from scnas_keras.operations.kernels import separable
from scnas_keras.operations.separable_conv.facts import kernels


@serializable
class SeparableConv(ManyKernels):
    """LeakyReLU - depthwise 3-wide convolution - pointwise convolution - InstanceNorm, twice; the first has the stride."""

    kernels = staticmethod(kernels)
    depthwise_1: keras.Variable
    pointwise_1: keras.Variable
    depthwise_2: keras.Variable
    pointwise_2: keras.Variable

    def normalized(self, channels: int) -> tuple[int, ...]:
        return channels, channels

    def call(self, x):
        pairs = (self.depthwise_1, self.pointwise_1, self.stride), (self.depthwise_2, self.pointwise_2, 1)
        for norm, (depthwise, pointwise, stride) in zip(self.norms, pairs):
            kernel = separable(depthwise, pointwise)
            x = norm(ops.conv(ops.leaky_relu(x, NEGATIVE_SLOPE), kernel, strides=stride, padding="same", data_format="channels_last"))
        return x


LAYER = SeparableConv
