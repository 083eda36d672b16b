"""Pieces that the hand-made networks are put together from, for two and three spatial axes."""

from collections.abc import Callable, Sequence

import keras
from keras import initializers, layers

from scnas_keras.networks.parts import Doubled, Image
from scnas_keras.operations.base import NEGATIVE_SLOPE, InstanceNorm
from scnas_keras.operations.identity.layer import Identity

_CONV = {2: layers.Conv2D, 3: layers.Conv3D}
_UP = {2: layers.Conv2DTranspose, 3: layers.Conv3DTranspose}
_AVERAGE_POOL = {2: layers.AveragePooling2D, 3: layers.AveragePooling3D}
_MAX_POOL = {2: layers.MaxPooling2D, 3: layers.MaxPooling3D}
_MEAN = {2: layers.GlobalAveragePooling2D, 3: layers.GlobalAveragePooling3D}
_REPEAT = {2: layers.UpSampling2D, 3: layers.UpSampling3D}

Size = int | Sequence[int]


def rank_of(x) -> int:
    """Spatial axes of [batch, *space, channels]."""
    return len(x.shape) - 2


def image(rank: int, channels: int) -> tuple:
    """The input of a network, whose spatial shape is dynamic, and its features: the image, sure to have these channels."""
    whole = keras.Input((*[None] * rank, channels), name="image")
    return whole, Image(name="channels")(whole)


def conv(x, features: int, kernel_size: Size, name: str, strides: Size = 1, bias: bool = False, dtype=None, dilation: int = 1):
    """Convolution under "same" padding, with He-normal start values for the package's LeakyReLU.

    Before a normalisation, which takes a bias away again, it has none.
    """
    sizes = {"kernel_size": _sizes(kernel_size), "strides": _sizes(strides), "dilation_rate": dilation}
    layer = _CONV[rank_of(x)](features, **sizes, padding="same", use_bias=bias, kernel_initializer=start_values(), dtype=dtype, name=name)
    return layer(x)


def norm(x, name: str):
    """Instance normalisation with learned scale and offset."""
    return InstanceNorm(name=name)(x)


def activate(x, name: str):
    """LeakyReLU."""
    return layers.LeakyReLU(NEGATIVE_SLOPE, name=name)(x)


def norm_activate(x, name: str):
    """InstanceNorm - LeakyReLU."""
    return activate(norm(x, f"{name}_norm"), f"{name}_activation")


def conv_norm_activate(x, features: int, kernel_size: Size, name: str, strides: Size = 1, dilation: int = 1):
    """Convolution - InstanceNorm - LeakyReLU, the unit of nnU-Net's networks."""
    return norm_activate(conv(x, features, kernel_size, name, strides, dilation=dilation), name)


def two_convs(x, features: int, name: str):
    """Two 3-wide units of convolution, normalisation and activation."""
    for number in range(2):
        x = conv_norm_activate(x, features, 3, f"{name}_conv_{number}")
    return x


def upconv(x, features: int, strides: Size, name: str, bias: bool = True, kernel_size: Size | None = None):
    """Transposed convolution to as many voxels as the strides say; its kernel is as wide as its stride unless told otherwise."""
    sizes = {"kernel_size": _sizes(kernel_size or strides), "strides": _sizes(strides)}
    return _UP[rank_of(x)](features, **sizes, padding="same", use_bias=bias, kernel_initializer=start_values(), name=name)(x)


def average_pool(x, strides: Size, name: str):
    """Mean over blocks of `strides` voxels."""
    return _AVERAGE_POOL[rank_of(x)](_sizes(strides), name=name)(x)


def mean(x, name: str):
    """The mean of all voxels, [batch, 1, ..., channels]."""
    return _MEAN[rank_of(x)](keepdims=True, name=name)(x)


def max_pool(x, name: str):
    """Maximum over blocks of two voxels an axis."""
    return _MAX_POOL[rank_of(x)](2, name=name)(x)


def encode(x, halvings: int, block: Callable) -> tuple:
    """A U-Net's way down: `block(x, level)` on each of `halvings` + 1 levels, with max pooling over two voxels an axis in between.

    Args:
        x: [batch, *space, channels], every spatial axis divisible by 2 ** halvings.

    Returns:
        The coarsest level's output, and those of the others, finest first.
    """
    skips = []
    for level in range(halvings):
        skips.append(block(x, level))
        x = max_pool(skips[-1], f"encoder_{level}_pool")
    return block(x, halvings), skips


def repeat(x, name: str, dtype=None):
    """Each voxel twice along every spatial axis."""
    return _REPEAT[rank_of(x)](2, dtype=dtype, name=name)(x)


def doubled(x, name: str):
    """Twice the resolution, by linear interpolation."""
    return Doubled(1, smooth=True, name=name)(x)


def repeat_conv(x, features: int, name: str):
    """Twice the resolution: each voxel repeated, then a 3-wide unit of convolution, normalisation and activation."""
    return conv_norm_activate(repeat(x, f"{name}_repeat"), features, 3, f"{name}_up")


def halve(x, name: str):
    """Every second voxel of each spatial axis: those in the middle of a 3-wide convolution with stride 2."""
    return Identity(stride=2, name=name)(x)


def add(tensors: Sequence, name: str, dtype=None):
    """The sum of tensors of equal shape, or with one voxel for all of another's."""
    return layers.Add(dtype=dtype, name=name)(tensors)


def concatenate(tensors: Sequence, name: str):
    """Tensors of equal spatial shape, one's channels after the other's."""
    return layers.Concatenate(name=name)(tensors)


def logits(x, num_classes: int, name: str = "logits"):
    """Pointwise convolution to float32 logits."""
    return conv(x, num_classes, 1, name, bias=True, dtype="float32")


def _sizes(size: Size) -> Size:
    return size if isinstance(size, int) else tuple(size)


def start_values() -> initializers.Initializer:
    """He-normal, for the package's LeakyReLU."""
    return initializers.VarianceScaling(2 / (1 + NEGATIVE_SLOPE**2), mode="fan_in", distribution="untruncated_normal")
