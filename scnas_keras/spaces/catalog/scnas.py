"""Kim et al. 2019: 12 cells with 4 intermediate nodes, eight operations; the sixth cell is the inter-cell."""

from scnas_keras.spaces.space import SearchSpace
from scnas_keras.spaces.u_shape import DECODER, ENCODER, EXPANSION, REDUCTION, u_shaped

RANKS = (2, 3)
OPERATIONS = (
    "conv_3",
    "dilated_conv_3_rate_2",
    "dilated_conv_3_rate_3",
    "dilated_conv_3_rate_4",
    "max_pool_3",
    "average_pool_3",
    "identity",
    "zero",
)
"""Section 3, implementation details."""


def build(rank: int) -> SearchSpace:
    """The paper's space for three spatial axes, and the same for two."""
    return u_shaped("scnas", rank, OPERATIONS, 4, (REDUCTION, ENCODER) * 3 + (EXPANSION, DECODER) * 3)
