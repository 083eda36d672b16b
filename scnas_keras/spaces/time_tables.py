"""The tables of what a search space's networks take, put together from the times of their parts."""

import dataclasses
from collections.abc import Callable

import numpy as np

from scnas_keras.errors import ConfigError
from scnas_keras.operations.registry import operation
from scnas_keras.spaces.milliseconds import ADD, ALIGN, CONCAT, HEAD, OPERATION, STEM, UPDATE, CellTimes, Part, TimeTables
from scnas_keras.spaces.places import PlacedCell, PlacedInput, output_widths, taps
from scnas_keras.spaces.space import SearchSpace

_UPDATED = 100_000
"""Parameters of the larger of two variables whose updates are measured; those of others lie on the line through both."""


@dataclasses.dataclass(frozen=True)
class Timed:
    """The networks of a space as they are timed.

    Attributes:
        space: the search space.
        width: channels at full resolution.
        patch_size: voxels along each axis, each divisible by 2 ** depth.
        batch: patches that are computed at once.
        channels: image channels.
        num_classes: classes, background included.
        has_own_layer: whether each edge with an operation needs a layer of its own (`networks.derived`).

    Raises:
        ConfigError: the patch can't be halved as often as the space does, or the width can't be divided among the nodes.
    """

    space: SearchSpace
    width: int
    patch_size: tuple[int, ...]
    batch: int
    channels: int
    num_classes: int
    has_own_layer: Callable[[str], bool] = lambda name: False

    def __post_init__(self):
        space, patch = self.space, self.patch_size
        if len(patch) != space.rank or any(n < 1 or n % 2**space.depth for n in patch):
            raise ConfigError(
                f"A patch of {'x'.join(map(str, patch))} doesn't fit search space {space.name!r}: it needs {space.rank} "
                f"axes, each divisible by {2**space.depth}."
            )
        space.check_width(self.width)

    def tables(self, time: Callable[[Part], float]) -> TimeTables:
        """The tables, by milliseconds of a part: forwards and backwards, with the update of its weights."""
        return _Assembly(self, time).tables()

    def parts(self) -> list[Part]:
        """The parts whose times `tables` asks for, each once, in its order."""
        found: dict[Part, float] = {}
        self.tables(lambda part: found.setdefault(part, 0.0))
        return list(found)


@dataclasses.dataclass(frozen=True)
class _Assembly:
    timed: Timed
    time: Callable[[Part], float]

    def tables(self) -> TimeTables:
        timed, space = self.timed, self.timed.space
        stems = []
        for stem in space.stems:
            width = stem.width * timed.width
            update = self._update((3**space.rank * timed.channels + 2) * width, 3)
            stems.append(self._part(STEM, 0, timed.channels, width, shift=stem.level) - self._add(stem.level, width) + update)
        head = 0.0
        for source in space.head.sources:
            level, width = space.levels[source], output_widths(space)[source] * timed.width
            update = self._update((width + 1) * timed.num_classes, 2)
            head += self._part(HEAD, level, width, timed.num_classes, shift=level) + self._add(level, width) + update
        return TimeTables(space, tuple(map(self._cell, space.placed)), tuple(stems), head)

    def _cell(self, cell: PlacedCell) -> CellTimes:
        width = self.timed.space.node_channels(self.timed.width, cell)
        node = self._add(cell.level, width)
        names = {(edge.source, name): None for edge in cell.edges for name in edge.candidates if not operation(name).is_zero}
        layers = {(source, name): self._layer(cell, source, name, width) for source, name in names}
        fixed = self._part(CONCAT, cell.level, len(cell.output) * width, len(cell.output) * width, count=len(cell.output))
        fixed -= node * (len(cell.nodes) + len(set(cell.nodes) - set(cell.output))) + self._add(cell.level, cell.width * self.timed.width)
        return CellTimes(layers, tuple(self._input(own, width) for own in cell.inputs), node, fixed)

    def _layer(self, cell: PlacedCell, source: int, name: str, width: int) -> np.ndarray:
        """Of 0, 1, ... edges of a cell that apply an operation to a node."""
        edges = [edge for edge in cell.edges if edge.source == source and name in edge.candidates]
        level = cell.inputs[source].level if source < len(cell.inputs) else cell.level
        read, result = self._add(level, width), self._add(cell.level, width)
        found = [0.0]
        for count in range(1, len(edges) + 1):
            if self.timed.has_own_layer(name):
                time = count * (self._operation(edges[0].role, level, width, name) + read)
            elif operation(name).learns:
                time = self._operation(edges[0].role, level, width, name, count) + read
            else:  # computed once; the gradients of its result are added up
                time = self._operation(edges[0].role, level, width, name) + read + (count - 1) * result
            found.append(time + count * result)
        return np.array(found)

    def _input(self, own: PlacedInput, width: int) -> float:
        time = sum(self._add(level, source * self.timed.width) for level, source in zip(own.source_levels, own.source_widths))
        for part in own.alignments:
            read, others = part.width * self.timed.width, len(part.sources) - 1
            if own.join == "concat":
                joined = self._part(CONCAT, part.level, read, read, count=others + 1)
            else:
                joined = others * self._add(part.level, read)
            outputs = taps(part.bridge, part.shift, self.timed.space.rank) * width
            time += joined + self._part(ALIGN, part.level, read, width, name=part.bridge, shift=part.shift)
            time += self._update(read * outputs + 2 * width, 3)
        return time + (len(own.alignments) - 2) * self._add(own.level, width)

    def _operation(self, role: str, level: int, width: int, name: str, count: int = 1) -> float:
        facts = operation(name)
        parameters = facts.parameters(self.timed.space.rank, width)
        variables = len(facts.kernel_names(self.timed.space.rank)) + 2 * len(facts.normalizations)
        return self._part(OPERATION, level, width, width, name=name, role=role, count=count) + self._update(count * parameters, variables)

    def _update(self, parameters: int, variables: int) -> float:
        """Of the optimizer, for a layer."""
        small, large = (self.time(Part(UPDATE, 1, (), size, size)) for size in (1, _UPDATED))
        return variables * small + parameters * max(large - small, 0.0) / _UPDATED

    def _add(self, level: int, width: int) -> float:
        return self._part(ADD, level, width, width)

    def _part(self, kind: str, level: int, inputs: int, outputs: int, count: int = 1, **rest) -> float:
        if kind == CONCAT and count == 1:
            return 0.0
        voxels = tuple(size // 2**level for size in self.timed.patch_size)
        return self.time(Part(kind, self.timed.batch, voxels, inputs, outputs, count=count, **rest))
