"""Selective-kernel convolution as a Keras layer."""

import keras
from keras import ops

from scnas_keras.operations.base import NEGATIVE_SLOPE, ManyKernels, serializable
from scnas_keras.operations.selective_kernel_conv.facts import RATE, kernels


@serializable
class SelectiveKernelConv(ManyKernels):
    """LeakyReLU - two depthwise 3-wide convolutions, one dilated, each with InstanceNorm - their mean with weights by channel.

    The weights are a softmax of two, from the mean over all voxels of both by two dense layers with a LeakyReLU between. These are
    applied once an item: their multiply-adds don't grow with voxels.
    """

    kernels = staticmethod(kernels)
    near: keras.Variable
    far: keras.Variable
    squeeze: keras.Variable
    excite: keras.Variable

    def normalized(self, channels: int) -> tuple[int, ...]:
        return channels, channels

    def call(self, x):
        x = ops.leaky_relu(x, NEGATIVE_SLOPE)
        near = self.convolve_depthwise(x, self.near, stride=self.stride)
        far = self.convolve_depthwise(x, self.far, RATE, self.stride)
        both = [norm(y) for norm, y in zip(self.norms, (near, far))]
        active = [ops.leaky_relu(y, NEGATIVE_SLOPE) for y in both]
        pooled = ops.mean(active[0] + active[1], axis=tuple(range(1, len(x.shape) - 1)), keepdims=True)
        scores = ops.matmul(ops.leaky_relu(ops.matmul(pooled, self.squeeze), NEGATIVE_SLOPE), self.excite)
        first, second = ops.split(scores, 2, axis=-1)
        share = ops.sigmoid(first - second)  # a softmax of two
        return share * both[0] + (1 - share) * both[1]

    def multiply_adds(self, positions: int) -> int:
        once = self.squeeze.shape[0] * self.squeeze.shape[1] + self.excite.shape[0] * self.excite.shape[1]
        return positions * (self.kernel_weights() - once) + once


LAYER = SelectiveKernelConv
