"""The figure of an architecture."""

import pathlib

from scnas_keras.draw.config import DrawConfig
from scnas_keras.errors import ConfigError
from scnas_keras.files import user_path


def run_drawing(config: DrawConfig) -> pathlib.Path:
    """Draws the genotype; returns the file.

    Raises:
        ConfigError: a flag is missing, or the output's ending isn't that of a picture.
        GenotypeError: the genotype can't be read.
    """
    if not config.genotype or not config.output:
        raise ConfigError("Name the architecture with --genotype=FILE and the figure with --output=FILE.")
    from scnas_keras.reporting.genotype_figure import draw_genotype
    from scnas_keras.spaces.genotype import Genotype

    output = user_path(config.output)
    draw_genotype(Genotype.load(config.genotype), output)
    return output
