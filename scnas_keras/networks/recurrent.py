"""A convolution that reads its own output again (R2U-Net)."""

from keras import layers, ops

from scnas_keras.networks.blocks import start_values
from scnas_keras.operations.base import NEGATIVE_SLOPE, InstanceNorm, serializable, takes_only


@serializable
class RecurrentConv(layers.Layer):
    """Recurrent convolution: y = f(x), then y = f(x + y) a number of times, with f a 3-wide convolution, InstanceNorm and LeakyReLU.

    All applications have the same weights. [batch, *space, channels] -> the same shape.

    Args:
        recurrences: how often it is applied again (t).

    Reference:
        Alom et al., R2U-Net, arXiv 1802.06955, section III; Liang and Hu, CVPR 2015.
    """

    def __init__(self, recurrences: int, **kwargs):
        super().__init__(**kwargs)
        self.recurrences = recurrences
        self.norm = InstanceNorm(dtype=self.dtype_policy)

    @property
    def applications(self) -> int:
        """How often the kernel is applied."""
        return 1 + self.recurrences

    def build(self, input_shape):
        takes_only(self, input_shape)
        channels = input_shape[-1]
        self.kernel = self.add_weight(name="kernel", shape=(3,) * (len(input_shape) - 2) + (channels,) * 2, initializer=start_values())
        self.norm.build(input_shape)

    def call(self, x):
        y = self._apply(x)
        for _ in range(self.recurrences):
            y = self._apply(x + y)
        return y

    def _apply(self, x):
        x = self.norm(ops.conv(x, self.kernel, padding="same", data_format="channels_last"))
        return ops.leaky_relu(x, NEGATIVE_SLOPE)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "recurrences": self.recurrences}
