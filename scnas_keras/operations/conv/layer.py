"""Convolution as a Keras layer."""

import keras
from keras import ops

from scnas_keras.operations.base import NormalizedConv, serializable, subsample
from scnas_keras.operations.conv import facts


@serializable
class Conv(NormalizedConv):
    """LeakyReLU - convolution - InstanceNorm (SCNAS section 3). He-normal start.

    Args:
        rate: voxels between taps, 1 or 2.
        size: taps an axis.
    """

    kernel: keras.Variable

    def __init__(self, rate: int = 1, size: int = 3, **kwargs):
        super().__init__(**kwargs)
        self.rate, self.size = rate, size

    def kernels(self, rank, channels, branches=1):
        return facts.kernels(rank, channels, branches, self.size)

    def convolve(self, x):
        rate, stride = self.rate, self.stride
        if rate == stride == 2:  # all taps fall on the voxels that subsampling keeps
            x, rate, stride = subsample(x), 1, 1
        return ops.conv(x, self.kernel, strides=stride, padding="same", data_format="channels_last", dilation_rate=rate)

    def get_config(self):
        return {**super().get_config(), "rate": self.rate, "size": self.size}


LAYER = Conv
