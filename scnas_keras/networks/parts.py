"""The fixed parts around the cells: image, stem, input alignment, output."""

import math

from keras import initializers, layers, ops

from scnas_keras.operations.base import NEGATIVE_SLOPE, InstanceNorm, serializable, subsample, takes_only


def upsample(x):
    """Each voxel repeated twice along every spatial axis (nearest neighbour)."""
    for axis in range(1, len(x.shape) - 1):
        x = ops.repeat(x, 2, axis=axis)
    return x


@serializable
class Image(layers.Layer):
    """The image itself, [batch, *space, channels], refused where it has other channels than the first it saw.

    Given images of several numbers of channels, Keras traces a graph that doesn't know the number, and TensorFlow then reads a
    kernel of fewer channels as one of groups. There the number is compared as the graph runs. A reshape wouldn't do: TensorFlow's
    graph optimiser takes it away.
    """

    def build(self, input_shape):
        takes_only(self, input_shape)

    def call(self, x):
        if x.shape[-1] is not None:
            return x
        import tensorflow as tf  # no other framework has such graphs

        return tf.ensure_shape(x, (*[None] * (len(x.shape) - 1), self.input_spec.axes[-1]))

    def compute_output_shape(self, input_shape):
        return input_shape


@serializable
class Align(layers.Layer):
    """Brings a cell's input to its node width and resolution: LeakyReLU - pointwise convolution - InstanceNorm.

    [batch, *space, any] -> [batch, *space * 2 ** shift, channels]. Halving takes place before the convolution and
    doubling after the normalisation, where it costs least; both commute with these pointwise steps exactly.

    Args:
        channels: node width.
        shift: -1 halves the resolution, 0 keeps it, 1 doubles it.
        affine: whether the normalisation has learned scale and offset.
    """

    def __init__(self, channels: int, shift: int = 0, affine: bool = True, **kwargs):
        super().__init__(**kwargs)
        self.channels, self.shift, self.affine = channels, shift, affine
        self.norm = InstanceNorm(affine, dtype=self.dtype_policy)

    def build(self, input_shape):
        takes_only(self, input_shape)
        initializer = initializers.RandomNormal(stddev=math.sqrt(2 / input_shape[-1]))
        self.kernel = self.add_weight(name="kernel", shape=(input_shape[-1], self.channels), initializer=initializer)
        self.norm.build((*input_shape[:-1], self.channels))

    def call(self, x):
        x = subsample(x) if self.shift < 0 else x
        x = self.norm(ops.matmul(ops.leaky_relu(x, NEGATIVE_SLOPE), self.kernel))
        return upsample(x) if self.shift > 0 else x

    def compute_output_shape(self, input_shape):
        scale = {-1: lambda n: n // 2, 0: lambda n: n, 1: lambda n: n * 2}[self.shift]
        return (input_shape[0], *[n if n is None else scale(n) for n in input_shape[1:-1]], self.channels)

    def get_config(self):
        return {**super().get_config(), "channels": self.channels, "shift": self.shift, "affine": self.affine}


@serializable
class Stem(layers.Layer):
    """3-wide convolution - InstanceNorm at full resolution: [batch, *space, any] -> [batch, *space, channels]."""

    def __init__(self, channels: int, affine: bool = True, **kwargs):
        super().__init__(**kwargs)
        self.channels, self.affine = channels, affine
        self.norm = InstanceNorm(affine, dtype=self.dtype_policy)

    def build(self, input_shape):
        takes_only(self, input_shape)
        rank = len(input_shape) - 2
        initializer = initializers.RandomNormal(stddev=math.sqrt(1 / (3**rank * input_shape[-1])))
        shape = (3,) * rank + (input_shape[-1], self.channels)
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer=initializer)
        self.norm.build((*input_shape[:-1], self.channels))

    def call(self, x):
        return self.norm(ops.conv(x, self.kernel, padding="same", data_format="channels_last"))

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.channels)

    def get_config(self):
        return {**super().get_config(), "channels": self.channels, "affine": self.affine}


@serializable
class OutCell(layers.Layer):
    """LeakyReLU - pointwise convolution with bias: [batch, *space, any] -> float32 logits [batch, *space, classes]."""

    def __init__(self, num_classes: int, **kwargs):
        super().__init__(**kwargs)
        self.num_classes = num_classes

    def build(self, input_shape):
        takes_only(self, input_shape)
        initializer = initializers.RandomNormal(stddev=math.sqrt(2 / input_shape[-1]))
        self.kernel = self.add_weight(name="kernel", shape=(input_shape[-1], self.num_classes), initializer=initializer)
        self.bias = self.add_weight(name="bias", shape=(self.num_classes,), initializer="zeros")

    def call(self, x):
        return ops.matmul(ops.leaky_relu(x, NEGATIVE_SLOPE), self.kernel) + self.bias

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.num_classes)

    def get_config(self):
        return {**super().get_config(), "num_classes": self.num_classes}
