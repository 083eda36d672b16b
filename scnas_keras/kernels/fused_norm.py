"""Instance normalisation by TensorFlow's fused kernels."""

import tensorflow as tf
from keras import layers

from scnas_keras.kernels.devices import on_cpu
from scnas_keras.operations.base import InstanceNorm

_FUSED = (tf.float32, tf.bfloat16, tf.float16)


def fuse(layer: layers.Layer) -> layers.Layer:
    """Lets a layer of `networks`, not yet built, normalise through the fused kernel if its type has one; returns it."""
    if isinstance(getattr(layer, "norm", None), InstanceNorm) and tf.as_dtype(layer.compute_dtype) in _FUSED:
        layer.norm = FusedInstanceNorm(layer.norm.epsilon, dtype=layer.dtype_policy)
    return layer


class FusedInstanceNorm(layers.Layer):
    """`InstanceNorm` without an affine part, two to three times as fast on CPUs.

    Batch normalisation in training mode over one item is instance normalisation, and TensorFlow has a fused kernel
    for it and for its gradient. Items of a larger batch are normalised one by one.
    """

    def __init__(self, epsilon: float, **kwargs):
        super().__init__(**kwargs)
        self.epsilon = epsilon

    def call(self, x):
        return normalize(x, 1.0, self.epsilon)[0]


def normalize(x: tf.Tensor, scale: tf.Tensor | float, epsilon: float) -> tuple[tf.Tensor, tf.Tensor]:
    """Every channel of every item to mean 0 and standard deviation `scale` over its voxels.

    Args:
        x: [batch, *space, channels]; the batch's size is known.
        scale: scalar, of x's type.
        epsilon: added to the variance.

    Returns:
        The normalised x, and what the gradients need, [3, batch, channels]: two as the kernel hands them over, and the
        factor 1 / sqrt(variance + epsilon).
    """
    if x.dtype not in _FUSED:
        mean, variance = tf.nn.moments(x, list(range(1, x.shape.rank - 1)), keepdims=True)
        factor = tf.math.rsqrt(variance + epsilon)
        return (x - mean) * factor * scale, tf.stack([tf.reshape(v, (-1, x.shape[-1])) for v in (mean, variance, factor)])
    scales, offset = tf.fill([x.shape[-1]], tf.cast(scale, tf.float32)), tf.zeros((x.shape[-1],))
    outputs, statistics = [], []
    for item in _items(_wide(x)):
        y, _, variance, *spaces = _fused(item, scales, offset, epsilon)
        outputs.append(y)
        voxels = tf.cast(tf.shape(item)[2], tf.float32)
        factor = tf.math.rsqrt(variance * (voxels - 1) / voxels + epsilon)  # the kernel's variance is the unbiased one
        statistics.append(tf.stack([*spaces[:2], factor]))
    return _whole(outputs, x), tf.stack(statistics, axis=1)


def normalize_affine(x: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor, epsilon: float) -> tf.Tensor | None:
    """`InstanceNorm`'s function with learned scale and offset [channels]; None where it can't be computed in this way."""
    if x.dtype not in _FUSED or x.shape[0] is None:
        return None
    scale, offset = (tf.cast(value, tf.float32) for value in (scale, offset))
    return _whole([_fused(item, scale, offset, epsilon).y for item in _items(_wide(x))], x)


def normalize_gradient(dy: tf.Tensor, x: tf.Tensor, statistics: tf.Tensor, scale: tf.Tensor, epsilon: float) -> tuple[tf.Tensor, tf.Tensor]:
    """Gradients of `normalize` with respect to x and scale, from x and its statistics."""
    if x.dtype not in _FUSED:
        mean, _, factor = _along(statistics, x)
        unit = (x - mean) * factor
        return scale * factor * _centre(dy, unit), tf.reduce_sum(dy * unit)
    scales = tf.fill([x.shape[-1]], tf.cast(scale, tf.float32))
    outputs, dscales = [], []
    for item, upstream, (first, second, _) in zip(_items(_wide(x)), _items(_wide(dy)), _each(statistics)):
        dx, dscale = _fused_gradient(upstream, item, scales, first, second, epsilon)
        outputs.append(dx)
        dscales.append(tf.reduce_sum(dscale))
    return _whole(outputs, x), tf.cast(tf.add_n(dscales), x.dtype)


def gradient_from_output(dy: tf.Tensor, y: tf.Tensor, statistics: tf.Tensor, epsilon: float) -> tf.Tensor:
    """Gradient of `normalize` with scale 1 with respect to x, from its output y: x needn't be kept beside it."""
    if y.dtype not in _FUSED:
        return _along(statistics, y)[2] * _centre(dy, y)
    mean, spread = tf.zeros((y.shape[-1],)), tf.fill([y.shape[-1]], 1 - epsilon)  # y's own, whose spread is 1
    items = zip(_items(_wide(y)), _items(_wide(dy)), _each(statistics))
    return _whole([_fused_gradient(upstream, item, factor, mean, spread, epsilon)[0] for item, upstream, (_, _, factor) in items], y)


def _fused(x, scale, offset, epsilon):
    """The kernel for one item; `scale` and `offset` [channels]."""
    none = tf.zeros((0,))
    return tf.raw_ops.FusedBatchNormV3(x=x, scale=scale, offset=offset, mean=none, variance=none, epsilon=epsilon, is_training=True)


def _fused_gradient(dy, x, scale, first, second, epsilon) -> tuple[tf.Tensor, tf.Tensor]:
    """Gradients with respect to x and scale [channels] for one item."""
    dx, dscale, *_ = tf.raw_ops.FusedBatchNormGradV3(
        y_backprop=dy,
        x=x,
        scale=scale,
        reserve_space_1=first,
        reserve_space_2=second,
        reserve_space_3=tf.zeros((0,)),
        epsilon=epsilon,
        is_training=True,
    )
    return dx, dscale


def _centre(dy: tf.Tensor, unit: tf.Tensor) -> tf.Tensor:
    """dy without its mean and without its part along the normalised values."""
    axes = list(range(1, dy.shape.rank - 1))
    return dy - tf.reduce_mean(dy, axes, keepdims=True) - unit * tf.reduce_mean(dy * unit, axes, keepdims=True)


def _along(statistics: tf.Tensor, x: tf.Tensor) -> list[tf.Tensor]:
    """Each of the statistics [batch, 1, ..., channels]."""
    return [tf.reshape(v, (-1, *[1] * (x.shape.rank - 2), x.shape[-1])) for v in tf.unstack(statistics)]


def _items(x: tf.Tensor) -> list[tf.Tensor]:
    """Each item as [1, 1, voxels, channels]."""
    items = tf.split(x, x.shape[0]) if x.shape[0] != 1 else [x]
    return [tf.reshape(item, (1, 1, -1, x.shape[-1])) for item in items]


def _each(statistics: tf.Tensor) -> list[list[tf.Tensor]]:
    """Each item's statistics."""
    return [tf.unstack(item) for item in tf.unstack(statistics, axis=1)]


def _whole(items: list[tf.Tensor], like: tf.Tensor) -> tf.Tensor:
    y = tf.concat(items, axis=0) if len(items) > 1 else items[0]
    return tf.cast(tf.reshape(y, tf.shape(like)), like.dtype)


def _wide(x: tf.Tensor) -> tf.Tensor:
    """In float32 where the CPU's kernel for short types would be many times slower: channels no multiple of 16."""
    return tf.cast(x, tf.float32) if x.dtype != tf.float32 and x.shape[-1] % 16 and on_cpu() else x
