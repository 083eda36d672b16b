"""Zhang et al. 2022, section 3.6: a chain of 7 cells, two of which halve, with the operations of `light`; what its U is compared with."""

from scnas_keras.spaces import light_shape
from scnas_keras.spaces.space import SearchSpace

RANKS = (2, 3)


def build(rank: int) -> SearchSpace:
    """The paper's chain for two spatial axes, and the same for three."""
    return light_shape.light_chain("light_chain", rank, cells=7)
