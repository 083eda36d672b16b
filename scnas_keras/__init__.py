"""Neural architecture search for medical image segmentation in Keras (SCNAS, arXiv 1906.05956)."""

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

    from scnas_keras.inference.predictor import Predictor as Predictor

__version__ = "0.1.0"


def load_model(path: str | os.PathLike) -> "keras.Model":
    """The network in a .keras file; see `scnas_keras.inference.keras_file.load_network`, which this calls: Keras is imported only now."""
    from scnas_keras.inference.keras_file import load_network

    return load_network(path)


def __getattr__(name: str) -> Any:
    """`Predictor`, which needs Keras."""
    if name != "Predictor":
        raise AttributeError(f"module 'scnas_keras' has no attribute {name!r}")
    from scnas_keras.inference.predictor import Predictor

    return Predictor
