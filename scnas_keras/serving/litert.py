"""LiteRT, formerly TensorFlow Lite: for small devices. One patch in, probabilities out."""

import pathlib

import keras

from scnas_keras.inference.companion import Companion
from scnas_keras.serving.names import FORMATS
from scnas_keras.serving.patches import converted, with_softmax


def write(network: keras.Model, companion: Companion | None, folder: pathlib.Path) -> None:
    """Writes model.tflite: float32 [1, *space, channels], prepared, to probabilities; its input may be resized.

    Sizes must be multiples of `divisors.divisors`.
    """
    with converted():
        with_softmax(network).export(str(folder / FORMATS["litert"].file), format="litert", verbose=False)
