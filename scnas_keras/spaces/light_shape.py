"""Networks of one small cell, shared by all places (Auto-LW-MISN, Figures 1, 2 and 6): a U, and the chain that it is compared with.

Zhang, Zhong, Mao, "Neural Architecture Search for Light-weight Medical Image Segmentation Network", Computer Science 49(10), 2022. What
the paper leaves open, and how it is read here: a stem of a 3-wide convolution also before the U. As many channels at every level, for which
its parameters and multiply-adds stand in the ratio that it prints, and with twice as many a level don't. A source two levels away is
halved by one max pool of four, or doubled by one transposed convolution of four, per axis.
"""

from collections.abc import Sequence

from scnas_keras.spaces.description import MAX_POOL, STRONGEST_TWO, TRANSPOSED, Cell, CellEdge, Head, Input, Place, Table
from scnas_keras.spaces.space import SearchSpace

OPERATIONS = (
    "identity",
    "dilated_conv_3_rate_2",
    "separable_conv_3",
    "ghost_conv",
    "selective_kernel_conv_3",
    "shuffled_group_conv_3",
    "max_pool_3",
    "zero",
)
"""Table 1."""
DARTS_OPERATIONS = (
    "identity",
    "separable_conv_3",
    "separable_conv_5",
    "dilated_conv_3_rate_2",
    "dilated_conv_5_rate_2",
    "max_pool_3",
    "average_pool_3",
    "zero",
)
"""Liu et al., DARTS, ICLR 2019, arXiv 1806.09055; the right half of Table 1, whose separable ones stand under each other's names."""
_INPUTS = 2
_BRIDGES = {"halve": MAX_POOL, "double": TRANSPOSED}


def light_u(name: str, rank: int, levels: int, middle: int, operations: Sequence[str] = OPERATIONS, nodes: int = 4) -> SearchSpace:
    """A U of cells: some encoder cells with a max pool after each, some in the middle, and as many decoder cells as encoder ones.

    Every cell reads the outputs of the two cells before it, the first one the stem twice; a decoder cell also the encoder's at its level,
    concatenated to the last one.

    Args:
        name: the space's.
        rank: spatial axes, 2 or 3.
        levels: encoder cells, each at half the resolution of that before it.
        middle: cells at the coarsest resolution.
        operations: candidates of every edge.
        nodes: intermediate nodes of a cell, all of them concatenated.
    """
    at = [*range(levels), *[levels] * middle, *reversed(range(levels))]
    places = []
    for number, level in enumerate(at, start=1):
        skip = (len(at) + 1 - number,) if number > levels + middle else ()
        inputs = Input((max(number - 2, 0),), **_BRIDGES), Input((number - 1, *skip), join="concat", **_BRIDGES)
        places.append(Place("shared", inputs, level))
    decoder = {place.level: number for number, place in enumerate(places, start=1) if number > levels + middle}
    head = Head((len(places),), auxiliary=tuple(decoder[level] for level in range(1, levels)))
    return _of_kinds(name, rank, ("shared",), operations, nodes, places, head)


def light_chain(name: str, rank: int, cells: int, operations: Sequence[str] = OPERATIONS, nodes: int = 4) -> SearchSpace:
    """A chain of cells, of which those at a third and at two thirds halve the resolution; what the last one gives is scaled up (Figure 6).

    Args:
        name: the space's.
        rank: spatial axes, 2 or 3.
        cells: how many.
        operations, nodes: see `light_u`.
    """
    halving = {cells // 3, 2 * cells // 3}
    places, level = [], 0
    for number in range(1, cells + 1):
        reduces = number - 1 in halving
        node = level if reduces else None
        level += reduces
        inputs = Input((max(number - 2, 0),), level=node, **_BRIDGES), Input((number - 1,), level=node, **_BRIDGES)
        places.append(Place("reduction" if reduces else "normal", inputs, level))
    return _of_kinds(name, rank, ("normal", "reduction"), operations, nodes, places, Head((cells,)))


def _of_kinds(
    name: str, rank: int, kinds: Sequence[str], operations: Sequence[str], nodes: int, places: Sequence[Place], head: Head
) -> SearchSpace:
    """A space whose kinds of cells are alike, each with a table of its own, and as wide at every level."""
    inner = tuple(range(_INPUTS, _INPUTS + nodes))
    pairs = [(source, node) for node in inner for source in range(node)]
    tables = tuple(Table(kind, tuple(operations), len(pairs)) for kind in kinds)
    cells = tuple(Cell(kind, _INPUTS, tuple(CellEdge(*pair, kind, row) for row, pair in enumerate(pairs)), inner) for kind in kinds)
    widths = (1,) * (1 + max(place.level for place in places))
    return SearchSpace(name, rank, tables, cells, tuple(places), head, widths=widths, derivation=STRONGEST_TWO)
