"""The options of `scnas_keras.export`."""

import dataclasses

from scnas_keras.options import option


@dataclasses.dataclass(frozen=True)
class ExportConfig:
    """Which network is exported, and where to."""

    model: str | None = option(None, "The folder of a trained network, or its .keras file.", "Export", path=True)
    output: str | None = option(None, "The folder to write; absent or empty.", "Export", path=True)
