"""What the networks of a search space take: milliseconds of a training step, from the measured times of their parts.

Equal operations on one node are one layer (`networks.derived`), so that edges don't add up: what counts is how many of them there are.
"""

import dataclasses
import functools
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from scnas_keras.operations.facts import ORDINARY
from scnas_keras.spaces.built import built_cells
from scnas_keras.spaces.cost import least_of
from scnas_keras.spaces.genotype import Genotype
from scnas_keras.spaces.presence import Shares, edge_shares
from scnas_keras.spaces.random_genotypes import random_genotype
from scnas_keras.spaces.space import SearchSpace

KINDS = ("operation", "align", "stem", "head", "add", "concat", "update", "network")
OPERATION, ALIGN, STEM, HEAD, ADD, CONCAT, UPDATE, NETWORK = KINDS


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
        name: of the operation; of an alignment, how it halves or doubles; of a network, that of its space.
        role: of the operation, one of `operations.facts.ROLES`.
        count: branches of an operation, tensors of a concatenation; of a network its number.
        shift: of an alignment, see `networks.parts.Align`; of a stem, how often it halves; of a head, how often its logits are doubled; of
            a network, its image channels.
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


def _least_share(times: np.ndarray | None) -> float:
    """The least that an edge takes of a layer, shared with as many others as may be; nothing of zero's."""
    return 0.0 if times is None else float(min(time / count for count, time in enumerate(times) if count))


def _padded(rows: Sequence[Sequence[int]], fill: int) -> np.ndarray:
    most = max(map(len, rows))
    return np.array([[*row, *[fill] * (most - len(row))] for row in rows], np.int64)
