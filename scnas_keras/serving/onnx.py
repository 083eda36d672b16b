"""ONNX: for onnxruntime and what else reads it. Prepared patches in, probabilities out."""

import pathlib

import keras

from scnas_keras.inference.companion import Companion
from scnas_keras.serving.names import FORMATS
from scnas_keras.serving.patches import converted, with_softmax


def write(network: keras.Model, companion: Companion | None, folder: pathlib.Path) -> None:
    """Writes model.onnx: float32 `image` [batch, *space, channels], prepared, to `probabilities`; all but channels may vary.

    Sizes must be multiples of `divisors.divisors`.
    """
    import onnx

    path = folder / FORMATS["onnx"].file
    with converted():
        with_softmax(network).export(path, format="onnx", verbose=False)
    model = onnx.load(path)
    _rename(model.graph, model.graph.input[0].name, "image")
    _rename(model.graph, model.graph.output[0].name, "probabilities")
    onnx.checker.check_model(model)
    onnx.save(model, path)


def _rename(graph, old: str, new: str) -> None:
    """Gives a value of a graph another name."""
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [new if name == old else name for name in names]
    for value in (*graph.input, *graph.output):
        value.name = new if value.name == old else value.name
