"""Convolution as a Keras layer."""

import keras
from keras import ops

from scnas_keras.operations.base import NormalizedConv, serializable
from scnas_keras.operations.conv.facts import kernels


@serializable
class Conv(NormalizedConv):
    """LeakyReLU - 3-wide convolution - InstanceNorm (SCNAS section 3). He-normal start."""

    kernels = staticmethod(kernels)
    kernel: keras.Variable

    def convolve(self, x):
        return ops.conv(x, self.kernel, strides=self.stride, padding="same", data_format="channels_last")


LAYER = Conv
