"""Keras layers of the candidate operations.

All of them map [batch, *space, channels] to [batch, *space / stride, channels]. Where an operation has stride 2, its
i-th output is centred on input voxel 2 i + 1 of every axis, for all operations alike, so that their sums are aligned.
That is where a 3-wide kernel lands under "same" padding when the axis is even, as a U-Net's always is.
"""

import math
from collections.abc import Callable
from typing import Any

import keras
from keras import layers, ops

NEGATIVE_SLOPE = 0.01
_serializable = keras.saving.register_keras_serializable("scnas_keras")


def subsample(x):
    """Every second voxel of each spatial axis, beginning with the second."""
    return x[(slice(None), *[slice(1, None, 2)] * (len(x.shape) - 2))]


@_serializable
class InstanceNorm(layers.Layer):
    """Instance normalisation: every channel of every item to mean 0 and variance 1 over its voxels.

    The same function as `GroupNormalization(groups=-1)` with epsilon 1e-5, in a third of the graph nodes: a supernet
    holds hundreds of them and its start-up time grows with the square of their number.

    Args:
        affine: learned scale and offset; on in fixed networks, off in a search (else weights can cheat the logits).

    Attributes:
        fast_form: of all such layers, a faster form of their affine function (x, scale, offset, epsilon) that gives None where it can't;
            training sets TensorFlow's.
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
        if self.affine and self.fast_form is not None:
            fast = self.fast_form(x, self.scale, self.offset, self.epsilon)
            if fast is not None:
                return fast
        wide = ops.cast(x, "float32") if keras.backend.standardize_dtype(x.dtype) in ("float16", "bfloat16") else x
        mean, variance = ops.moments(wide, axes=tuple(range(1, len(x.shape) - 1)), keepdims=True)
        factor = ops.rsqrt(variance + self.epsilon)
        if self.affine:
            factor = factor * ops.cast(self.scale, wide.dtype)
            return ops.cast((wide - mean) * factor + ops.cast(self.offset, wide.dtype), x.dtype)
        return ops.cast((wide - mean) * factor, x.dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "affine": self.affine, "epsilon": self.epsilon}


class Operation(layers.Layer):
    """Base of the candidates: channels stay, space is divided by `stride` (1 or 2)."""

    def __init__(self, stride: int = 1, **kwargs):
        super().__init__(**kwargs)
        self.stride = stride

    def compute_output_shape(self, input_shape):
        space = [n if n is None else -(-n // self.stride) for n in input_shape[1:-1]]
        return (input_shape[0], *space, input_shape[-1])

    def get_config(self):
        return {**super().get_config(), "stride": self.stride}


class _NormalizedConv(Operation):
    """LeakyReLU, a convolution that the subclass defines, instance normalisation.

    Several such operations on the same input are one layer with as many branches: one wide convolution is computed faster than
    several narrow ones. Then the layer's result is a list.

    Args:
        affine: see `InstanceNorm`.
        branches: operations in one.
    """

    def __init__(self, affine: bool = True, branches: int = 1, **kwargs):
        super().__init__(**kwargs)
        self.affine, self.branches = affine, branches
        self.norm = InstanceNorm(affine, dtype=self.dtype_policy)

    def build(self, input_shape):
        for name, (shape, stddev) in self.kernels(len(input_shape) - 2, input_shape[-1], self.branches).items():
            initializer = keras.initializers.RandomNormal(stddev=stddev)
            setattr(self, name, self.add_weight(name=name, shape=shape, initializer=initializer))
        self.norm.build((*super().compute_output_shape(input_shape)[:-1], self.branches * input_shape[-1]))

    def before_norm(self, x):
        """All but the normalisation; the branches' channels one after the other."""
        return self.convolve(ops.leaky_relu(x, NEGATIVE_SLOPE))

    def call(self, x):
        y = self.norm(self.before_norm(x))
        return ops.split(y, self.branches, axis=-1) if self.branches > 1 else y

    def compute_output_shape(self, input_shape):
        shape = super().compute_output_shape(input_shape)
        return [shape] * self.branches if self.branches > 1 else shape

    def branch(self, weight: str, number: int) -> tuple[Any, slice]:
        """Where in one of `kernels` a branch has its part."""
        width = getattr(self, weight).shape[-1] // self.branches
        return ..., slice(number * width, (number + 1) * width)

    def get_config(self):
        return {**super().get_config(), "affine": self.affine, "branches": self.branches}


@_serializable
class Conv(_NormalizedConv):
    """LeakyReLU - 3-wide convolution - InstanceNorm (SCNAS section 3). He-normal start."""

    @staticmethod
    def kernels(rank: int, channels: int, branches: int = 1) -> dict[str, tuple[tuple[int, ...], float]]:
        """Kernel name -> (shape, standard deviation of its start values)."""
        return {"kernel": ((3,) * rank + (channels, branches * channels), math.sqrt(2 / (3**rank * channels)))}

    def convolve(self, x):
        return ops.conv(x, self.kernel, strides=self.stride, padding="same", data_format="channels_last")


