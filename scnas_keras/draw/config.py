"""The options of `scnas_keras.draw`."""

import dataclasses

from scnas_keras.options import option
from scnas_keras.spaces.published import PUBLISHED_NAMES


@dataclasses.dataclass(frozen=True)
class DrawConfig:
    """Which architecture is drawn, and where."""

    genotype: str | None = option(
        None,
        f"The architecture: a genotype.json, the folder of a search, or {' or '.join(PUBLISHED_NAMES)}.",
        "Drawing",
        path=True,
        words=PUBLISHED_NAMES,
    )
    output: str | None = option(None, "The figure to write, .svg or .png.", "Drawing", path=True)
