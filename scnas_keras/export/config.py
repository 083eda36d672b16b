"""The options of `scnas_keras.export`."""

import dataclasses

from scnas_keras.options import option
from scnas_keras.serving.names import FORMATS


@dataclasses.dataclass(frozen=True)
class ExportConfig:
    """Which network is exported, what to and where."""

    model: str | None = option(None, "The folder of a trained network, its .keras file, or a package of it.", "Export", path=True)
    output: str | None = option(None, "The folder to write; absent or empty.", "Export", path=True)
    format: str = option("saved_model", "What it is for: TensorFlow, onnxruntime, or LiteRT on small devices.", "Export", tuple(FORMATS))
