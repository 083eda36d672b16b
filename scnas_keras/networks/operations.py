"""Keras layers of the candidate operations.

All of them map [batch, *space, channels] to [batch, *space / stride, channels]. Where an operation has stride 2, its
i-th output is centred on input voxel 2 i + 1 of every axis, for all operations alike, so that their sums are aligned.
That is where a 3-wide kernel lands under "same" padding when the axis is even, as a U-Net's always is.
"""

import math

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
    """

    def __init__(self, affine: bool = True, epsilon: float = 1e-5, **kwargs):
        super().__init__(**kwargs)
        self.affine, self.epsilon = affine, epsilon

    def build(self, input_shape):
        if self.affine:
            self.scale = self.add_weight(name="scale", shape=(input_shape[-1],), initializer="ones")
            self.offset = self.add_weight(name="offset", shape=(input_shape[-1],), initializer="zeros")

    def call(self, x):
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
    """LeakyReLU, a convolution that the subclass defines, instance normalisation."""

    def __init__(self, affine: bool = True, **kwargs):
        super().__init__(**kwargs)
        self.affine = affine
        self.norm = InstanceNorm(affine, dtype=self.dtype_policy)

    def build(self, input_shape):
        for name, (shape, stddev) in self.kernels(len(input_shape) - 2, input_shape[-1]).items():
            initializer = keras.initializers.RandomNormal(stddev=stddev)
            setattr(self, name, self.add_weight(name=name, shape=shape, initializer=initializer))
        self.norm.build(self.compute_output_shape(input_shape))

    def before_norm(self, x):
        """All but the normalisation."""
        return self.convolve(ops.leaky_relu(x, NEGATIVE_SLOPE))

    def call(self, x):
        return self.norm(self.before_norm(x))

    def get_config(self):
        return {**super().get_config(), "affine": self.affine}


@_serializable
class Conv(_NormalizedConv):
    """LeakyReLU - 3-wide convolution - InstanceNorm (SCNAS section 3). He-normal start."""

    @staticmethod
    def kernels(rank: int, channels: int) -> dict[str, tuple[tuple[int, ...], float]]:
        """Kernel name -> (shape, standard deviation of its start values)."""
        return {"kernel": ((3,) * rank + (channels, channels), math.sqrt(2 / (3**rank * channels)))}

    def convolve(self, x):
        return ops.conv(x, self.kernel, strides=self.stride, padding="same", data_format="channels_last")


@_serializable
class DilatedSeparableConv(_NormalizedConv):
    """LeakyReLU - depthwise dilated 3-wide convolution - pointwise convolution - InstanceNorm (SCNAS section 3).

    Nothing stands between the two convolutions, so they are computed as one dense convolution with the composed
    kernel `depthwise * pointwise`: the same function of the same parameters, without the grouped convolution that
    is tens of times slower on CPUs and missing from exchange formats. It costs more arithmetic than
    `multiply_adds` counts, which is the operation's own.
    """

    def __init__(self, rate: int = 2, **kwargs):
        super().__init__(**kwargs)
        self.rate = rate

    @staticmethod
    def kernels(rank: int, channels: int) -> dict[str, tuple[tuple[int, ...], float]]:
        """Kernel name -> (shape, standard deviation of its start values)."""
        return {
            "depthwise": ((3,) * rank + (channels, 1), math.sqrt(1 / 3**rank)),
            "pointwise": ((channels, channels), math.sqrt(2 / channels)),
        }

    def convolve(self, x):
        rate, stride, kernel = self.rate, self.stride, self.depthwise * self.pointwise
        if stride == 2 and rate % 2 == 0:  # all taps fall on the voxels that subsampling keeps
            x, rate, stride = subsample(x), rate // 2, 1
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


_BUILDERS = {
    "conv_3": lambda affine, **kw: Conv(affine=affine, **kw),
    "dilated_conv_3_rate_2": lambda affine, **kw: DilatedSeparableConv(rate=2, affine=affine, **kw),
    "dilated_conv_3_rate_3": lambda affine, **kw: DilatedSeparableConv(rate=3, affine=affine, **kw),
    "dilated_conv_3_rate_4": lambda affine, **kw: DilatedSeparableConv(rate=4, affine=affine, **kw),
    "max_pool_3": lambda affine, **kw: Pool("max", **kw),
    "average_pool_3": lambda affine, **kw: Pool("average", **kw),
    "identity": lambda affine, **kw: Identity(**kw),
    "zero": lambda affine, **kw: Zero(**kw),
}


def build_operation(operation: str, stride: int = 1, affine: bool = True, **kwargs) -> Operation:
    """The layer of an operation by its name in `spaces.operations`.

    Args:
        operation: the name.
        stride: 1, or 2 on the edges with which a reduction cell reads its inputs.
        affine: whether its normalisation has learned scale and offset.
        **kwargs: `name`, `dtype` of the layer.
    """
    return _BUILDERS[operation](affine, stride=stride, **kwargs)
