"""What a network keeps in memory while it trains on a patch, so that one planner sizes patch and batch for all of them.

A footprint knows the elements (numbers) of the feature maps of one patch, counted as nnU-Net does: the outputs of the
convolutions. A `Reference` says how many of them train in how much memory.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import ClassVar, Protocol

from scnas_keras.planning.topology import Topology, unet_topology


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
"""Of hand-made networks, measured on a CPU in float32 (tools/benchmark train)."""


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

    name: str
    ranks: tuple[int, ...]
    smallest_batch: int
    largest_batch: int | None
    dataset_share: float | None
    width: int
    stages_of_plan: bool

    def topology(self, spacing: Sequence[float], patch_size: Sequence[int]) -> Topology:
        """Stages for a patch, which is rounded up to what they divide."""

    def features(self, topology: Topology) -> tuple[int, ...]:
        """Channels of each stage."""

    def elements(self, topology: Topology, channels: int, heads: int) -> int:
        """Elements of the feature maps of one patch with `channels` of input and `heads` of output."""

    def reference(self, rank: int) -> Reference:
        """What patches and batches are planned by, for `rank` spatial axes."""

    def measured(self, rank: int) -> Reference:
        """What training takes here, on a CPU in float32; nnU-Net's references are those of its GPUs."""


class _NNUNet:
    """Both of nnU-Net's networks: encoder stages, decoder stages with a transposed convolution each, no deep supervision."""

    width: int
    ranks: ClassVar = (2, 3)
    smallest_batch: ClassVar = 2
    largest_batch: ClassVar = None
    decoder_convolutions: ClassVar = 1
    stages_of_plan: ClassVar = True

    def topology(self, spacing: Sequence[float], patch_size: Sequence[int]) -> Topology:
        return unet_topology(spacing, patch_size)

    def features(self, topology: Topology) -> tuple[int, ...]:
        widest = 512 if len(topology.patch_size) == 2 else 320
        return tuple(min(widest, self.width * 2**stage) for stage in range(len(topology.strides)))

    def elements(self, topology: Topology, channels: int, heads: int) -> int:
        voxels = [math.prod(size) for size in topology.stage_sizes()]
        maps = [width * count for width, count in zip(self.features(topology), voxels)]
        decoder = (self.decoder_convolutions + 1) * sum(maps[:-1])
        head = heads * voxels[0] if len(voxels) > 1 else 0  # nnU-Net counts it with the decoder, which one stage alone lacks
        return self.encoder_elements(maps, topology) + decoder + head

    def measured(self, rank: int) -> Reference:
        return HANDMADE_REFERENCE

    def encoder_elements(self, maps: list[int], topology: Topology) -> int:
        """Elements of the encoder; `maps` are those of one convolution's output at each stage."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class NNUNet(_NNUNet):
    """nnU-Net's plain U-Net, two convolutions a stage on either side (`ExperimentPlanner`)."""

    width: int = 32
    name: ClassVar = "nnunet"
    dataset_share: ClassVar = 0.05
    decoder_convolutions: ClassVar = 2

    def encoder_elements(self, maps, topology):
        return 2 * sum(maps)

    def reference(self, rank: int) -> Reference:
        # A patch may be as large as a batch of two allows.
        return Reference(85e6, 12, 8, largest_patch=6) if rank == 2 else Reference(560e6, 2, 8)


@dataclasses.dataclass(frozen=True)
class ResidualEncoderUNet(_NNUNet):
    """nnU-Net's U-Net with a residual encoder; `size` "m", "l" or "xl" names the preset (`nnUNetPlannerResEnc*`)."""

    size: str = "m"
    width: int = 32
    dataset_share: ClassVar = 1.0
    blocks: ClassVar = (1, 3, 4, 6)  # residual blocks of the first stages; all later ones have the last number

    @property
    def name(self) -> str:
        return f"resenc_{self.size}"

    @classmethod
    def blocks_of(cls, stage: int) -> int:
        """Residual blocks of an encoder stage, the same for all sizes."""
        return cls.blocks[min(stage, len(cls.blocks) - 1)]

    def encoder_elements(self, maps, topology):
        features = self.features(topology)
        total = maps[0]  # the stem
        for stage, size in enumerate(maps):
            projected = stage > 0 and (features[stage] != features[stage - 1] or max(topology.strides[stage]) > 1)
            total += size * (2 * self.blocks_of(stage) + projected)
        return total

    def reference(self, rank: int) -> Reference:
        return _RESIDUAL_REFERENCES[self.size][rank - 2]


_RESIDUAL_REFERENCES = {
    "m": (Reference(135e6, 12, 8), Reference(680e6, 2, 8)),
    "l": (Reference(380e6, 12, 24), Reference(2.1e9, 2, 24)),
    "xl": (Reference(560e6, 12, 40), Reference(3.6e9, 2, 40)),
}
