"""scnas draw --genotype=RUN --output=cells.svg

Draws the cells of a genotype: one graph for each cell kind.
"""

import pathlib

from scnas_keras.draw.config import DrawConfig


def draw(config: DrawConfig) -> pathlib.Path:
    """See `scnas_keras.draw.runner.run_drawing`, which this calls."""
    from scnas_keras.draw.runner import run_drawing

    return run_drawing(config)


def main(config: DrawConfig) -> None:
    print(draw(config))
