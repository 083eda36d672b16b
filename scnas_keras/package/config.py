"""The options of `scnas_keras.package`."""

import dataclasses

from scnas_keras.options import option


@dataclasses.dataclass(frozen=True)
class PackageConfig:
    """Which network is packed, and what its card says."""

    model: str | None = option(None, "The folder of a trained network, as retrain and select leave it.", "Package", path=True)
    output: str | None = option(None, "The file to write, FILE.zip.", "Package", path=True)
    cases: bool = option(False, "Also put in the table of the scans that judged it, with their names.", "Package")
    intended_use: str | None = option(None, "For the card: what it is for, and what not.", "Card")
    authors: str | None = option(None, "For the card: who made it.", "Card")
    license: str | None = option(None, "For the card: under which licence others may use it.", "Card")
