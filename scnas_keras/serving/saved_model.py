"""SavedModel: for TensorFlow pipelines and TF Serving."""

import pathlib

import keras
import tensorflow as tf

from scnas_keras.inference.companion import Companion
from scnas_keras.networks.divisors import divisors
from scnas_keras.serving.whole_scan import WholeScan


def write(network: keras.Model, companion: Companion | None, folder: pathlib.Path) -> None:
    """Writes a SavedModel, which loads without this package.

    Its signature `serve`, which is `serving_default` too, takes patches of any size: float32 `image` [batch, *space, channels],
    prepared, to `probabilities` [batch, *space, classes]. Sizes that the network can't halve often enough are padded with zeros (the mean
    intensity) and cut again. Where it is known how scans are prepared, there are those of `whole_scan.WholeScan` too.

    Args:
        network: [batch, *space, channels] to logits.
        companion: how scans are prepared; None if that isn't known.
        folder: to write to.
    """
    archive = keras.export.ExportArchive()
    spec = tf.TensorSpec((None, *[None] * (len(network.input_shape) - 2), network.input_shape[-1]), tf.float32, name="image")
    archive.add_endpoint("serve", _of_patches(network), input_signature=[spec])
    if companion:
        whole = WholeScan(network, companion)
        for function in (whole.segment, whole.segment_probabilities):
            archive.add_endpoint(function.__name__, function, input_signature=whole.signature)
    archive.write_out(str(folder), verbose=False)


def _of_patches(network: keras.Model):
    rank, divisor = len(network.input_shape) - 2, tf.constant(divisors(network))

    def serve(image: tf.Tensor) -> dict[str, tf.Tensor]:
        size = tf.shape(image)[1:-1]
        missing = -size % divisor
        before = missing // 2
        padding = tf.concat([[[0, 0]], tf.stack([before, missing - before], axis=1), [[0, 0]]], axis=0)
        logits = network(tf.pad(image, padding), training=False)
        begin = tf.concat([[0], before, [0]], axis=0)
        inside = tf.slice(logits, begin, tf.concat([[-1], size, [-1]], axis=0))
        return {"probabilities": tf.ensure_shape(tf.nn.softmax(inside), (None, *[None] * rank, network.output_shape[-1]))}

    return serve
