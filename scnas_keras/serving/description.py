"""What an exported network takes and gives, as a document beside it."""

from typing import Any

import keras

from scnas_keras.inference.companion import Companion
from scnas_keras.networks.divisors import divisors
from scnas_keras.serving.names import FORMATS

_AXES = "xyz"


def describe(network: keras.Model, companion: Companion | None, kind: str) -> dict[str, Any]:
    """Functions with what they take and give, classes and channels."""
    channels, classes = network.input_shape[-1], network.output_shape[-1]
    space = [*_AXES][: len(network.input_shape) - 2]
    serve = {
        "takes": {
            "image": f"float32 [batch, {', '.join(space)}, {channels}], prepared as {'model.json says' if companion else 'in training'}"
        },
        "gives": {FORMATS[kind].output: f"float32 [batch, {', '.join(space)}, {classes}], probabilities"},
        "sizes": "any" if FORMATS[kind].whole_scans else f"multiples of {list(divisors(network))}",
    }
    functions = {"serve": serve}
    if companion and FORMATS[kind].whole_scans:
        scan = {
            "image": f"float32 [x, y, z, {channels}], intensities of the scan as stored, axes to the right, to the front, upwards (RAS+)",
            "spacing": "float32 [3], mm along x, y, z",
        }
        functions["segment"] = {"takes": scan, "gives": {"segmentation": "uint8 [x, y, z]"}}
        functions["segment_probabilities"] = {"takes": scan, "gives": {"probabilities": f"float32 [x, y, z, {classes}]"}}
    known = {} if companion is None else {"channels": [one.channel for one in companion.plan.channels], "classes": companion.plan.labels}
    return {"functions": functions, **known}
