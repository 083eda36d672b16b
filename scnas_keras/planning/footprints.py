"""What a network keeps in memory while it trains on a patch, so that one planner sizes patch and batch for all of them.

A footprint knows the elements (numbers) of the feature maps of one patch, counted as nnU-Net does: the outputs of the
convolutions. A `Reference` says how many of them train in how much memory.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import ClassVar, Protocol

from scnas_keras.planning.topology import Topology, fixed_topology


@dataclasses.dataclass(frozen=True)
class Reference:
    """`batch` patches of `elements` each train in `gigabytes`.

    Attributes:
        elements: of one patch.
        batch: patches a step.
        gigabytes: memory that this takes, of which `fixed_gigabytes` without any patch.
        largest_patch: how many times `elements` a patch may have, at a smaller batch.
        is_limit: whether `gigabytes` were measured, so that no batch may take more; else batches are rounded as nnU-Net
            does, to the nearest number.
    """

    elements: float
    batch: int
    gigabytes: float
    fixed_gigabytes: float = 0.0
    largest_patch: float = 1.0
    is_limit: bool = False

    def batch_size(self, elements: float, gigabytes: float) -> int:
        """How many patches of `elements` train in `gigabytes`; may be 0 or less."""
        patches = self.elements_for(gigabytes) / elements * self.batch
        return math.floor(patches) if self.is_limit else round(patches)

    def gigabytes_for(self, elements: float, batch: int) -> float:
        """Memory in which `batch` patches of `elements` train."""
        share = elements / self.elements * batch / self.batch
        return self.fixed_gigabytes + share * (self.gigabytes - self.fixed_gigabytes)

    def elements_for(self, gigabytes: float) -> float:
        """Elements a patch may have for `batch` of them to train in `gigabytes`; not positive if nothing fits."""
        return self.elements * ((gigabytes - self.fixed_gigabytes) / (self.gigabytes - self.fixed_gigabytes))


HANDMADE_REFERENCE = Reference(440e6, 1, 8, fixed_gigabytes=1.4, is_limit=True)
"""Of networks of plain convolutions, measured on a CPU in float32 (tools/benchmark train)."""


class Footprint(Protocol):
    """A network as the planner sees it.

    Attributes:
        name: for plans.json.
        ranks: numbers of spatial axes that it can have.
        smallest_batch: patches a step at least.
        largest_batch: patches a step at most; None for no limit.
        dataset_share: share of all voxels of the dataset that a batch may hold at most; None for no limit.
        width: channels at full resolution.
        stages_of_plan: whether it is built from a plan's strides, kernels and features, or has stages of its own.
    """

    @property
    def name(self) -> str: ...

    @property
    def ranks(self) -> tuple[int, ...]: ...

    @property
    def smallest_batch(self) -> int: ...

    @property
    def largest_batch(self) -> int | None: ...

    @property
    def dataset_share(self) -> float | None: ...

    @property
    def width(self) -> int: ...

    @property
    def stages_of_plan(self) -> bool: ...

    def topology(self, spacing: Sequence[float], patch_size: Sequence[float]) -> Topology:
        """Stages for a patch, which is rounded up to what they divide."""
        ...

    def features(self, topology: Topology) -> tuple[int, ...]:
        """Channels of each stage."""
        ...

    def elements(self, topology: Topology, channels: int, heads: int) -> int:
        """Elements of the feature maps of one patch with `channels` of input and `heads` of output."""
        ...

    def reference(self, rank: int) -> Reference:
        """What patches and batches are planned by, for `rank` spatial axes."""
        ...

    def measured(self, rank: int) -> Reference:
        """What training takes here, on a CPU in float32; nnU-Net's references are those of its GPUs."""
        ...


class FixedStages:
    """Base of a network whose stages are its own: it halves all axes of a patch `halvings` times.

    A subclass declares `name`, `ranks`, `width` and `halvings`, counts `elements`, and `features` where these don't double a level; and
    `memory`, what patches and batches are planned by and what training takes, where that is other than of most.
    """

    halvings: ClassVar[int]
    width: int
    smallest_batch: ClassVar = 1
    largest_batch: ClassVar = 8  # the SCNAS paper's
    dataset_share: ClassVar = 0.05
    memory: ClassVar[Reference] = HANDMADE_REFERENCE
    stages_of_plan: ClassVar = False

    def topology(self, spacing: Sequence[float], patch_size: Sequence[float]) -> Topology:
        return fixed_topology(patch_size, self.halvings)

    def features(self, topology: Topology) -> tuple[int, ...]:
        return tuple(self.width * 2**level for level in range(self.halvings + 1))

    def maps(self, topology: Topology) -> list[int]:
        """Elements of one feature map of each stage, all its channels together."""
        return [width * math.prod(size) for width, size in zip(self.features(topology), topology.stage_sizes())]

    def reference(self, rank: int) -> Reference:
        return self.memory

    def measured(self, rank: int) -> Reference:
        return self.memory
