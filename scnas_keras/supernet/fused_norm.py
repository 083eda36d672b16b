"""Instance normalisation by TensorFlow's fused kernel."""

import tensorflow as tf
from keras import layers

from scnas_keras.networks.operations import InstanceNorm


def fuse(layer: layers.Layer) -> layers.Layer:
    """Lets a layer of `networks`, not yet built, normalise through the fused kernel if its type has one; returns it."""
    if isinstance(getattr(layer, "norm", None), InstanceNorm) and layer.compute_dtype == "float32":
        layer.norm = FusedInstanceNorm(layer.norm.epsilon, dtype=layer.dtype_policy)
    return layer


class FusedInstanceNorm(layers.Layer):
    """`InstanceNorm` without an affine part, two to three times as fast on CPUs.

    Batch normalisation in training mode over one item is instance normalisation, and TensorFlow has a fused kernel
    for it and for its gradient. Items of a larger batch are normalised one by one.
    """

    def __init__(self, epsilon: float, **kwargs):
        super().__init__(**kwargs)
        self._epsilon = epsilon

    def call(self, x):
        items = [self._normalize(item) for item in tf.split(x, x.shape[0])] if x.shape[0] != 1 else [self._normalize(x)]
        return tf.concat(items, axis=0) if len(items) > 1 else items[0]

    def _normalize(self, item):
        channels, shape = item.shape[-1], tf.shape(item)
        flat = tf.reshape(item, (1, 1, -1, channels))
        ones, zeros = tf.ones((channels,)), tf.zeros((channels,))
        flat, _, _ = tf.compat.v1.nn.fused_batch_norm(flat, ones, zeros, epsilon=self._epsilon, is_training=True)
        return tf.reshape(flat, shape)
