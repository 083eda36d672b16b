"""Channels weighted by attention, as a Keras layer."""

import keras
from keras import ops

from scnas_keras.operations.base import NEGATIVE_SLOPE, ManyKernels, serializable
from scnas_keras.operations.channel_weight import facts


@serializable
class ChannelWeight(ManyKernels):
    """Each channel times a weight of its own: sigmoid(dense - LeakyReLU - dense) of the means over all voxels.

    With stride 2 then a 3-wide convolution - InstanceNorm, and where it doubles a transposed one. Activations stand nowhere else, as
    published. The dense layers are applied once an item.

    Args:
        doubles: whether its output has twice the resolution.
    """

    squeeze: keras.Variable
    excite: keras.Variable
    kernel: keras.Variable

    def __init__(self, doubles: bool = False, **kwargs):
        super().__init__(**kwargs)
        self.doubles = doubles

    @property
    def _convolves(self) -> bool:
        return self.doubles or self.stride == 2

    def kernels(self, rank, channels):
        return (facts.DOUBLES if self.doubles else facts.HALVES if self._convolves else facts.kernels)(rank, channels)

    def normalized(self, channels: int) -> tuple[int, ...]:
        return (channels,) if self._convolves else ()

    def call(self, x):
        pooled = ops.mean(x, axis=tuple(range(1, len(x.shape) - 1)), keepdims=True)
        y = x * ops.sigmoid(ops.matmul(ops.leaky_relu(ops.matmul(pooled, self.squeeze), NEGATIVE_SLOPE), self.excite))
        if not self._convolves:
            return y
        same = {"strides": 2, "padding": "same", "data_format": "channels_last"}
        if self.doubles:
            return self.norms[0](ops.conv_transpose(y, ops.swapaxes(self.kernel, -1, -2), **same))
        return self.norms[0](ops.conv(y, self.kernel, **same))

    def multiply_adds(self, positions: int) -> int:
        once = 2 * self.squeeze.shape[0] * self.squeeze.shape[1]
        places = positions // 2 ** (len(self.kernel.shape) - 2) if self.doubles else positions
        return once + places * (self.kernel_weights() - once)

    def get_config(self):
        return {**super().get_config(), "doubles": self.doubles}


LAYER = ChannelWeight
