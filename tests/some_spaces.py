"""Search spaces that several test files use."""

import numpy as np

from scnas_keras.spaces.catalog.scnas import OPERATIONS as OPERATIONS
from scnas_keras.spaces.description import STRONGEST_TWO, Cell, CellEdge, Head, Input, Place, Table
from scnas_keras.spaces.genotype import Edge, Genotype
from scnas_keras.spaces.known import find_space
from scnas_keras.spaces.space import SearchSpace
from scnas_keras.spaces.u_shape import DECODER, ENCODER, EXPANSION, REDUCTION, u_shaped

U = (REDUCTION, ENCODER, EXPANSION, DECODER)
SCNAS = find_space("scnas", 3)
SMALL = u_shaped("small", 3, OPERATIONS, 2, U)
TINY = u_shaped("tiny", 3, ("conv_3", "max_pool_3", "identity", "zero"), 1, U)
"""Four operations and one node, for tests in which the space isn't the point."""
LEVEL = u_shaped("level", 3, TINY.operations, 1, (ENCODER, DECODER))
"""Two cells at full resolution, where the network isn't the point either: the fastest to trace."""
DENSE = u_shaped("dense", 3, OPERATIONS, 3, (ENCODER, DECODER))
"""The same with nodes that have two to four inputs, and are read as often."""
MANY = u_shaped("many", 3, TINY.operations, 3, (ENCODER, DECODER))
"""`DENSE` of four operations."""
FLAT = u_shaped("flat", 2, OPERATIONS, 2, U)
PATHS = SearchSpace(
    "paths",
    2,
    (Table("edges", ("conv_3", "max_pool_3", "identity"), 9), Table("paths", ("previous", "other"), 1, paths=True)),
    (
        Cell(
            "only",
            2,
            tuple(CellEdge(i, j, "edges", row) for row, (i, j) in enumerate((i, j) for j in (2, 3, 4) for i in range(j))),
            (2, 3, 4),
        ),
    ),
    (
        Place("only", (Input((0,)), Input((0,))), 0),
        Place("only", (Input((0,)), Input((1,))), 0),
        Place("only", (Input((0,)), Input((1, 2), "weighted", ("paths", 0))), 0),
    ),
    Head((3,)),
    widths=(1,),
    derivation=STRONGEST_TWO,
)
"""No zero, two edges a node, and a third cell that reads the first or the second; it can be described, not built yet."""


def kinds(space):
    return tuple(cell.name for cell in space.cells)


def pairs(space, kind=None):
    """Source and target of every edge of a kind of cell, by default of the first."""
    cell = space.cells[0] if kind is None else space.cell(kind)
    return tuple((edge.source, edge.target) for edge in cell.edges)


def num_edges(space):
    """Of all kinds of cells, each kind once."""
    return sum(len(cell.edges) for cell in space.cells)


def alpha_shape(space):
    """[kinds, edges, operations], for spaces whose kinds have a table each, all of one shape."""
    return len(space.tables), space.tables[0].rows, len(space.tables[0].candidates)


def tables(space, array):
    """Table -> [rows, candidates], from [kinds, edges, operations]."""
    return {table.name: np.asarray(own) for table, own in zip(space.tables, array, strict=True)}


def genotype_of(space, choose, probability=0.5, notes=()):
    """The genotype whose edges have the operations that `choose(kind, source, target)` names, or None for an absent edge."""
    cells = {kind: tuple(Edge(i, j, choose(kind, i, j), probability) for i, j in pairs(space, kind)) for kind in kinds(space)}
    return Genotype(space, cells, notes)


def uniform_genotype(operation="conv_3", space=SCNAS):
    """One operation on all edges."""
    return genotype_of(space, lambda *_: operation, notes=("a note",))


def dense_genotype():
    """All edges of `DENSE`, with operations that take turns."""
    names = [name for name in DENSE.operations if name != "zero"]
    return genotype_of(DENSE, lambda kind, i, j: names[(2 * i + j) % len(names)])


def sparse_genotype(seed, space=SCNAS):
    """Any operation on any edge, about half of them absent, but no node without input."""
    rng = np.random.default_rng(seed)
    names = [name for name in space.operations if name != "zero"]
    return genotype_of(space, lambda kind, i, j: str(rng.choice(names)) if i == j - 1 or rng.random() < 0.5 else None)
