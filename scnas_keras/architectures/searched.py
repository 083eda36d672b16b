"""Footprints of the networks that this package searches: a supernet, and the network derived from it."""

import dataclasses
import math
from collections.abc import Sequence

from scnas_keras.planning.footprints import Reference
from scnas_keras.planning.topology import Topology, fixed_topology
from scnas_keras.spaces.genotype import Genotype
from scnas_keras.spaces.operations import IDENTITY, OPERATIONS, ZERO
from scnas_keras.spaces.space import CELL_INPUTS, CellPlan, SearchSpace

DERIVED_REFERENCE = Reference(440e6, 1, 8, fixed_gigabytes=1.8, is_limit=True)
"""Measured on CPU in float32: 14 to 16 bytes an element in training, above 1.8 GiB (32^3, 64^3 and 96^3, stem 32, Adam)."""
SUPERNET_BYTES = {False: 2.7, True: 2.3}
"""Bytes an element in training, without and with low_memory, at the peak of several steps. Measured on CPU in float32 at stems of 16, 32
and 48 and patches of 32^3 to 128^3 (tools/benchmark supernet); under 4 because half of the drawn operations are no convolutions."""
SUPERNET_FIXED = 1.2
"""GiB of the process with the graph of a search step."""
SUPERNET_WEIGHTS = 0.32
"""GiB of weights, gradients and Adam's moments at stem 48 (15 M parameters)."""


_PARAMETER_FREE = [name for name, info in OPERATIONS.items() if info.group in ("pool", "identity")]


class _Searched:
    """What both have in common: a space says how often the resolution is halved and how wide a node is."""

    space: SearchSpace
    width: int
    smallest_batch = 1
    dataset_share = 0.05
    stages_of_plan = False

    @property
    def ranks(self) -> tuple[int, ...]:
        return (self.space.rank,)

    def topology(self, spacing: Sequence[float], patch_size: Sequence[int]) -> Topology:
        return fixed_topology(patch_size, self.space.depth)

    def features(self, topology: Topology) -> tuple[int, ...]:
        return tuple(self.width * 2**level for level in range(self.space.depth + 1))

    def elements(self, topology: Topology, channels: int, heads: int) -> int:
        voxels = [math.prod(size) for size in topology.stage_sizes()]
        cells = sum(self.cell_maps(cell, voxels) * self.space.node_channels(self.width, cell.level) for cell in self.space.cells())
        return voxels[0] * (self.width + heads) + cells

    def measured(self, rank: int) -> Reference:
        return self.reference(rank)

    def reference(self, rank: int) -> Reference:
        raise NotImplementedError

    def cell_maps(self, cell: CellPlan, voxels: Sequence[int]) -> int:
        """Voxels of all feature maps of a cell, each a node wide; `voxels` are those of each level."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class DerivedNetwork(_Searched):
    """The network of a genotype, or without one of a genotype that has a convolution on every edge, which is the largest."""

    space: SearchSpace
    width: int
    genotype: Genotype | None = None
    name = "genotype"
    largest_batch = 8  # the paper's

    def cell_maps(self, cell, voxels):
        kept = [edge for edge in self.space.edges if self._operation(cell.kind, edge) != ZERO]
        inputs = {source for source, _ in kept if source < CELL_INPUTS}
        edges = len({self._layer(cell, edge) for edge in kept if self._operation(cell.kind, edge) != IDENTITY or cell.stride(edge) > 1})
        return len(inputs) * voxels[cell.input_level] + edges * voxels[cell.level]

    def reference(self, rank: int) -> Reference:
        return DERIVED_REFERENCE

    def _layer(self, cell: CellPlan, edge: tuple[int, int]) -> tuple:
        """What edges have in common that share a feature map: a pool or a strided identity of the same node."""
        operation = self._operation(cell.kind, edge)
        return (edge[0], operation) if operation in _PARAMETER_FREE else edge

    def _operation(self, kind: str, edge: tuple[int, int]) -> str | None:
        if self.genotype is None:
            return None
        return next(found.operation for found in self.genotype.cells[kind] if (found.source, found.target) == edge)


@dataclasses.dataclass(frozen=True)
class SupernetNetwork(_Searched):
    """A supernet that draws `drawn` operations an edge and keeps what they convolve, or with `low_memory` computes it again."""

    space: SearchSpace
    width: int
    drawn: int = 2
    low_memory: bool = False
    name = "supernet"
    largest_batch = 4  # the paper's, over four GPUs

    def cell_maps(self, cell, voxels):
        inputs = CELL_INPUTS * voxels[cell.input_level]
        kept = 0 if self.low_memory else self.drawn * len(self.space.edges)
        return inputs + (kept + len(self.space.edges) + 2 * self.space.nodes) * voxels[cell.level]

    def reference(self, rank: int) -> Reference:
        fixed = SUPERNET_FIXED + SUPERNET_WEIGHTS * (self.width / 48) ** 2
        return Reference(1e9, 1, fixed + SUPERNET_BYTES[self.low_memory] * 1e9 / 2**30, fixed_gigabytes=fixed, is_limit=True)
