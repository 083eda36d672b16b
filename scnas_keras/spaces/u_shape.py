"""U-shaped spaces of cells with two inputs, as SCNAS has them (SCNAS, Figure 1 and footnote 1)."""

from collections.abc import Sequence

from scnas_keras.errors import ConfigError
from scnas_keras.spaces.description import Cell, CellEdge, Head, Input, Place, Table
from scnas_keras.spaces.space import SearchSpace

ENCODER, REDUCTION, DECODER, EXPANSION = "encoder_normal", "reduction", "decoder_normal", "expansion"
_MIRRORED = {REDUCTION: EXPANSION, ENCODER: DECODER}
_INPUTS = 2


def u_shaped(name: str, rank: int, operations: Sequence[str], nodes: int, layout: Sequence[str]) -> SearchSpace:
    """A U of the four kinds of cells, each with a table of its own.

    A cell reads the outputs of the last two cells; every node reads both inputs and all nodes before it. Reduction cells halve by their
    edges; expansion cells read what was doubled. A decoder cell's previous input is summed with the output that mirrors it in the
    encoder: with the layout R E R E R E X D X D X D the partners are R3 E2 R2 E1 R1 and the stem, so that every encoder output is used
    once.

    Args:
        name: the space's.
        rank: spatial axes, 2 or 3.
        operations: candidates of every edge.
        nodes: intermediate nodes a cell, all of them concatenated.
        layout: kinds in order, a symmetric U.

    Raises:
        ConfigError: no symmetric U, or unknown operations.
    """
    half = len(layout) // 2
    if not half or len(layout) % 2 or tuple(layout[half:]) != tuple(_MIRRORED.get(kind) for kind in layout[:half]):
        raise ConfigError(
            f"Search space {name!r}: the layout must be cells of the kinds {list(_MIRRORED)}, then as many of the kinds "
            f"{list(_MIRRORED.values())} in the same order; found {list(layout)}."
        )
    if nodes < 1:
        raise ConfigError(f"Search space {name!r}: needs a node a cell.")
    kinds = tuple(dict.fromkeys(layout))
    pairs = [(i, j) for j in range(_INPUTS, _INPUTS + nodes) for i in range(j)]
    cells = tuple(
        Cell(kind, _INPUTS, tuple(CellEdge(i, j, kind, row) for row, (i, j) in enumerate(pairs)), tuple(range(_INPUTS, _INPUTS + nodes)))
        for kind in kinds
    )
    tables = tuple(Table(kind, tuple(operations), len(pairs)) for kind in kinds)
    levels, places = [0], []
    for i, kind in enumerate(layout, start=1):
        node = levels[-1] - 1 if kind == EXPANSION else levels[-1]
        previous = (i - 1, 2 * half - i) if i > half else (i - 1,)
        levels.append(node + (kind == REDUCTION))
        level = node if kind == REDUCTION else None
        places.append(Place(kind, (Input((max(i - 2, 0),), level=level), Input(previous, level=level)), levels[-1]))
    coarser = {place.level: number for number, place in enumerate(places, start=1) if number > half}
    auxiliary = tuple(coarser[level] for level in sorted(coarser) if level > 0)[:-1]
    widths = tuple(2**level for level in range(max(levels) + 1))
    return SearchSpace(name, rank, tables, cells, tuple(places), Head((len(layout),), auxiliary=auxiliary), widths=widths)
