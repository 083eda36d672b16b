"""Ghost convolution as a Keras layer."""

import keras
from keras import ops

from scnas_keras.operations.base import NEGATIVE_SLOPE, ManyKernels, serializable, subsample
from scnas_keras.operations.ghost_conv.facts import kernels


@serializable
class GhostConv(ManyKernels):
    """LeakyReLU - pointwise convolution - InstanceNorm to half of the channels; from these LeakyReLU - depthwise 3-wide convolution -
    InstanceNorm to the others. With stride 2 it begins with every second voxel."""

    kernels = staticmethod(kernels)
    primary: keras.Variable
    cheap: keras.Variable

    def normalized(self, channels: int) -> tuple[int, ...]:
        primary = -(-channels // 2)
        return primary, channels - primary

    def call(self, x):
        x = subsample(x) if self.stride == 2 else x
        first = self.norms[0](ops.matmul(ops.leaky_relu(x, NEGATIVE_SLOPE), self.primary))
        active = ops.leaky_relu(first[..., : self.cheap.shape[-2]], NEGATIVE_SLOPE)
        second = self.norms[1](self.convolve_depthwise(active, self.cheap))
        return ops.concatenate([first, second], axis=-1)


LAYER = GhostConv
