"""What the networks of a search space cost, as tables: of every choice on every edge, and of what no choice changes."""

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np

from scnas_keras.errors import ConfigError
from scnas_keras.spaces.genotype import Edge, Genotype
from scnas_keras.spaces.operations import OPERATIONS, ZERO
from scnas_keras.spaces.space import CELL_INPUTS, CellPlan, SearchSpace


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
        edges: [cells, edges, operations, 2], an operation on an edge of a cell.
        inputs: [cells, 2, 2], the alignment of each of a cell's two inputs.
        fixed: [2], stem and output.
    """

    space: SearchSpace
    edges: np.ndarray
    inputs: np.ndarray
    fixed: np.ndarray

    @property
    def by_kind(self) -> tuple[np.ndarray, np.ndarray]:
        """`edges` and `inputs` summed over the cells of each kind: [kinds, edges, operations, 2] and [kinds, 2, 2]."""
        rows = [[i for i, kind in enumerate(self.space.layout) if kind == own] for own in self.space.kinds]
        return np.stack([self.edges[own].sum(0) for own in rows]), np.stack([self.inputs[own].sum(0) for own in rows])

    @property
    def reads(self) -> np.ndarray:
        """[2, edges], whether an edge reads a cell's input."""
        return np.array([[source == i for source, _ in self.space.edges] for i in range(CELL_INPUTS)])

    def expected(self, probabilities: np.ndarray) -> Cost:
        """Mean cost of a network whose edges take their operations independently with these probabilities.

        An input that all edges leave unread costs nothing. Assumed: the output of every cell is read by another, and no
        node is left without any input (`derive` would restore an edge).

        Args:
            probabilities: [kinds, edges, operations], each edge's sum to one.
        """
        edges, inputs = self.by_kind
        total = self.fixed + np.einsum("keo,keoc->c", probabilities, edges)
        if ZERO in self.space.operations:
            zero = probabilities[..., self.space.operations.index(ZERO)]
            unread = np.where(self.reads, zero[:, None, :], 1.0).prod(axis=-1)
        else:
            unread = np.zeros((len(inputs), CELL_INPUTS))
        return Cost(*map(float, total + np.einsum("ki,kic->c", 1 - unread, inputs)))

    def least(self) -> Cost:
        """The least of both costs that `expected` can come to: the cheapest operation on one edge a node, from one input."""
        edges, inputs = self.by_kind
        zero = self.space.operations.index(ZERO) if ZERO in self.space.operations else None
        if zero is None:
            total = self.fixed + edges.min(axis=2).sum(axis=(0, 1)) + inputs.sum(axis=(0, 1))
        else:
            cheapest = np.delete(edges, zero, axis=2).min(axis=2)
            nodes = [[e for e, (_, target) in enumerate(self.space.edges) if target == node] for node in self._targets]
            total = self.fixed + sum(cheapest[:, own].min(axis=1).sum(axis=0) for own in nodes) + inputs.min(axis=1).sum(axis=0)
        return Cost(*map(int, total))

    @property
    def _targets(self) -> list[int]:
        return sorted({target for _, target in self.space.edges})

    def of_genotype(self, genotype: Genotype) -> Cost:
        """Cost of the network that a genotype describes; what leads nowhere isn't built and costs nothing."""
        total, plans = self.fixed.copy(), self.space.cells()
        needed = {len(plans)}
        for number, plan in reversed(list(enumerate(plans, start=1))):
            if number in needed:
                cell = genotype.cells[plan.kind]
                total += self._cell(number - 1, cell)
                read = {edge.source for edge in cell if edge.operation != ZERO}
                needed |= {plan.inputs[i] for i in read if i < CELL_INPUTS}
                needed |= {plan.skip} if 1 in read and plan.skip is not None else set()
        return Cost(*map(int, total))

    def _cell(self, cell: int, edges: Sequence[Edge]) -> np.ndarray:
        operations = [self.space.operations.index(edge.operation) for edge in edges]
        read = {edge.source for edge in edges if edge.operation != ZERO}
        chosen = self.edges[cell, range(len(edges)), operations]
        return chosen.sum(0) + sum(self.inputs[cell, i] for i in read if i < CELL_INPUTS)


def cost_tables(space: SearchSpace, stem_channels: int, patch_size: Sequence[int], channels: int, num_classes: int) -> CostTables:
    """The tables of a space.

    Args:
        space: the search space.
        stem_channels: of the derived network.
        patch_size: voxels along each axis, each divisible by 2 ** depth.
        channels: image channels.
        num_classes: classes, background included.

    Raises:
        ConfigError: the patch can't be halved as often as the space does, or the width can't be divided among the nodes.
    """
    if len(patch_size) != space.rank or any(n < 1 or n % 2**space.depth for n in patch_size):
        raise ConfigError(
            f"A patch of {'x'.join(map(str, patch_size))} doesn't fit search space {space.name!r}: it needs {space.rank} "
            f"axes, each divisible by {2**space.depth}."
        )

    def voxels(level: int) -> int:
        return math.prod(n // 2**level for n in patch_size)

    edges = [_edges(space, plan, space.node_channels(stem_channels, plan.level), voxels(plan.level)) for plan in space.cells()]
    inputs = [_inputs(plan, space.node_channels(stem_channels, plan.level), stem_channels, voxels) for plan in space.cells()]
    stem, out = 3**space.rank * channels * stem_channels, stem_channels * num_classes
    fixed = [stem + 2 * stem_channels + out + num_classes, (stem + out) * voxels(0)]
    return CostTables(space, np.array(edges, np.int64), np.array(inputs, np.int64), np.array(fixed, np.int64))


def _edges(space: SearchSpace, plan: CellPlan, width: int, voxels: int) -> list[list[list[int]]]:
    """[edges, operations, 2] of a cell: all its edges end at the resolution of its output."""
    kernels = [_kernel(OPERATIONS[name].group, space.rank, width) for name in space.operations]
    row = [[kernel + 2 * width * bool(kernel), kernel * voxels] for kernel in kernels]
    return [row for _ in space.edges]


def _kernel(group: str, rank: int, width: int) -> int:
    """Kernel weights of an operation of a group: all but scale and offset of its normalisation."""
    return {"conv": 3**rank * width**2, "dilated": 3**rank * width + width**2}.get(group, 0)


def _inputs(plan: CellPlan, width: int, stem_channels: int, voxels: Callable[[int], int]) -> list[list[int]]:
    """[2, 2] of a cell: a pointwise convolution at the coarser of the two resolutions (`networks.parts.Align`)."""
    kernels = [stem_channels * 2**level * width for level in plan.input_levels]
    return [[kernel + 2 * width, kernel * voxels(max(level, plan.input_level))] for kernel, level in zip(kernels, plan.input_levels)]
