"""What the networks of a search space cost, as tables: of every choice on every edge, and of what no choice changes."""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from scnas_keras.errors import ConfigError
from scnas_keras.operations.registry import operation
from scnas_keras.spaces.built import built_cells
from scnas_keras.spaces.derive import KEPT_EDGES
from scnas_keras.spaces.description import ARGMAX
from scnas_keras.spaces.genotype import Genotype
from scnas_keras.spaces.paths import kept_sources
from scnas_keras.spaces.places import Group, PlacedCell, PlacedInput, output_widths, taps
from scnas_keras.spaces.presence import Shares, edge_shares, zero_mask
from scnas_keras.spaces.space import SearchSpace


@dataclasses.dataclass(frozen=True)
class Cost:
    """Parameters (trainable scalars) and multiply-adds for one patch of a batch; means, where they are expected ones."""

    parameters: float
    multiply_adds: float


@dataclasses.dataclass(frozen=True)
class CostTables:
    """Costs of a space's derived networks at one width and patch, counted as `networks.cost.network_cost` does.

    The last axis of every array is (parameters, multiply-adds), int64.

    Attributes:
        space: the search space.
        edges: for each placed cell and edge [candidates, 2].
        inputs: for each placed cell and input [parts, 2]: of the alignment of what is joined, or of each source where these are aligned
            one by one (`parts_of`).
        fixed: [2], stems and output.
    """

    space: SearchSpace
    edges: tuple[tuple[np.ndarray, ...], ...]
    inputs: tuple[tuple[np.ndarray, ...], ...]
    fixed: np.ndarray

    @functools.cached_property
    def of_groups(self) -> dict[Group, np.ndarray]:
        """`edges` summed over the cells of each kind: [edges of the group, candidates, 2]."""
        return {
            group: np.stack([sum(self.edges[c][e] for c in self._cells(group.kind)) for e in group.edges]) for group in self.space.groups
        }

    @functools.cached_property
    def of_inputs(self) -> dict[str, np.ndarray]:
        """Kind -> [inputs, 2], `inputs` summed over its cells and over their parts."""
        return {
            cell.name: np.stack([sum(self.inputs[c][i].sum(0) for c in self._cells(cell.name)) for i in range(cell.inputs)])
            for cell in self.space.cells
        }

    def expected(self, alpha: Mapping[str, np.ndarray]) -> Cost:
        """Mean cost of a network whose edges take their operations independently with softmax(alpha), by the space's derivation.

        An input that all edges leave unread costs nothing. Assumed: the output of every cell is read by another, no node is left
        without any input (`derive` would restore an edge), and weighted sums keep all their sources.

        Args:
            alpha: table -> [rows, candidates].
        """
        return self.of_shares(edge_shares(self.space, alpha))

    def of_shares(self, shares: Shares) -> Cost:
        """The same, from the share of every operation on every edge."""
        total = self.fixed.astype(np.float64)
        unread = {cell.name: np.ones(cell.inputs) for cell in self.space.cells}
        for group, share in shares.items():
            total = total + np.einsum("eo,eoc->c", share, self.of_groups[group])
            for e, missing in zip(group.edges, 1 - share.sum(axis=1)):
                source = self.space.cell(group.kind).edges[e].source
                if source < len(unread[group.kind]):
                    unread[group.kind][source] *= missing
        for kind, inputs in self.of_inputs.items():
            total = total + (1 - unread[kind]) @ inputs
        return Cost(*map(float, total))

    def least(self) -> Cost:
        """A bound from below of each cost of every network of the space.

        It is that of the cheapest way from a stem to the head, with the edges that every cell on it must have, each with its cheapest
        operation, and the alignment of the inputs that it must read.
        """
        return Cost(*map(int, least_of(self.space, self.edges, self.inputs, np.zeros((len(self.space.placed), 2), np.int64)) + self.fixed))

    def of_genotype(self, genotype: Genotype) -> Cost:
        """Cost of the network that a genotype describes; what leads nowhere isn't built and costs nothing."""
        total, built = self.fixed.copy(), built_cells(genotype)
        for number, cell in enumerate(genotype.space.placed):
            if cell.number not in built:
                continue
            for placed, costs, edge in zip(cell.edges, self.edges[number], genotype.cells[cell.kind], strict=True):
                if edge.operation is not None:
                    total = total + costs[placed.candidates.index(edge.operation)]
            for i in built[cell.number]:
                parts = self.inputs[number][i]
                total = total + (parts[kept_sources(genotype.paths, cell.inputs[i])].sum(0) if len(parts) > 1 else parts[0])
        return Cost(*map(int, total))

    def _cells(self, kind: str) -> list[int]:
        return [number for number, cell in enumerate(self.space.placed) if cell.kind == kind]


def least_of(
    space: SearchSpace, edges: Sequence[Sequence[np.ndarray]], inputs: Sequence[Sequence[np.ndarray]], own: np.ndarray
) -> np.ndarray:
    """The cheapest way from a stem to the head, [costs]; stems and head left out. See `CostTables.least`.

    Args:
        space: the search space.
        edges, inputs: as of `CostTables`, with as many costs in the last axis as there are.
        own: of each placed cell that is there at all, [cells, costs].
    """
    found = {number: np.zeros_like(own[0]) for number in range(len(space.stems))}
    for number, cell in enumerate(space.placed):
        cheapest, must = _least_edges(space, cell, edges[number])
        ways = []
        for place, parts in zip(cell.inputs, inputs[number]):
            before = [found[source] for source in place.sources]
            some = place.weights is not None
            ways.append((parts.min(0) if some else parts.sum(0), np.min(before, 0) if some else np.max(before, 0)))
        read = sorted({cell.edges[e].source for e in must if cell.edges[e].source < len(cell.inputs)})
        if read:
            before = sum(ways[i][0] for i in read) + np.max([ways[i][1] for i in read], 0)
        else:
            before = np.min([align + way for align, way in ways], 0)
        found[cell.number] = own[number] + cheapest + before
    return np.max([found[source] for source in space.head.sources], 0)


