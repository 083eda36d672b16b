"""The parts of a search space, as they are written down: tables of architecture parameters, cells, and how cells stand in a network."""

import dataclasses

ARGMAX, STRONGEST_TWO = DERIVATIONS = ("argmax", "strongest_two")
"""How a network follows from alpha; `spaces.derive` has a function for each."""

POINTWISE, FACTORIZED, MAX_POOL = HALVINGS = ("pointwise", "factorized", "max_pool")
NEAREST, LINEAR, TRANSPOSED = DOUBLINGS = ("nearest", "linear", "transposed")
"""How a source is brought to a node of another resolution; see `Input`."""


@dataclasses.dataclass(frozen=True)
class Table:
    """Architecture parameters alpha of some edges.

    Attributes:
        name: unique.
        candidates: what each row chooses among: operations, or with `paths` the sources of a weighted sum.
        rows: how many edges, or weighted sums, have parameters of their own.
        paths: whether rows weigh the sources of an input instead of the operations of an edge.
    """

    name: str
    candidates: tuple[str, ...]
    rows: int
    paths: bool = False


@dataclasses.dataclass(frozen=True)
class CellEdge:
    """An edge of a cell, from node `source` to node `target`, and the row of a table that chooses its operation."""

    source: int
    target: int
    table: str
    row: int


@dataclasses.dataclass(frozen=True)
class Cell:
    """A graph of nodes, of a kind that may stand at several places.

    Nodes 0 to `inputs` - 1 are what the cell reads; each node after them is the sum of the edges into it.

    Attributes:
        name: of the kind.
        inputs: how many nodes are inputs.
        edges: in the order of their targets.
        output: nodes whose concatenation is the cell's output.
    """

    name: str
    inputs: int
    edges: tuple[CellEdge, ...]
    output: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Input:
    """What a cell reads at one of its inputs.

    Outputs are counted: the stems first, then the places.

    Attributes:
        sources: outputs of stems and of places before this one, once each.
        join: "sum", "concat", or "weighted": a sum weighted by a row of a table of paths. Sources of several levels are each brought to
            the node by a convolution of their own and added, which of a concatenation is one convolution of all, in parts.
        weights: table and row of a weighted sum.
        level: of the node; by default that of the place. Where it is another, the edges that read the node halve or double.
        halve: how a finer source is brought to the node: "pointwise" (every second voxel, before the pointwise convolution that every
            input has), "factorized" or "max_pool" (before it). Over two levels every fourth voxel, or the highest of four along an axis.
        double: how a coarser one is: "nearest" (after it), "linear" or "transposed": that convolution is a transposed one, whose kernel is
            as wide as its stride.
    """

    sources: tuple[int, ...]
    join: str = "sum"
    weights: tuple[str, int] | None = None
    level: int | None = None
    halve: str = "pointwise"
    double: str = "nearest"


@dataclasses.dataclass(frozen=True)
class Place:
    """A cell in the network.

    Attributes:
        cell: name of the kind.
        inputs: one for each of the cell's.
        level: its output has the resolution of the image divided by 2 ** level on every axis.
        width: channels of its output as a multiple of the network's width; by default, the space's at this level.
    """

    cell: str
    inputs: tuple[Input, ...]
    level: int
    width: int | None = None


@dataclasses.dataclass(frozen=True)
class Stem:
    """A first convolution of the image.

    Attributes:
        level: its output has the resolution of the image divided by 2 ** level.
        width: its channels as a multiple of the network's width.
    """

    level: int = 0
    width: int = 1


@dataclasses.dataclass(frozen=True)
class Head:
    """What the class scores are computed from.

    Attributes:
        sources: outputs that it reads.
        join: of several: "sum" or "concat".
        double: how coarser ones are brought to full resolution: "nearest" or "linear".
        auxiliary: outputs at coarser levels that deep supervision reads too, finest first.
    """

    sources: tuple[int, ...]
    join: str = "concat"
    double: str = "linear"
    auxiliary: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True)
class Description:
    """All of a space as it is written down; `space.SearchSpace` is one whose parts fit each other.

    Attributes:
        name: the space's.
        rank: spatial axes of the images, 2 or 3.
        tables: of architecture parameters.
        cells: the kinds of cells.
        places: cells in the order in which they are computed.
        head: what the class scores are computed from.
        stems: first convolutions.
        widths: channels of an output by level, as multiples of the network's width.
        derivation: how a network follows from alpha, one of `DERIVATIONS`.
    """

    name: str
    rank: int
    tables: tuple[Table, ...]
    cells: tuple[Cell, ...]
    places: tuple[Place, ...]
    head: Head
    stems: tuple[Stem, ...] = (Stem(),)
    widths: tuple[int, ...] = (1, 2, 4, 8)
    derivation: str = ARGMAX

    def table(self, name: str) -> Table:
        return next(table for table in self.tables if table.name == name)

    def cell(self, name: str) -> Cell:
        return next(cell for cell in self.cells if cell.name == name)
