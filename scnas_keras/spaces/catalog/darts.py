"""The eight operations of DARTS in the U of `light` (2 + 3 + 2 cells): "DARTS_Based" of Zhang et al. 2022."""

from scnas_keras.spaces.light_shape import DARTS_OPERATIONS, light_u
from scnas_keras.spaces.space import SearchSpace

RANKS = (2, 3)


def build(rank: int) -> SearchSpace:
    """The space for two or three spatial axes."""
    return light_u("darts", rank, levels=2, middle=3, operations=DARTS_OPERATIONS)
