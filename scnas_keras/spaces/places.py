"""What follows from a space's description for each of its places: levels, widths, and the role of every edge."""

import dataclasses

from scnas_keras.operations.facts import DOUBLING, HALVING, ORDINARY
from scnas_keras.spaces.description import TRANSPOSED, Description, Input


@dataclasses.dataclass(frozen=True)
class Alignment:
    """What brings sources of one level to the resolution and width of a node (`networks.parts.Align`).

    Attributes:
        sources: outputs that it reads, joined; see `description.Input`.
        level: of these.
        width: channels that it reads, as a multiple of the network's width.
        shift: by how many levels the sources are coarser than the node: -1 is halved, 1 doubled.
        bridge: how, where they are: the input's `halve` or `double`; else "".
    """

    sources: tuple[int, ...]
    level: int
    width: int
    shift: int
    bridge: str


def taps(bridge: str, shift: int, rank: int) -> int:
    """Weights of an alignment's kernel for each pair of channels: those of the voxels that a transposed convolution makes of one."""
    return 2 ** (rank * shift) if bridge == TRANSPOSED else 1


@dataclasses.dataclass(frozen=True)
class PlacedInput:
    """An input of a cell where it stands.

    Attributes:
        sources, join, weights: see `description.Input`.
        source_levels: of each source.
        source_widths: channels of each source, as multiples of the network's width.
        level: of the node, before its edges run.
        halve, double: how sources are brought to `level`.
    """

    sources: tuple[int, ...]
    join: str
    weights: tuple[str, int] | None
    source_levels: tuple[int, ...]
    source_widths: tuple[int, ...]
    level: int
    halve: str
    double: str

    @property
    def shifts(self) -> tuple[int, ...]:
        """By how many levels each source is coarser than the node: -1 is halved, 1 doubled."""
        return tuple(level - self.level for level in self.source_levels)

    @property
    def joined_first(self) -> bool:
        """Whether sources, being of one level, are joined and then brought to the node; else each is brought there by itself."""
        return len(set(self.source_levels)) == 1

    @property
    def width(self) -> int:
        """Channels of what is joined first, as a multiple of the network's width."""
        return sum(self.source_widths) if self.join == "concat" else self.source_widths[0]

    @property
    def alignments(self) -> tuple[Alignment, ...]:
        """One for all sources where they are `joined_first`, else one for each, whose results are added."""
        if self.joined_first:
            return (self._alignment(self.sources, self.source_levels[0], self.width),)
        sources = zip(self.sources, self.source_levels, self.source_widths)
        return tuple(self._alignment((source,), level, width) for source, level, width in sources)

    def _alignment(self, sources: tuple[int, ...], level: int, width: int) -> Alignment:
        shift = level - self.level
        return Alignment(sources, level, width, shift, "" if not shift else self.halve if shift < 0 else self.double)


@dataclasses.dataclass(frozen=True)
class PlacedEdge:
    """An edge of a cell where it stands: nodes, row of a table, and what it does to the resolution (`operations.facts.ROLES`)."""

    source: int
    target: int
    table: str
    row: int
    candidates: tuple[str, ...]
    role: str


@dataclasses.dataclass(frozen=True)
class PlacedCell:
    """A cell where it stands.

    Attributes:
        number: of its output.
        name: unique, for layers.
        kind: the cell's name.
        inputs: what it reads.
        edges: in the order of their targets.
        nodes: numbers of its nodes, inputs left out.
        output: nodes whose concatenation is its output.
        level: of its output.
        width: channels of its output, as a multiple of the network's width.
    """

    number: int
    name: str
    kind: str
    inputs: tuple[PlacedInput, ...]
    edges: tuple[PlacedEdge, ...]
    nodes: tuple[int, ...]
    output: tuple[int, ...]
    level: int
    width: int

    def incoming(self, node: int) -> list[int]:
        """Numbers of the edges into a node."""
        return [e for e, edge in enumerate(self.edges) if edge.target == node]


@dataclasses.dataclass(frozen=True)
class Group:
    """Edges of a kind of cell that read one table.

    Attributes:
        kind: the cell's name.
        table: the table's.
        edges: their numbers within the cell.
        rows: the row of each.
    """

    kind: str
    table: str
    edges: tuple[int, ...]
    rows: tuple[int, ...]


def output_levels(space: Description) -> tuple[int, ...]:
    """The level of every output, stems first."""
    return (*(stem.level for stem in space.stems), *(place.level for place in space.places))


def output_widths(space: Description) -> tuple[int, ...]:
    """The width of every output as a multiple of the network's, stems first."""
    places = (space.widths[place.level] if place.width is None else place.width for place in space.places)
    return (*(stem.width for stem in space.stems), *places)


def placed_cells(space: Description) -> tuple[PlacedCell, ...]:
    """All places of a space."""
    levels, widths, found = output_levels(space), output_widths(space), []
    tables = {table.name: table for table in space.tables}
    for number, place in enumerate(space.places, start=len(space.stems)):
        cell = space.cell(place.cell)
        inputs = tuple(_input(own, place.level, levels, widths) for own in place.inputs)
        edges = tuple(
            PlacedEdge(
                edge.source, edge.target, edge.table, edge.row, tables[edge.table].candidates, _role(edge.source, inputs, place.level)
            )
            for edge in cell.edges
        )
        nodes = tuple(sorted({edge.target for edge in edges}))
        name = f"cell_{number - len(space.stems) + 1:02d}_{cell.name}"
        found.append(PlacedCell(number, name, cell.name, inputs, edges, nodes, cell.output, place.level, widths[number]))
    return tuple(found)


def groups(space: Description) -> tuple[Group, ...]:
    """By kind of cell, in the order of the cells and of their first use of a table."""
    found = []
    for cell in space.cells:
        for table in dict.fromkeys(edge.table for edge in cell.edges):
            own = [(e, edge.row) for e, edge in enumerate(cell.edges) if edge.table == table]
            found.append(Group(cell.name, table, *(tuple(column) for column in zip(*own))))
    return tuple(found)


def _input(own: Input, level: int, levels: tuple[int, ...], widths: tuple[int, ...]) -> PlacedInput:
    return PlacedInput(
        own.sources,
        own.join,
        own.weights,
        tuple(levels[source] for source in own.sources),
        tuple(widths[source] for source in own.sources),
        level if own.level is None else own.level,
        own.halve,
        own.double,
    )


def _role(source: int, inputs: tuple[PlacedInput, ...], level: int) -> str:
    if source >= len(inputs) or inputs[source].level == level:
        return ORDINARY
    return HALVING if inputs[source].level < level else DOUBLING
