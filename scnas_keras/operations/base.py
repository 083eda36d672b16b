"""What the layers of all candidate operations have in common.

All of them map [batch, *space, channels] to [batch, *space / stride, channels], or to [batch, *space * 2, channels]. Where an operation
has stride 2, its i-th output is centred on input voxel 2 i + 1 of every axis, for all operations alike, so that their sums are aligned.
That is where a 3-wide kernel lands under "same" padding when the axis is even, as a U-Net's always is.
"""

import itertools
import math
from collections.abc import Callable
from typing import Any

import keras
from keras import layers, ops

from scnas_keras.operations.facts import Kernels
from scnas_keras.operations.kernels import depthwise_only

NEGATIVE_SLOPE = 0.01
serializable = keras.saving.register_keras_serializable("scnas_keras")


def subsample(x):
    """Every second voxel of each spatial axis, beginning with the second.

    Where all axes are even it is a block of each pair of voxels: on CPUs a quarter of the time of slices with steps, there and back.
    """
    outer, *inner, channels = x.shape[1:]
    if any(size is None or size % 2 for size in (outer, *inner)):
        return x[(slice(None), *[slice(1, None, 2)] * (len(x.shape) - 2))]
    halves = [size // 2 for size in inner]
    pairs = ops.reshape(x, (-1, *itertools.chain(*((2, half) for half in halves)), 2 * channels))
    second = (0, *itertools.chain(*((1, 0) for _ in halves)), channels)
    size = (ops.shape(pairs)[0], *itertools.chain(*((1, half) for half in halves)), channels)
    return ops.reshape(ops.slice(pairs, second, size), (-1, outer // 2, *halves, channels))


def takes_only(layer: layers.Layer, input_shape) -> None:
    """Has a layer refuse other channels and axes than it was built for: TensorFlow takes more channels as groups, and says nothing."""
    layer.input_spec = layers.InputSpec(ndim=len(input_shape), axes={-1: input_shape[-1]})


@serializable
class InstanceNorm(layers.Layer):
    """Instance normalisation: every channel of every item to mean 0 and variance 1 over its voxels.

    The same function as `GroupNormalization(groups=-1)` with epsilon 1e-5, in a third of the graph nodes: a supernet
    holds hundreds of them and its start-up time grows with the square of their number.

    Args:
        affine: learned scale and offset; on in fixed networks, off in a search (else weights can cheat alpha).

    Attributes:
        fast_form: a faster form of the affine function (x, scale, offset, epsilon) that gives None where it can't; set on the layers of a
            model (`kernels.fast_forms`).
    """

    fast_form: Callable[..., Any] | None = None

    def __init__(self, affine: bool = True, epsilon: float = 1e-5, **kwargs):
        super().__init__(**kwargs)
        self.affine, self.epsilon = affine, epsilon

    def build(self, input_shape):
        if self.affine:
            self.scale = self.add_weight(name="scale", shape=(input_shape[-1],), initializer="ones")
            self.offset = self.add_weight(name="offset", shape=(input_shape[-1],), initializer="zeros")

    def call(self, x):
        return self.normalize(x, self.scale, self.offset) if self.affine else self.normalize(x)

    def normalize_apart(self, parts: list) -> list:
        """The layer's function of channels that aren't concatenated."""
        if not self.affine:
            return [self.normalize(x) for x in parts]
        scales, offsets = (ops.split(value, len(parts)) if len(parts) > 1 else [value] for value in (self.scale, self.offset))
        return [self.normalize(x, scale, offset) for x, scale, offset in zip(parts, scales, offsets)]

    def normalize(self, x, scale=None, offset=None):
        """The layer's function with scale and offset [channels], without which it isn't affine."""
        if scale is not None and self.fast_form is not None:
            fast = self.fast_form(x, scale, offset, self.epsilon)
            if fast is not None:
                return fast
        wide: Any = ops.cast(x, "float32") if keras.backend.standardize_dtype(x.dtype) in ("float16", "bfloat16") else x
        moments: Any = ops.moments(wide, axes=tuple(range(1, len(x.shape) - 1)), keepdims=True)
        mean, variance = moments
        factor: Any = ops.rsqrt(variance + self.epsilon)
        if scale is not None:
            factor = factor * ops.cast(scale, wide.dtype)
            return ops.cast((wide - mean) * factor + ops.cast(offset, wide.dtype), x.dtype)
        return ops.cast((wide - mean) * factor, x.dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "affine": self.affine, "epsilon": self.epsilon}


class Operation(layers.Layer):
    """Base of the candidates: channels stay, space is divided by `stride` (1 or 2).

    Attributes:
        merges: whether it takes `branches`: several of it on one input are one layer, whose result is a list then.
        doubles: whether its output has twice the resolution instead.
    """

    merges = False
    doubles = False

    def __init__(self, stride: int = 1, **kwargs):
        super().__init__(**kwargs)
        self.stride = stride

    def compute_output_shape(self, input_shape) -> tuple | list:
        space = [n if n is None else 2 * n if self.doubles else -(-n // self.stride) for n in input_shape[1:-1]]
        return (input_shape[0], *space, input_shape[-1])

    def kernel_weights(self) -> int:
        """How many weights its convolutions have: all but scales and offsets."""
        return sum(math.prod(weight.shape) for weight in self.trainable_weights if len(weight.shape) > 1)

    def multiply_adds(self, positions: int) -> int:
        """Of an output of so many voxels: each kernel weight once a voxel, unless a subclass applies some otherwise."""
        return positions * self.kernel_weights()

    def get_config(self):
        return {**super().get_config(), "stride": self.stride}


class ManyKernels(Operation):
    """Base of operations with several kernels and normalisations.

    Args:
        affine: see `InstanceNorm`.

    Attributes:
        kernels: (spatial axes, channels) -> its kernels' shapes and start values; those of its facts.
        norms: its normalisations, in order.
        fast_depthwise: a faster form of `convolve_depthwise`, with the same arguments, that gives None where it can't; set on the layers
            of a model (`kernels.fast_forms`).
    """

    kernels: Callable[[int, int], Kernels]
    fast_depthwise: Callable[..., Any] | None = None

    def __init__(self, affine: bool = True, **kwargs):
        super().__init__(**kwargs)
        self.affine = affine

    def normalized(self, channels: int) -> tuple[int, ...]:
        """Channels of each normalisation."""
        raise NotImplementedError

    def build(self, input_shape):
        takes_only(self, input_shape)
        for name, (shape, stddev) in self.kernels(len(input_shape) - 2, input_shape[-1]).items():
            setattr(self, name, self.add_weight(name=name, shape=shape, initializer=keras.initializers.RandomNormal(stddev=stddev)))
        self.norms = []
        for channels in self.normalized(input_shape[-1]):
            norm = InstanceNorm(self.affine, dtype=self.dtype_policy)
            norm.build((*input_shape[:-1], channels))
            self.norms.append(norm)

    def convolve_depthwise(self, x, kernel, rate: int = 1, stride: int = 1):
        """Depthwise convolution with a kernel [size, ..., channels, 1], at every voxel or at every second; by itself as a dense one."""
        fast = None if self.fast_depthwise is None else self.fast_depthwise(x, kernel, rate, stride)
        if fast is not None:
            return fast
        if stride == 2 and rate % 2 == 0:  # all taps fall on the voxels that subsampling keeps
            x, rate, stride = subsample(x), rate // 2, 1
        dense = depthwise_only(kernel)
        return ops.conv(x, dense, strides=stride, padding="same", data_format="channels_last", dilation_rate=rate)

    def get_config(self):
        return {**super().get_config(), "affine": self.affine}


class NormalizedConv(Operation):
    """LeakyReLU, a convolution that the subclass defines, instance normalisation.

    Several such operations on the same input are one layer with as many branches: one wide convolution is computed faster than
    several narrow ones. Then the layer's result is a list.

    Args:
        affine: see `InstanceNorm`.
        branches: operations in one.

    Attributes:
        kernels: (spatial axes, channels, branches) -> its kernels' shapes and start values; those of its facts.
    """

    merges = True
    kernels: Callable[[int, int, int], Kernels]

    def __init__(self, affine: bool = True, branches: int = 1, **kwargs):
        super().__init__(**kwargs)
        self.affine, self.branches = affine, branches
        self.norm = InstanceNorm(affine, dtype=self.dtype_policy)

    def build(self, input_shape):
        takes_only(self, input_shape)
        for name, (shape, stddev) in self.kernels(len(input_shape) - 2, input_shape[-1], self.branches).items():
            initializer = keras.initializers.RandomNormal(stddev=stddev)
            setattr(self, name, self.add_weight(name=name, shape=shape, initializer=initializer))
        self.norm.build((*super().compute_output_shape(input_shape)[:-1], self.branches * input_shape[-1]))

    def before_norm(self, x):
        """All but the normalisation; the branches' channels one after the other."""
        return self.convolve(ops.leaky_relu(x, NEGATIVE_SLOPE))

    def call(self, x):
        x = ops.leaky_relu(x, NEGATIVE_SLOPE)
        apart = self.convolve_apart(x)
        if apart is None:
            y = self.norm(self.convolve(x))
            return ops.split(y, self.branches, axis=-1) if self.branches > 1 else y
        normalized = self.norm.normalize_apart(apart)
        return normalized if self.branches > 1 else normalized[0]

    def convolve_apart(self, x) -> list | None:
        """`convolve` of each branch by itself, where a subclass has a form of it that is faster."""
        return None

    def compute_output_shape(self, input_shape):
        shape = super().compute_output_shape(input_shape)
        return [shape] * self.branches if self.branches > 1 else shape

    def branch(self, weight: str, number: int) -> tuple[Any, slice]:
        """Where in one of `kernels` a branch has its part."""
        width = getattr(self, weight).shape[-1] // self.branches
        return ..., slice(number * width, (number + 1) * width)

    def get_config(self):
        return {**super().get_config(), "affine": self.affine, "branches": self.branches}
