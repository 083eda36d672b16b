"""Shuffled group convolution as a Keras layer."""

import keras
from keras import ops

from scnas_keras.operations.base import NEGATIVE_SLOPE, ManyKernels, serializable, subsample
from scnas_keras.operations.kernels import grouped, shuffled
from scnas_keras.operations.shuffled_group_conv.facts import BOTTLENECK, GROUPS, kernels


@serializable
class ShuffledGroupConv(ManyKernels):
    """LeakyReLU - pointwise convolution of groups to a quarter of the channels - InstanceNorm - LeakyReLU - channel shuffle - depthwise
    3-wide convolution - InstanceNorm - pointwise convolution of groups - InstanceNorm. With stride 2 it begins with every second voxel.

    The shuffle is in the order of the first convolution's outputs.
    """

    kernels = staticmethod(kernels)
    reduce: keras.Variable
    depthwise: keras.Variable
    expand: keras.Variable

    def normalized(self, channels: int) -> tuple[int, ...]:
        return channels // BOTTLENECK, channels // BOTTLENECK, channels

    def call(self, x):
        x = subsample(x) if self.stride == 2 else x
        x = self.norms[0](ops.matmul(ops.leaky_relu(x, NEGATIVE_SLOPE), shuffled(grouped(self.reduce), GROUPS)))
        x = self.norms[1](self.convolve_depthwise(ops.leaky_relu(x, NEGATIVE_SLOPE), self.depthwise))
        return self.norms[2](ops.matmul(x, grouped(self.expand)))


LAYER = ShuffledGroupConv
