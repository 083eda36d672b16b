"""Operations of fixed networks in forms that TensorFlow computes faster: equal functions."""

import functools
from collections.abc import Callable

import keras
import tensorflow as tf

from scnas_keras.kernels.fused_norm import normalize_affine
from scnas_keras.kernels.separable import depthwise_one, separable_conv
from scnas_keras.operations.base import InstanceNorm, ManyKernels
from scnas_keras.operations.dilated_separable_conv.layer import DilatedSeparableConv
from scnas_keras.operations.pool.layer import Pool
from scnas_keras.operations.separable_conv.layer import SeparableConv


def use_fast_forms(model: keras.Model) -> None:
    """Lets the layers of a functional model normalise, dilate and average by these kernels from now on, where they can.

    What was traced before, and other models with other layers, are left alone.
    """
    for layer in model.layers:
        use_fast_form(layer)


def use_fast_form(layer: keras.Layer) -> None:
    """The same for a layer by itself."""
    for part in (layer, getattr(layer, "norm", None), *getattr(layer, "norms", ())):
        if isinstance(part, InstanceNorm):
            part.fast_form = normalize_affine
        elif isinstance(part, ManyKernels) and not isinstance(part, SeparableConv):
            part.fast_depthwise = depthwise_one
        elif isinstance(part, (DilatedSeparableConv, SeparableConv)):
            part.fast_form = separable_conv
        elif type(part) is Pool and part.mode == "average" and part.stride == 1:
            part.fast_form = average


def average(x: tf.Tensor, pool: Callable[[tf.Tensor], tf.Tensor]) -> tf.Tensor | None:
    """A 3-wide average with stride 1, whose gradient is again an average: half the time of TensorFlow's own. None for unknown sizes.

    With c voxels in the window, y = S x / c for the symmetric sum S of neighbours; so the gradient is S (dy / c) = c times the average of
    dy / c.
    """
    if not x.shape.is_fully_defined():
        return None

    @tf.custom_gradient
    def averaged(x):
        def gradient(dy):
            count = _window_voxels(tf.shape(x)[1:-1], x.dtype)
            return pool(dy / count) * count

        return pool(x), gradient

    return averaged(x)


def dilated_conv(x: tf.Tensor, kernel: tf.Tensor, rate: int) -> tf.Tensor:
    """Convolution [batch, *space, in] -> [batch, *space, out] with a kernel [size, ..., in, out] whose taps are `rate` voxels apart."""
    rank = x.shape.rank - 2
    steps, rates = [1] * (rank + 2), [1, *[rate] * rank, 1]
    conv = {2: tf.nn.conv2d, 3: tf.nn.conv3d}[rank]

    @tf.custom_gradient
    def convolved(x, kernel):
        def gradient(dy):
            mirrored = tf.reverse(kernel, list(range(rank)))
            mirrored = tf.linalg.matrix_transpose(mirrored)
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(kernel)
                y = tf.nn.convolution(x, kernel, padding="SAME", dilations=[rate] * rank)
            return conv(dy, mirrored, steps, "SAME", dilations=rates), tape.gradient(y, kernel, dy)

        return conv(x, kernel, steps, "SAME", dilations=rates), gradient

    return convolved(x, kernel)


@functools.cache
def direct_dilation(dtype: tf.DType = tf.float32) -> bool:
    """Whether this TensorFlow has kernels for dilated 3D convolution of a type; CPUs have them through oneDNN."""
    if dtype == tf.float64:
        return False
    with tf.init_scope():
        try:
            tf.nn.conv3d(tf.zeros((1, 4, 4, 4, 1), dtype), tf.zeros((3, 3, 3, 1, 1), dtype), [1] * 5, "SAME", dilations=[1, 2, 2, 2, 1])
        except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError, tf.errors.NotFoundError):
            return False
    return True


def _window_voxels(space: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """How many voxels a 3-wide window holds at each place, [*space, 1]: fewer at the border."""
    count = tf.ones([1], dtype)
    for size in reversed(tf.unstack(space)):
        place = tf.range(size)
        along = tf.minimum(place + 1, size - 1) - tf.maximum(place - 1, 0) + 1
        count = tf.reshape(tf.cast(along, dtype), [-1, *[1] * count.shape.rank]) * count
    return count