def _least_edges(space: SearchSpace, cell: PlacedCell, edges: Sequence[np.ndarray]) -> tuple[np.ndarray, set[int]]:
    """The least of each cost of a cell's edges, and which of them no choice drops."""
    absent = [zero_mask(space, edge.table) for edge in cell.edges]
    cheapest = [costs[~zero].min(axis=0) for costs, zero in zip(edges, absent)]
    strongest = space.derivation != ARGMAX
    total, must = np.zeros_like(cheapest[0]), set()
    for node in cell.nodes:
        incoming = cell.incoming(node)
        always = [e for e in incoming if (len(incoming) <= KEPT_EDGES if strongest else not absent[e].any())]
        must.update(always)
        fewest = KEPT_EDGES if strongest else 1
        total = total + np.sum([cheapest[e] for e in always] or np.sort([cheapest[e] for e in incoming], axis=0)[:fewest], axis=0)
    return total, must


def cost_tables(space: SearchSpace, width: int, patch_size: Sequence[int], channels: int, num_classes: int) -> CostTables:
    """The tables of a space.

    Args:
        space: the search space.
        width: channels at full resolution of the derived network.
        patch_size: voxels along each axis, each divisible by 2 ** depth.
        channels: image channels.
        num_classes: classes, background included.

    Raises:
        ConfigError: the patch can't be halved as often as the space does, or the width can't be divided among the nodes, or
            the costs can't be counted.
    """
    if len(patch_size) != space.rank or any(n < 1 or n % 2**space.depth for n in patch_size):
        raise ConfigError(
            f"A patch of {'x'.join(map(str, patch_size))} doesn't fit search space {space.name!r}: it needs {space.rank} "
            f"axes, each divisible by {2**space.depth}."
        )
    space.check_width(width)

    def voxels(level: int) -> int:
        return math.prod(n // 2**level for n in patch_size)

    try:
        edges = tuple(_edges(space, cell, space.node_channels(width, cell), voxels(cell.level)) for cell in space.placed)
        inputs = tuple(
            tuple(np.array(_parts(own, space.rank, width, space.node_channels(width, cell), voxels), np.int64) for own in cell.inputs)
            for cell in space.placed
        )
        return CostTables(space, edges, inputs, np.array(_fixed(space, width, channels, num_classes, voxels), np.int64))
    except OverflowError as error:
        raise ConfigError(
            f"{width} channels on a patch of {'x'.join(map(str, patch_size))}: the multiply-adds of such a network can't be counted in 64 "
            "bits. Choose fewer channels, or a smaller patch."
        ) from error


def operation_costs(space: SearchSpace, channels: int, patch_size: Sequence[int]) -> dict[str, Cost]:
    """What each candidate of a space costs from `channels` to as many on an output of a patch; refused where it can't be built."""
    found = {}
    for name in space.operations:
        facts = operation(name)
        if channels % facts.divisor:
            low = max(facts.divisor, channels // facts.divisor * facts.divisor)
            raise ConfigError(
                f"{channels} channels: {name} needs a multiple of {facts.divisor}, for example {low} or {low + facts.divisor}."
            )
        voxels = math.prod(patch_size)
        found[name] = Cost(facts.parameters(space.rank, channels), facts.multiply_adds(space.rank, channels, voxels))
    return found


def _edges(space: SearchSpace, cell: PlacedCell, channels: int, voxels: int) -> tuple[np.ndarray, ...]:
    """[candidates, 2] of each edge: all of them end at the resolution of the cell's output."""
    facts = {name: operation(name) for edge in cell.edges for name in edge.candidates}
    known = {name: (own.parameters(space.rank, channels), own.multiply_adds(space.rank, channels, voxels)) for name, own in facts.items()}
    return tuple(np.array([known[name] for name in edge.candidates], np.int64) for edge in cell.edges)


def _parts(own: PlacedInput, rank: int, width: int, channels: int, voxels: Callable[[int], int]) -> list[tuple[int, int]]:
    """Parameters and multiply-adds of an input's alignments, each at the coarser of two resolutions (`networks.parts.Align`)."""
    found = []
    for part in own.alignments:
        kernel = taps(part.bridge, part.shift, rank) * part.width * width * channels
        found.append((kernel + 2 * channels, kernel * voxels(max(part.level, own.level))))
    return found


def _fixed(space: SearchSpace, width: int, channels: int, num_classes: int, voxels: Callable[[int], int]) -> tuple[int, int]:
    """Stems, and an output that is computed at the resolution of its finest source."""
    parameters = multiply_adds = 0
    for stem in space.stems:
        kernel = 3**space.rank * channels * stem.width * width
        parameters, multiply_adds = parameters + kernel + 2 * stem.width * width, multiply_adds + kernel * voxels(stem.level)
    widths = [output_widths(space)[source] for source in space.head.sources]
    kernel = (sum(widths) if space.head.join == "concat" else widths[0]) * width * num_classes
    level = min(space.levels[source] for source in space.head.sources)
    return parameters + kernel + num_classes, multiply_adds + kernel * voxels(level)
