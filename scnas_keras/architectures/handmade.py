"""Footprints of the hand-made networks whose stages don't follow from a plan: they halve all axes three times."""

import dataclasses
import math
from collections.abc import Sequence
from typing import ClassVar

from scnas_keras.planning.footprints import HANDMADE_REFERENCE, Reference
from scnas_keras.planning.topology import Topology, fixed_topology

HALVINGS = 3


class _FixedStages:
    width: int
    ranks: ClassVar = (2, 3)
    smallest_batch: ClassVar = 1
    largest_batch: ClassVar = 8  # the SCNAS paper's
    dataset_share: ClassVar = 0.05
    stages_of_plan: ClassVar = False

    def topology(self, spacing: Sequence[float], patch_size: Sequence[int]) -> Topology:
        return fixed_topology(patch_size, HALVINGS)

    def reference(self, rank: int) -> Reference:
        return HANDMADE_REFERENCE

    def measured(self, rank: int) -> Reference:
        return HANDMADE_REFERENCE


@dataclasses.dataclass(frozen=True)
class UResNet(_FixedStages):
    """The SCNAS paper's 3D U-ResNet (`architectures.u_resnet`); `width` channels at full resolution."""

    width: int = 32
    name: ClassVar = "u_resnet"

    def features(self, topology: Topology) -> tuple[int, ...]:
        return tuple(self.width * 2**level for level in range(HALVINGS + 1))

    def elements(self, topology: Topology, channels: int, heads: int) -> int:
        voxels = [math.prod(size) for size in topology.stage_sizes()]
        maps = [width * count for width, count in zip(self.features(topology), voxels)]
        encoder = maps[0] + 2 * maps[0] + 3 * sum(maps[1:])  # the stem; blocks, whose projections are a third
        gates = sum(2 * (width // 2) * count + count for width, count in zip(self.features(topology), voxels[1:]))
        gates += sum(width * count for width, count in zip(self.features(topology), voxels[1:]))  # the halved skips
        return encoder + 3 * sum(maps[:-1]) + gates + heads * sum(voxels[:-1])


@dataclasses.dataclass(frozen=True)
class UNet(_FixedStages):
    """The 3D U-Net of Çiçek et al. (`architectures.unet`); `width` channels after its first convolution."""

    width: int = 32
    name: ClassVar = "unet"

    def features(self, topology: Topology) -> tuple[int, ...]:
        return tuple(self.width * 2 ** (level + 1) for level in range(HALVINGS + 1))

    def elements(self, topology: Topology, channels: int, heads: int) -> int:
        voxels, features = [math.prod(size) for size in topology.stage_sizes()], self.features(topology)
        encoder = sum(width // 2 * count + width * count for width, count in zip(features, voxels))
        decoder = sum((2 * features[level] + features[level + 1]) * voxels[level] for level in range(HALVINGS))
        return encoder + decoder + heads * voxels[0]
