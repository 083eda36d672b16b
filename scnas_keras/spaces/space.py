"""A search space: a description whose parts fit, and what follows from it."""

import dataclasses
import functools
import math

from scnas_keras.errors import ConfigError
from scnas_keras.operations.registry import operation
from scnas_keras.spaces import validity
from scnas_keras.spaces.description import Description
from scnas_keras.spaces.places import Group, PlacedCell, groups, output_levels, placed_cells


@dataclasses.dataclass(frozen=True)
class SearchSpace(Description):
    """Everything that defines which networks can be found.

    Raises:
        ConfigError: parts that don't fit each other; the message names the part.
    """

    def __post_init__(self):
        validity.check(self)

    @functools.cached_property
    def placed(self) -> tuple[PlacedCell, ...]:
        """Every place with what follows from its cell and its neighbours."""
        return placed_cells(self)

    @functools.cached_property
    def groups(self) -> tuple[Group, ...]:
        """The edges of each kind of cell that read one table."""
        return groups(self)

    @functools.cached_property
    def levels(self) -> tuple[int, ...]:
        """Of every output, stems first."""
        return output_levels(self)

    @property
    def depth(self) -> int:
        """How often the resolution is halved; patches must be divisible by 2 ** depth."""
        return max(self.levels)

    @property
    def operations(self) -> tuple[str, ...]:
        """All candidate operations, in the order of the tables."""
        return tuple(dict.fromkeys(name for table in self.tables if not table.paths for name in table.candidates))

    @functools.cached_property
    def width_step(self) -> int:
        """Widths are multiples of this, so that every cell's channels can be divided among its nodes, as these' operations need."""
        parts = {cell: len(cell.output) * self.node_step(cell.kind) for cell in self.placed}
        return math.lcm(*(number // math.gcd(cell.width, number) for cell, number in parts.items()))

    def node_step(self, kind: str) -> int:
        """The channels of a cell's nodes are multiples of this, by its operations (`Facts.divisor`)."""
        tables = {edge.table for edge in self.cell(kind).edges}
        return math.lcm(*(operation(name).divisor for table in self.tables if table.name in tables for name in table.candidates))

    def node_channels(self, width: int, cell: PlacedCell) -> int:
        """Channels of a node of a cell, where the network is `width` channels wide at full resolution."""
        return cell.width * width // len(cell.output)

    def width_of_nodes(self, channels: int) -> int:
        """The smallest width of a network all of whose nodes have a multiple of so many channels."""
        narrowest = math.gcd(*(self.node_channels(self.width_step, cell) for cell in self.placed))
        return self.width_step * (channels // math.gcd(channels, narrowest))

    def width_from(self, width: int) -> int:
        """The smallest width that a network of this space can have and that is no less."""
        return -(-width // self.width_step) * self.width_step

    def check_width(self, width: int) -> None:
        """Raises ConfigError unless a network's channels can be divided among the nodes of all cells."""
        step = self.width_step
        if width <= 0 or width % step:
            low = max(step, width // step * step)
            nodes, channels = max((len(cell.output), self.node_step(cell.name)) for cell in self.cells)
            needed = f" of multiples of {channels} channels, which its operations need" if channels > 1 else ""
            raise ConfigError(
                f"{width} stem channels can't be divided among {nodes} nodes a cell{needed}; use a multiple of {step}, for example "
                f"{low} or {low + step}."
            )
