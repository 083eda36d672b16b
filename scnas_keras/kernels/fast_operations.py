"""Operations of the supernet in forms that TensorFlow computes faster than those of `networks`: equal functions."""

import math

import tensorflow as tf
from keras import ops

from scnas_keras.kernels.fast_forms import dilated_conv, direct_dilation, use_fast_form
from scnas_keras.kernels.separable import separable_conv
from scnas_keras.operations.base import Operation, subsample
from scnas_keras.operations.build import build_operation
from scnas_keras.operations.dilated_separable_conv.layer import DilatedSeparableConv
from scnas_keras.operations.pool.layer import Pool

FEW_CHANNELS, FEW_VALUES, FEW_VOXELS = 16, 10**6, 512
"""Up to which a dense convolution of an image takes less time than a separable one, see `DirectDilatedConv`."""


def build_fast_operation(name: str, role: str, dtype: str, low_memory: bool = False) -> Operation:
    """The layer of an operation by its name, without affine part; see `operations.build.build_operation`.

    With `low_memory`, dilated convolutions with stride aren't done in one: at 128^3 that took 1.5 GiB more.
    """
    layer = build_operation(name, role, affine=False, dtype=dtype)
    if dtype == "float64":  # for which there are no such kernels
        return layer
    if isinstance(layer, DilatedSeparableConv) and direct_dilation(tf.as_dtype(layer.compute_dtype)):
        fast = DirectDilatedConv.from_config(layer.get_config())
        fast.strides_at_once = not low_memory
        return fast
    if isinstance(layer, Pool):
        use_fast_form(layer)
    return layer


class DirectDilatedConv(DilatedSeparableConv):
    """Convolves by `kernels.separable` where that can and pays; else with a dilated kernel, instead of one of every `rate` voxels.

    A separable convolution is some twenty operations of TensorFlow, a dense one is two: of small images that takes longer than the
    arithmetic. On CPUs a dilated kernel takes half the time of `networks`, forwards and for the image's gradient; the kernel's gradient is
    faster the other way, which `networks` takes for all three.

    Attributes:
        strides_at_once: whether a stride is part of a 3D convolution, or every second voxel taken of its result.
    """

    strides_at_once = True

    def _is_better_dense(self, x) -> bool:
        """Measured in whole steps on two cores: stem 16 at 32^3 takes 0.93 s instead of 1.45, stem 32 at 48^3 3.6 s as before."""
        if self.stride == 2 and self.rate % 2 and x.shape.rank == 5 and self.strides_at_once:
            return True  # separable ones are computed at every voxel first
        if not x.shape.is_fully_defined():
            return False
        channels, voxels = x.shape[-1], math.prod(x.shape[:-1])
        return (channels <= FEW_CHANNELS and channels * voxels <= FEW_VALUES) or (channels <= 2 * FEW_CHANNELS and voxels <= FEW_VOXELS)

    def convolve(self, x):
        if not self._is_better_dense(x):
            apart = separable_conv(x, ops.convert_to_tensor(self.depthwise), ops.convert_to_tensor(self.pointwise), self.rate, self.stride)
            if apart is not None:
                return apart[0]
        rate, stride, kernel = self.rate, self.stride, self.composed()
        if stride == 2 and rate % 2 == 0:  # all taps fall on the voxels that subsampling keeps
            x, rate, stride = subsample(x), rate // 2, 1
        if rate == 1:
            return ops.conv(x, kernel, strides=stride, padding="same", data_format="channels_last")
        if stride == 2 and x.shape.rank == 5 and self.strides_at_once:
            return _strided_dilated_conv(x, kernel, rate)
        return subsample(dilated_conv(x, kernel, rate)) if stride == 2 else dilated_conv(x, kernel, rate)


def _strided_dilated_conv(x: tf.Tensor, kernel: tf.Tensor, rate: int) -> tf.Tensor:
    """`dilated_conv` at every second voxel, beginning with the second, of a 3D image whose axes are even."""
    settings = {"strides": [1, 2, 2, 2, 1], "dilations": [1, rate, rate, rate, 1], "padding": "SAME"}

    @tf.custom_gradient
    def convolved(x, kernel):
        def gradient(dy):
            dx = tf.raw_ops.Conv3DBackpropInputV2(input_sizes=tf.shape(x), filter=kernel, out_backprop=dy, **settings)
            return dx, tf.raw_ops.Conv3DBackpropFilterV2(input=x, filter_sizes=tf.shape(kernel), out_backprop=dy, **settings)

        return tf.raw_ops.Conv3D(input=x, filter=kernel, **settings), gradient

    return convolved(x, kernel)
