"""SavedModel for TensorFlow pipelines and TF Serving."""

import os

import keras
import tensorflow as tf

from scnas_keras.networks.divisors import divisors


def export_saved_model(model: keras.Model, path: str | os.PathLike) -> None:
    """Writes a SavedModel that gives probabilities for patches of any size.

    Endpoints `serve` and `serving_default`: float32 `image` [batch, *space, channels], preprocessed, to probabilities
    [batch, *space, classes]. Sizes that the network can't halve often enough are padded with zeros (the mean
    intensity) and cut again. It loads without this package.

    Args:
        model: [batch, *space, channels] to logits.
        path: folder to write.
    """
    rank, divisor = len(model.input_shape) - 2, tf.constant(divisors(model))
    signature = tf.TensorSpec((None, *[None] * rank, model.input_shape[-1]), tf.float32, name="image")

    def serve(image):
        size = tf.shape(image)[1:-1]
        missing = -size % divisor
        before = missing // 2
        padding = tf.concat([[[0, 0]], tf.stack([before, missing - before], axis=1), [[0, 0]]], axis=0)
        logits = model(tf.pad(image, padding), training=False)
        begin = tf.concat([[0], before, [0]], axis=0)
        inside = tf.slice(logits, begin, tf.concat([[-1], size, [-1]], axis=0))
        return tf.ensure_shape(tf.nn.softmax(inside), (None, *[None] * rank, model.output_shape[-1]))

    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("serve", serve, input_signature=[signature])
    archive.write_out(str(path), verbose=False)
