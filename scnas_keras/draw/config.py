"""The options of `scnas_keras.draw`."""

import dataclasses

from scnas_keras.options import option


@dataclasses.dataclass(frozen=True)
class DrawConfig:
    """Which architecture is drawn, and where."""

    genotype: str | None = option(None, "The architecture: a genotype.json, or the folder of a search.", "Drawing", path=True)
    output: str | None = option(None, "The figure to write, .svg or .png.", "Drawing", path=True)
