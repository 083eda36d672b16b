"""scnas export --model=RUN --output=DIR
scnas export --model=RUN --output=DIR --format=onnx

Writes a trained network in a form that needs none of this package: SavedModel, ONNX or LiteRT. The SavedModel, for TensorFlow pipelines and
TF Serving, takes whole scans, and prepares them itself:

    served = tf.saved_model.load(DIR)
    served.segment({"image": ..., "spacing": ...})["segmentation"]

It is compared with the network in another process before it appears. docs/serving.md has the rest.
"""

import pathlib

from scnas_keras.export.config import ExportConfig


def export(config: ExportConfig) -> pathlib.Path:
    """See `scnas_keras.export.runner.run_export`, which this calls."""
    from scnas_keras.export.runner import run_export

    return run_export(config)


def main(config: ExportConfig) -> None:
    print(export(config))
