"""The eight operations of DARTS in a chain of 7 cells, two of which halve, as DARTS stacks its cells."""

from scnas_keras.spaces import light_shape
from scnas_keras.spaces.space import SearchSpace

RANKS = (2, 3)


def build(rank: int) -> SearchSpace:
    """The space for two or three spatial axes."""
    return light_shape.light_chain("darts_chain", rank, cells=7, operations=light_shape.DARTS_OPERATIONS)
