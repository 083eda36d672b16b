"""What the networks of a search space take: milliseconds of a training step, from the measured times of their parts.

Equal operations on one node are one layer (`networks.derived`), so that edges don't add up: what counts is how many of them there are.
"""

import dataclasses
import functools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from scnas_keras.errors import ConfigError
from scnas_keras.operations.facts import ORDINARY
from scnas_keras.operations.registry import operation
from scnas_keras.spaces.built import built_cells
from scnas_keras.spaces.cost import least_of
from scnas_keras.spaces.genotype import Genotype
from scnas_keras.spaces.places import PlacedCell, PlacedInput, output_widths
from scnas_keras.spaces.presence import Shares, edge_shares
from scnas_keras.spaces.random_genotypes import random_genotype
from scnas_keras.spaces.space import SearchSpace

KINDS = ("operation", "align", "stem", "head", "add", "concat", "update", "network")
OPERATION, ALIGN, STEM, HEAD, ADD, CONCAT, UPDATE, NETWORK = KINDS
_UPDATED = 100_000
"""Parameters of the larger of two variables whose updates are measured; those of others lie on the line through both."""


@dataclasses.dataclass(frozen=True)
class Part:
    """A piece of derived networks whose time is measured once, however many places need it.

    Attributes:
        kind: one of `KINDS`: the layer of an operation, the alignment of an input, a stem; a head with the loss and Dice of what it gives;
            one addition of two tensors, as at nodes and of gradients; the concatenation of several; the optimizer's update of a variable;
            the whole step of a random network (`reference`).
        batch: patches that are computed at once.
        voxels: along each axis of what it reads.
        inputs: channels that it reads, altogether; of an update, the variable's parameters; of a network, its width.
        outputs: channels that it gives, those of one branch; of a network, its classes.
        name: of the operation; of a network, that of its space.
        role: of the operation, one of `operations.facts.ROLES`.
        count: branches of an operation, tensors of a concatenation; of a network its number.
        shift: of an alignment, see `networks.parts.Align`; of a network, its image channels.
    """

    kind: str
    batch: int
    voxels: tuple[int, ...]
    inputs: int
    outputs: int
    name: str = ""
    role: str = ORDINARY
    count: int = 1
    shift: int = 0


REFERENCES = 2
"""Random networks whose whole steps are measured besides."""


def reference(space: SearchSpace, number: int) -> Genotype:
    """One of the networks by which the sum of parts is put right."""
    return random_genotype(space, 2022, number)


@dataclasses.dataclass(frozen=True)
class CellTimes:
    """Milliseconds of a placed cell's parts.

    Every reader of a tensor but the first adds a gradient, and every result at a node but the first is added there: readers and results
    count one addition each, and tensors and nodes take one off.

    Attributes:
        layers: (source node, operation) -> of 0, 1, ... edges from the node with that operation, with their additions.
        inputs: of each input that is read.
        node: of one addition at a node.
        fixed: what a cell has that is there at all.
    """

    layers: Mapping[tuple[int, str], np.ndarray]
    inputs: tuple[float, ...]
    node: float
    fixed: float


