"""Grouped kernels as dense ones: the same function of the same parameters, which CPUs and exchange formats compute well.

Grouped convolutions in three dimensions are tens of times slower on CPUs, and missing from ONNX and LiteRT.
"""

from typing import Any

from keras import ops


def separable(depthwise, pointwise):
    """The kernel [size, ..., channels, out] of a depthwise convolution [size, ..., channels, 1], then a pointwise one [channels, out]."""
    depthwise, pointwise = _tensors(depthwise, pointwise)
    return depthwise * pointwise


def composed(depthwise, pointwise, branches: int):
    """The same of several on one input, [size, ..., channels, branches * channels], from [size, ..., channels, branches] and
    [channels, branches * channels]."""
    if branches == 1:
        return separable(depthwise, pointwise)
    depthwise, pointwise = _tensors(depthwise, pointwise)
    channels = pointwise.shape[0]
    kernel = depthwise[..., None] * ops.reshape(pointwise, (channels, branches, channels))
    return ops.reshape(kernel, (*depthwise.shape[:-1], branches * channels))


def depthwise_only(depthwise):
    """The kernel [size, ..., channels, channels] of a depthwise convolution [size, ..., channels, 1]."""
    (depthwise,) = _tensors(depthwise)
    return depthwise * ops.eye(depthwise.shape[-2], dtype=depthwise.dtype)


def grouped(pointwise):
    """The matrix [groups * inside, groups * out] of a pointwise convolution of groups [groups, inside, out]."""
    (pointwise,) = _tensors(pointwise)
    groups, inside, out = pointwise.shape
    blocks = ops.expand_dims(pointwise, 2) * ops.reshape(ops.eye(groups, dtype=pointwise.dtype), (groups, 1, groups, 1))
    return ops.reshape(blocks, (groups * inside, groups * out))


def shuffled(matrix, groups: int):
    """A matrix [channels, out] whose outputs change places as a channel shuffle has it: the first of each group, the second of each, ..."""
    channels, out = matrix.shape
    return ops.reshape(ops.transpose(ops.reshape(matrix, (channels, groups, out // groups)), (0, 2, 1)), (channels, out))


def _tensors(*kernels) -> list[Any]:
    return [ops.convert_to_tensor(kernel) for kernel in kernels]