@_serializable
class DilatedSeparableConv(_NormalizedConv):
    """LeakyReLU - depthwise dilated 3-wide convolution - pointwise convolution - InstanceNorm (SCNAS section 3).

    Nothing stands between the two convolutions, so they are computed as one dense convolution with the composed
    kernel `depthwise * pointwise`: the same function of the same parameters, without the grouped convolution that
    is tens of times slower on CPUs and missing from exchange formats. It costs more arithmetic than
    `multiply_adds` counts, which is the operation's own.

    Attributes:
        fast_form: of all such layers, a faster form of a convolution with stride 1 (x, kernel, rate) that gives None where it can't;
            training sets TensorFlow's.
    """

    fast_form: Callable[..., Any] | None = None

    def __init__(self, rate: int = 2, **kwargs):
        super().__init__(**kwargs)
        self.rate = rate

    @staticmethod
    def kernels(rank: int, channels: int, branches: int = 1) -> dict[str, tuple[tuple[int, ...], float]]:
        """Kernel name -> (shape, standard deviation of its start values)."""
        return {
            "depthwise": ((3,) * rank + (channels, branches), math.sqrt(1 / 3**rank)),
            "pointwise": ((channels, branches * channels), math.sqrt(2 / channels)),
        }

    def composed(self):
        """The dense kernel, [3, ..., channels, branches * channels]."""
        depthwise, pointwise = ops.convert_to_tensor(self.depthwise), ops.convert_to_tensor(self.pointwise)
        if self.branches == 1:
            return depthwise * pointwise
        channels = pointwise.shape[0]
        kernel = depthwise[..., None] * ops.reshape(pointwise, (channels, self.branches, channels))
        return ops.reshape(kernel, (*depthwise.shape[:-1], self.branches * channels))

    def convolve(self, x):
        rate, stride, kernel = self.rate, self.stride, self.composed()
        if stride == 2 and rate % 2 == 0:  # all taps fall on the voxels that subsampling keeps
            x, rate, stride = subsample(x), rate // 2, 1
        y = self.fast_form(x, kernel, rate) if self.fast_form is not None and rate > 1 else None
        if y is None:
            y = ops.conv(x, kernel, padding="same", data_format="channels_last", dilation_rate=rate)
        return subsample(y) if stride == 2 else y

    def get_config(self):
        return {**super().get_config(), "rate": self.rate}


@_serializable
class Pool(Operation):
    """3-wide max or average pooling; an average leaves out what lies beyond the border."""

    def __init__(self, mode: str, **kwargs):
        super().__init__(**kwargs)
        self.mode = mode

    def call(self, x):
        rank = len(x.shape) - 2
        if keras.backend.standardize_dtype(x.dtype) == "float64":  # for which TensorFlow has no pooling kernels
            for axis in range(1, rank + 1):
                x = self._pool_axis(x, axis)
            return x
        pool = {"max": ops.max_pool, "average": ops.average_pool}[self.mode]
        if self.stride == 2:
            return pool(x, 3, 2, padding="same", data_format="channels_last")
        for axis in range(rank):  # one axis at a time: the same result at half the cost of a cubic window
            x = pool(x, tuple(3 if i == axis else 1 for i in range(rank)), 1, padding="same", data_format="channels_last")
        return x

    def _pool_axis(self, x, axis: int):
        """Pools one axis by combining three shifted slices."""
        size, count = x.shape[axis], -(-x.shape[axis] // self.stride)
        missing = max(0, (count - 1) * self.stride + 3 - size)
        padding = [(0, 0)] * len(x.shape)
        padding[axis] = (missing // 2, missing - missing // 2)

        def windows(values, fill):
            padded = ops.moveaxis(ops.pad(values, padding, constant_values=fill), axis, 0)
            return [padded[i : i + (count - 1) * self.stride + 1 : self.stride] for i in range(3)]

        if self.mode == "max":
            first, second, third = windows(x, float("-inf"))
            pooled = ops.maximum(ops.maximum(first, second), third)
        else:
            pooled = sum(windows(x, 0.0)) / sum(windows(ops.ones_like(x), 0.0))
        return ops.moveaxis(pooled, 0, axis)

    def get_config(self):
        return {**super().get_config(), "mode": self.mode}


@_serializable
class Identity(Operation):
    """The input itself, subsampled if strided."""

    def call(self, x):
        return subsample(x) if self.stride == 2 else x


@_serializable
class Zero(Operation):
    """Zeros of the output's shape: the absent edge, as a search sees it."""

    def call(self, x):
        return ops.zeros_like(subsample(x) if self.stride == 2 else x)


_CLASSES: dict[str, tuple[type[Operation], dict[str, Any]]] = {
    "conv_3": (Conv, {}),
    "dilated_conv_3_rate_2": (DilatedSeparableConv, {"rate": 2}),
    "dilated_conv_3_rate_3": (DilatedSeparableConv, {"rate": 3}),
    "dilated_conv_3_rate_4": (DilatedSeparableConv, {"rate": 4}),
    "max_pool_3": (Pool, {"mode": "max"}),
    "average_pool_3": (Pool, {"mode": "average"}),
    "identity": (Identity, {}),
    "zero": (Zero, {}),
}


def has_weights(operation: str) -> bool:
    """Whether an operation learns; one without gives the same on every edge from the same node."""
    return issubclass(_CLASSES[operation][0], _NormalizedConv)


def build_operation(operation: str, stride: int = 1, affine: bool = True, branches: int = 1, **kwargs) -> Operation:
    """The layer of an operation by its name in `spaces.operations`.

    Args:
        operation: the name.
        stride: 1, or 2 on the edges with which a reduction cell reads its inputs.
        affine: whether its normalisation has learned scale and offset.
        branches: of an operation with weights, how many of them read the same input; then the layer gives a list.
        **kwargs: `name`, `dtype` of the layer.
    """
    kind, settings = _CLASSES[operation]
    own = {"affine": affine, "branches": branches} if has_weights(operation) else {}
    return kind(stride=stride, **settings, **own, **kwargs)
