"""Footprints of the networks that this package searches: a supernet, and the network derived from it."""

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from scnas_keras.operations.facts import ORDINARY
from scnas_keras.operations.registry import operation
from scnas_keras.planning.footprints import Reference
from scnas_keras.planning.topology import Topology, fixed_topology
from scnas_keras.spaces.built import built_cells
from scnas_keras.spaces.genotype import Genotype
from scnas_keras.spaces.places import PlacedCell, PlacedEdge
from scnas_keras.spaces.space import SearchSpace

if TYPE_CHECKING:
    import keras

DERIVED_REFERENCE = Reference(440e6, 1, 8, fixed_gigabytes=1.8, is_limit=True)
"""Measured on CPU in float32: 14 to 16 bytes an element in training, above 1.8 GiB (32^3, 64^3 and 96^3, stem 32, Adam)."""
SUPERNET_BYTES = {False: 2.9, True: 2.5}
"""Bytes an element in training, without and with low_memory, at the peak of several steps. Measured on CPU in float32 at stems of 16, 32
and 48 and patches of 32^3 to 128^3 (tools/benchmark supernet); under 4 because half of the drawn operations are no convolutions. Then
raised by 7 %, as much as graphs take that aren't optimised."""
SUPERNET_FIXED = 1.3
"""GiB of the process with the graph of a search step."""
SUPERNET_WEIGHTS = 0.32
"""GiB of weights, gradients and Adam's moments at stem 48 (15 M parameters)."""


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

    def topology(self, spacing: Sequence[float], patch_size: Sequence[float]) -> Topology:
        return fixed_topology(patch_size, self.space.depth)

    def features(self, topology: Topology) -> tuple[int, ...]:
        return tuple(self.width * multiple for multiple in self.space.widths[: self.space.depth + 1])

    def elements(self, topology: Topology, channels: int, heads: int) -> int:
        voxels = [math.prod(size) for size in topology.stage_sizes()]
        cells = sum(self.cell_maps(cell, voxels) * self.space.node_channels(self.width, cell) for cell in self.space.placed)
        stems = sum(voxels[stem.level] * stem.width for stem in self.space.stems) * self.width
        return stems + voxels[min(self.space.levels[source] for source in self.space.head.sources)] * heads + cells

    def measured(self, rank: int) -> Reference:
        return self.reference(rank)

    def reference(self, rank: int) -> Reference:
        raise NotImplementedError

    def cell_maps(self, cell: PlacedCell, voxels: Sequence[int]) -> int:
        """Voxels of all feature maps of a cell, each a node wide; `voxels` are those of each level."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class DerivedNetwork(_Searched):
    """The network of a genotype, or without one of a genotype that has a convolution on every edge, which is the largest.

    With `path_dropout` it is built so that training can leave out edges (`networks.path_dropout`).
    """

    space: SearchSpace
    width: int
    genotype: Genotype | None = None
    path_dropout: bool = False
    name = "genotype"
    largest_batch = 8  # the paper's

    @property
    def several_outputs(self) -> bool:
        return bool(self.space.head.auxiliary)

    @functools.cached_property
    def _read(self) -> dict[int, tuple[int, ...]]:
        """Number of each cell that is built -> its inputs that are read."""
        if self.genotype is None:
            return {cell.number: tuple(range(len(cell.inputs))) for cell in self.space.placed}
        return built_cells(self.genotype)

    def cell_maps(self, cell, voxels):
        if cell.number not in self._read:
            return 0
        operations = [edge.operation for edge in self.genotype.cells[cell.kind]] if self.genotype else [None] * len(cell.edges)
        kept = [(edge, name) for edge, name in zip(cell.edges, operations) if self.genotype is None or name is not None]
        inputs = sum(voxels[cell.inputs[i].level] * len(cell.inputs[i].alignments) for i in self._read[cell.number])
        maps = {self._map(edge, name) for edge, name in kept} - {None}
        return inputs + len(maps) * voxels[cell.level]

    def reference(self, rank: int) -> Reference:
        return DERIVED_REFERENCE

    def build(
        self, topology: Topology, features: Sequence[int], channels: int, num_classes: int, deep_supervision: bool = False
    ) -> "keras.Model":
        from scnas_keras.networks.derived import from_genotype

        if self.genotype is None:
            raise TypeError("The network of no genotype in particular can be planned for, not built.")
        return from_genotype(
            self.genotype, channels, num_classes, self.width, deep_supervision, name=self.name, path_dropout=self.path_dropout
        )

    def _map(self, edge: PlacedEdge, name: str | None) -> tuple | None:
        """What edges have in common that share a feature map: a pool or a strided identity of the same node. None for no map."""
        if name is None or operation(name).learns:
            return edge.source, edge.target
        return None if operation(name).is_identity and edge.role == ORDINARY else (edge.source, name)


@dataclasses.dataclass(frozen=True)
class SupernetNetwork(_Searched):
    """A supernet that draws `drawn` operations an edge (None: all) and keeps what they convolve, or with `low_memory` computes it again."""

    space: SearchSpace
    width: int
    drawn: int | None = 2
    low_memory: bool = False
    name = "supernet"
    largest_batch = 4  # the paper's, over four GPUs

    def share_drawn(self, candidates: int) -> float:
        """Of an edge's candidates, the share that a draw runs."""
        return 1.0 if self.drawn is None else self.drawn / candidates

    def cell_maps(self, cell, voxels):
        inputs = sum(voxels[own.level] * len(own.alignments) for own in cell.inputs)
        kept = 0 if self.low_memory else sum(self.drawn or len(edge.candidates) for edge in cell.edges)
        return inputs + (kept + len(cell.edges) + 2 * len(cell.nodes)) * voxels[cell.level]

    def reference(self, rank: int) -> Reference:
        fixed = SUPERNET_FIXED + SUPERNET_WEIGHTS * (self.width / 48) ** 2
        return Reference(1e9, 1, fixed + SUPERNET_BYTES[self.low_memory] * 1e9 / 2**30, fixed_gigabytes=fixed, is_limit=True)