@dataclasses.dataclass(frozen=True)
class TimeTables:
    """Milliseconds of a training step of a space's derived networks, at one width, patch and batch.

    Attributes:
        space: the search space.
        cells: of each placed cell.
        stems: of each stem.
        head: with the loss.
    """

    space: SearchSpace
    cells: tuple[CellTimes, ...]
    stems: tuple[float, ...]
    head: float

    def of_genotype(self, genotype: Genotype) -> float:
        """Of the network that a genotype describes; what leads nowhere isn't built and takes nothing."""
        built = built_cells(genotype)
        read = {source for cell in genotype.space.placed for i in built.get(cell.number, ()) for source in cell.inputs[i].sources}
        total = self.head + sum(time for number, time in enumerate(self.stems) if number in read | set(genotype.space.head.sources))
        for cell, times in zip(genotype.space.placed, self.cells, strict=True):
            if cell.number in built:
                layers = Counter((edge.source, edge.operation) for edge in genotype.present(cell.kind))
                total += times.fixed + sum(times.layers[own][count] for own, count in layers.items())
                total += sum(times.inputs[i] for i in built[cell.number])
        return float(total)

    def expected(self, alpha: Mapping[str, np.ndarray]) -> float:
        """Mean over networks whose edges take their operations independently with softmax(alpha), by the space's derivation.

        Exact, with what `CostTables.expected` assumes.

        Args:
            alpha: table -> [rows, candidates].
        """
        return self.of_shares(edge_shares(self.space, alpha))

    def of_shares(self, shares: Shares) -> float:
        """The same, from the share of every operation on every edge: the number of edges with an operation is a sum of Bernoullis."""
        sums = self.sums
        padded = np.append(np.concatenate([shares[group].ravel() for group in self.space.groups]), 0.0)
        absent = np.append(1 - np.concatenate([shares[group].sum(1) for group in self.space.groups]), 1.0)
        counted = np.zeros(sums.times.shape)
        counted[:, 0] = 1.0
        for share in padded[sums.choices].T[..., None]:
            counted = counted * (1 - share) + np.pad(counted, ((0, 0), (1, 0)))[:, :-1] * share
        return float(sums.fixed + (counted * sums.times).sum() + absent[sums.edges].prod(1) @ sums.missing)

    def least(self) -> float:
        """A bound from below of every network's, as `CostTables.least`: a layer's edges each count their share of it, at its least."""
        edges = [
            [np.array([[_least_share(times.layers.get((edge.source, name)))] for name in edge.candidates]) for edge in cell.edges]
            for cell, times in zip(self.space.placed, self.cells)
        ]
        inputs = [[np.array([[time]]) for time in times.inputs] for times in self.cells]
        return float(
            least_of(self.space, edges, inputs, np.array([[times.fixed] for times in self.cells]))[0] + sum(self.stems) + self.head
        )

    @functools.cached_property
    def sums(self) -> "Sums":
        """What `of_shares` adds up, summed over the cells of each kind."""
        space, choice, place = self.space, {}, {}
        for group in space.groups:
            for e in group.edges:
                place[group.kind, e] = len(place)
                for name in space.table(group.table).candidates:
                    choice[group.kind, e, name] = len(choice)
        layers, missing = [], []
        for kind in space.cells:
            own = [times for cell, times in zip(space.placed, self.cells) if cell.kind == kind.name]
            for source, name in own[0].layers if own else ():
                edges = [e for e, edge in enumerate(kind.edges) if edge.source == source]
                chosen = [choice[kind.name, e, name] for e in edges if (kind.name, e, name) in choice]
                layers.append((chosen, sum(times.layers[source, name] for times in own)))
            for i in range(kind.inputs if own else 0):  # an input that no edge reads isn't there
                edges = [place[kind.name, e] for e, edge in enumerate(kind.edges) if edge.source == i]
                missing.append((edges, -sum(times.inputs[i] for times in own)))
            for node in sorted({edge.target for edge in kind.edges}) if own else ():  # one without any edge has no addition to take off
                edges = [place[kind.name, e] for e, edge in enumerate(kind.edges) if edge.target == node]
                missing.append((edges, sum(times.node for times in own)))
        fixed = self.head + sum(self.stems) + sum(times.fixed + sum(times.inputs) for times in self.cells)
        most = max(len(chosen) for chosen, _ in layers)
        times = np.array([np.pad(own, (0, most + 1 - len(own))) for _, own in layers])
        edges, weights = zip(*missing)
        return Sums(_padded([chosen for chosen, _ in layers], len(choice)), times, _padded(edges, len(place)), np.array(weights), fixed)


@dataclasses.dataclass(frozen=True)
class Sums:
    """The terms of the milliseconds that follow from the share of every operation on every edge.

    Attributes:
        choices: [layers, most edges], which shares are those of a layer's edges: numbers among all groups' [edges, candidates], one after
            the other. What isn't there is one number more than these.
        times: [layers, 1 + most edges], of a layer with 0, 1, ... edges.
        edges: [terms, most edges], numbers among all groups' edges, likewise.
        missing: [terms], what is added where all of these edges are absent.
        fixed: what is always there.
    """

    choices: np.ndarray
    times: np.ndarray
    edges: np.ndarray
    missing: np.ndarray
    fixed: float

    def over(self, target: float) -> "Sums":
        """The same as a multiple of a target."""
        return dataclasses.replace(self, times=self.times / target, missing=self.missing / target, fixed=self.fixed / target)


def time_tables(
    space: SearchSpace,
    width: int,
    patch_size: Sequence[int],
    batch: int,
    channels: int,
    num_classes: int,
    time: Callable[[Part], float],
    has_own_layer: Callable[[str], bool] = lambda name: False,
) -> TimeTables:
    """The tables of a space.

    Args:
        space: the search space.
        width: channels at full resolution.
        patch_size: voxels along each axis, each divisible by 2 ** depth.
        batch: patches that are computed at once.
        channels: image channels.
        num_classes: classes, background included.
        time: milliseconds of a part, forwards and backwards with the update of its weights.
        has_own_layer: whether each edge with an operation needs a layer of its own (`networks.derived`).

    Raises:
        ConfigError: the patch can't be halved as often as the space does, or the width can't be divided among the nodes.
    """
    if len(patch_size) != space.rank or any(n < 1 or n % 2**space.depth for n in patch_size):
        raise ConfigError(
            f"A patch of {'x'.join(map(str, patch_size))} doesn't fit search space {space.name!r}: it needs {space.rank} "
            f"axes, each divisible by {2**space.depth}."
        )
    space.check_width(width)
    return _Assembly(space, width, tuple(patch_size), batch, channels, num_classes, time, has_own_layer).tables()


