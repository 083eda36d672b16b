"""The fixed parts around the cells: image, stem, input alignment, output."""

import itertools
import math

from keras import initializers, layers, ops

from scnas_keras.operations.base import NEGATIVE_SLOPE, InstanceNorm, serializable, subsample, takes_only
from scnas_keras.spaces.description import MAX_POOL, TRANSPOSED
from scnas_keras.spaces.places import taps


def upsample(x, times: int = 2):
    """Each voxel repeated along every spatial axis (nearest neighbour)."""
    for axis in range(1, len(x.shape) - 1):
        x = ops.repeat(x, times, axis=axis)
    return x


def halved(x, bridge: str, halvings: int):
    """[batch, *space, channels] at a resolution that is halved some times, to every second voxel, or by `MAX_POOL`."""
    for _ in range(halvings):
        x = _highest(x) if bridge == MAX_POOL else subsample(x)
    return x


def _highest(x):
    """The highest of each block of 2 voxels along every spatial axis: a max pool that TensorFlow has in float64 and in 3D is fast at.

    Pairs are split, for the gradient of an index is slow.
    """
    for axis in range(1, len(x.shape) - 1):
        shape = ops.shape(x)
        pairs = ops.reshape(x, (*shape[:axis], shape[axis] // 2, 2, *shape[axis + 1 :]))
        x = ops.reshape(ops.maximum(*ops.split(pairs, 2, axis=axis + 1)), (*shape[:axis], shape[axis] // 2, *shape[axis + 1 :]))
    return x


def spread(x, times: int):
    """Channels as blocks of voxels: [batch, *space, times ** rank * channels] -> [batch, *space * times, channels]."""
    rank = len(x.shape) - 2
    space, channels = ops.shape(x)[1:-1], x.shape[-1] // times**rank
    x = ops.reshape(x, (-1, *space, *[times] * rank, channels))
    x = ops.transpose(x, (0, *itertools.chain(*((1 + axis, 1 + rank + axis) for axis in range(rank))), 1 + 2 * rank))
    return ops.reshape(x, (-1, *(size * times for size in space), channels))


def doubled_smoothly(x):
    """Twice the resolution along every spatial axis by linear interpolation between voxel centres, the border's values beyond it."""
    for axis in range(1, len(x.shape) - 1):
        whole = (slice(None),) * axis
        before = ops.concatenate([x[(*whole, slice(0, 1))], x[(*whole, slice(None, -1))]], axis=axis)
        after = ops.concatenate([x[(*whole, slice(1, None))], x[(*whole, slice(-1, None))]], axis=axis)
        pairs = ops.stack([0.75 * x + 0.25 * before, 0.75 * x + 0.25 * after], axis=axis + 1)
        shape = ops.shape(x)
        x = ops.reshape(pairs, (*shape[:axis], 2 * shape[axis], *shape[axis + 1 :]))
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
    nearest neighbours are repeated after the normalisation, where it costs least; these commute with the pointwise steps exactly (a
    maximum with the LeakyReLU). A transposed convolution, whose stride is its kernel's width, is a pointwise one that gives the voxels of
    a block side by side; they are normalised in their places.

    Args:
        channels: node width.
        shift: how often the resolution is doubled; -1 halves it, 0 keeps it.
        affine: whether the normalisation has learned scale and offset.
        bridge: how it is halved, "pointwise" or "max_pool", or doubled, "nearest" or "transposed"; the first of them by default.
    """

    def __init__(self, channels: int, shift: int = 0, affine: bool = True, bridge: str = "", **kwargs):
        super().__init__(**kwargs)
        self.channels, self.shift, self.affine, self.bridge = channels, shift, affine, bridge
        self.norm = InstanceNorm(affine, dtype=self.dtype_policy)

    def build(self, input_shape):
        takes_only(self, input_shape)
        initializer = initializers.RandomNormal(stddev=math.sqrt(2 / input_shape[-1]))
        outputs = taps(self.bridge, self.shift, len(input_shape) - 2) * self.channels
        self.kernel = self.add_weight(name="kernel", shape=(input_shape[-1], outputs), initializer=initializer)
        self.norm.build((*input_shape[:-1], self.channels))

    def call(self, x):
        x = halved(x, self.bridge, -self.shift) if self.shift < 0 else x
        x = ops.matmul(ops.leaky_relu(x, NEGATIVE_SLOPE), self.kernel)
        if self.shift > 0 and self.bridge == TRANSPOSED:
            return self.norm(spread(x, 2**self.shift))
        x = self.norm(x)
        return upsample(x, 2**self.shift) if self.shift > 0 else x

    def compute_output_shape(self, input_shape):
        scaled = [n if n is None else n * 2**self.shift if self.shift > 0 else n // 2**-self.shift for n in input_shape[1:-1]]
        return (input_shape[0], *scaled, self.channels)

    def get_config(self):
        return {**super().get_config(), "channels": self.channels, "shift": self.shift, "affine": self.affine, "bridge": self.bridge}


@serializable
class Stem(layers.Layer):
    """3-wide convolution - InstanceNorm of the image: [batch, *space, any] -> [batch, *space / stride, channels]."""

    def __init__(self, channels: int, stride: int = 1, affine: bool = True, **kwargs):
        super().__init__(**kwargs)
        self.channels, self.stride, self.affine = channels, stride, affine
        self.norm = InstanceNorm(affine, dtype=self.dtype_policy)

    def build(self, input_shape):
        takes_only(self, input_shape)
        rank = len(input_shape) - 2
        initializer = initializers.RandomNormal(stddev=math.sqrt(1 / (3**rank * input_shape[-1])))
        shape = (3,) * rank + (input_shape[-1], self.channels)
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer=initializer)
        self.norm.build((*input_shape[:-1], self.channels))

    def call(self, x):
        return self.norm(ops.conv(x, self.kernel, strides=self.stride, padding="same", data_format="channels_last"))

    def compute_output_shape(self, input_shape):
        space = (n if n is None else -(-n // self.stride) for n in input_shape[1:-1])
        return (input_shape[0], *space, self.channels)

    def get_config(self):
        return {**super().get_config(), "channels": self.channels, "stride": self.stride, "affine": self.affine}


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


@serializable
class Doubled(layers.Layer):
    """Features or logits at a higher resolution: [batch, *space, channels] -> [batch, *space * 2 ** doublings, channels].

    Args:
        doublings: how often the resolution is doubled.
        smooth: by linear interpolation, else each voxel is repeated.
    """

    def __init__(self, doublings: int, smooth: bool, **kwargs):
        super().__init__(**kwargs)
        self.doublings, self.smooth = doublings, smooth

    def call(self, x):
        if not self.smooth:
            return upsample(x, 2**self.doublings)
        for _ in range(self.doublings):
            x = doubled_smoothly(x)
        return x

    def compute_output_shape(self, input_shape):
        return (input_shape[0], *(n if n is None else n * 2**self.doublings for n in input_shape[1:-1]), input_shape[-1])

    def get_config(self):
        return {**super().get_config(), "doublings": self.doublings, "smooth": self.smooth}


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
        rank, channels = len(input_shape) - 2, input_shape[-1]
        initializer = initializers.RandomNormal(stddev=math.sqrt(2 / (3**rank * channels)))
        self.kernel = self.add_weight(name="kernel", shape=(3,) * rank + (channels,) * 2, initializer=initializer)
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
