"""Zhang et al. 2022 (Auto-LW-MISN): a U of 3 + 3 + 3 cells, as for livers, all of one kind, with eight light operations."""

from scnas_keras.spaces.light_shape import light_u
from scnas_keras.spaces.space import SearchSpace

RANKS = (2, 3)


def build(rank: int) -> SearchSpace:
    """The paper's space for two spatial axes, and the same for three."""
    return light_u("light_9", rank, levels=3, middle=3)
