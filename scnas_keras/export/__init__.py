"""scnas export --model=RUN --output=DIR

Writes a model as a SavedModel for TensorFlow pipelines and TF Serving. Its endpoint `serve` takes `image`, float32
[batch, x, y, z, channels] of any spatial size, preprocessed, and gives probabilities [batch, x, y, z, classes]. model.json there tells
how scans are prepared. It loads without this package:

    served = tf.saved_model.load(DIR)
    dataset.map(served.serve)
"""

import pathlib
import shlex

from scnas_keras.export.config import ExportConfig


def export(config: ExportConfig) -> pathlib.Path:
    """See `scnas_keras.export.runner.run_export`, which this calls."""
    from scnas_keras.export.runner import run_export

    return run_export(config)


def main(config: ExportConfig) -> str:
    folder = export(config)
    print(folder)
    return shlex.join(["python", "-c", f"import tensorflow as tf; print(tf.saved_model.load({str(folder)!r}).signatures)"])