def parts_of(
    space: SearchSpace,
    width: int,
    patch_size: Sequence[int],
    batch: int,
    channels: int,
    num_classes: int,
    has_own_layer: Callable[[str], bool] = lambda name: False,
) -> list[Part]:
    """The parts whose times `time_tables` asks for, each once, in its order."""
    found: dict[Part, float] = {}
    time_tables(space, width, patch_size, batch, channels, num_classes, lambda part: found.setdefault(part, 0.0), has_own_layer)
    return list(found)


@dataclasses.dataclass(frozen=True)
class _Assembly:
    """The arguments of `time_tables`."""

    space: SearchSpace
    width: int
    patch: tuple[int, ...]
    batch: int
    channels: int
    num_classes: int
    time: Callable[[Part], float]
    has_own_layer: Callable[[str], bool]

    def tables(self) -> TimeTables:
        stems = tuple(
            self._part(STEM, stem.level, self.channels, stem.width * self.width)
            - self._add(stem.level, stem.width * self.width)
            + self._update((3**self.space.rank * self.channels + 2) * stem.width * self.width, 3)
            for stem in self.space.stems
        )
        sources = [(self.space.levels[source], output_widths(self.space)[source] * self.width) for source in self.space.head.sources]
        head = sum(
            self._part(HEAD, level, width, self.num_classes) + self._add(level, width) + self._update((width + 1) * self.num_classes, 2)
            for level, width in sources
        )
        return TimeTables(self.space, tuple(map(self._cell, self.space.placed)), stems, head)

    def _cell(self, cell: PlacedCell) -> CellTimes:
        width = self.space.node_channels(self.width, cell)
        node = self._add(cell.level, width)
        names = {(edge.source, name): None for edge in cell.edges for name in edge.candidates if not operation(name).is_zero}
        layers = {(source, name): self._layer(cell, source, name, width) for source, name in names}
        fixed = self._part(CONCAT, cell.level, len(cell.output) * width, len(cell.output) * width, count=len(cell.output))
        fixed -= node * (len(cell.nodes) + len(set(cell.nodes) - set(cell.output))) + self._add(cell.level, cell.width * self.width)
        return CellTimes(layers, tuple(self._input(own, width) for own in cell.inputs), node, fixed)

    def _layer(self, cell: PlacedCell, source: int, name: str, width: int) -> np.ndarray:
        """Of 0, 1, ... edges of a cell that apply an operation to a node."""
        edges = [edge for edge in cell.edges if edge.source == source and name in edge.candidates]
        level = cell.inputs[source].level if source < len(cell.inputs) else cell.level
        read, result = self._add(level, width), self._add(cell.level, width)
        found = [0.0]
        for count in range(1, len(edges) + 1):
            if self.has_own_layer(name):
                time = count * (self._operation(edges[0].role, level, width, name) + read)
            elif operation(name).learns:
                time = self._operation(edges[0].role, level, width, name, count) + read
            else:  # computed once; the gradients of its result are added up
                time = self._operation(edges[0].role, level, width, name) + read + (count - 1) * result
            found.append(time + count * result)
        return np.array(found)

    def _input(self, own: PlacedInput, width: int) -> float:
        level, read = own.source_levels[0], own.width * self.width
        if own.join == "concat":
            time = self._part(CONCAT, level, read, read, count=len(own.sources))
        else:
            time = (len(own.sources) - 1) * self._add(level, read)
        time += sum(self._add(level, source * self.width) for level, source in zip(own.source_levels, own.source_widths))
        time += self._part(ALIGN, level, read, width, shift=own.shifts[0]) + self._update((read + 2) * width, 3)
        return time - self._add(own.level, width)

    def _operation(self, role: str, level: int, width: int, name: str, count: int = 1) -> float:
        facts = operation(name)
        parameters, _ = facts.cost(self.space.rank, width)
        variables = len(facts.kernel_names(self.space.rank)) + 2 * (facts.normalizations > 0)
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
        voxels = tuple(size // 2**level for size in self.patch)
        return self.time(Part(kind, self.batch, voxels, inputs, outputs, count=count, **rest))


def _least_share(times: np.ndarray | None) -> float:
    """The least that an edge takes of a layer, shared with as many others as may be; nothing of zero's."""
    return 0.0 if times is None else float(min(time / count for count, time in enumerate(times) if count))


def _padded(rows: Sequence[Sequence[int]], fill: int) -> np.ndarray:
    most = max(map(len, rows))
    return np.array([[*row, *[fill] * (most - len(row))] for row in rows], np.int64)
