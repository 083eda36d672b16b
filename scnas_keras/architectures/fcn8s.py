"""The fully convolutional network over VGG-16."""

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from scnas_keras.planning.footprints import FixedStages
from scnas_keras.planning.topology import Topology

if TYPE_CHECKING:
    import keras

HALVINGS = 5
CONVOLUTIONS = (2, 2, 3, 3, 3)
"""Of VGG-16, before each max pool."""


@dataclasses.dataclass(frozen=True)
class FCN8s(FixedStages):
    """FCN-8s of Long et al. over VGG-16's convolutions, in 2D and 3D; `width` channels at full resolution."""

    width: int = 64
    name: ClassVar = "fcn8s"
    ranks: ClassVar = (2, 3)
    halvings: ClassVar = HALVINGS
    several_outputs: ClassVar = False

    def features(self, topology: Topology) -> tuple[int, ...]:
        return tuple(self.width * min(2**level, 8) for level in range(HALVINGS + 1))

    def elements(self, topology: Topology, channels: int, heads: int) -> int:
        voxels, features = [math.prod(size) for size in topology.stage_sizes()], self.features(topology)
        encoder = sum(count * width * size for count, width, size in zip(CONVOLUTIONS, features, voxels))
        return encoder + sum(width * size for width, size in zip(_decoder(self.width), voxels)) + heads * voxels[0]

    def build(
        self, topology: Topology, features: Sequence[int], channels: int, num_classes: int, deep_supervision: bool = False
    ) -> "keras.Model":
        return fcn8s(channels, num_classes, self.width, len(topology.patch_size), self.name)


DECLARED = (FCN8s(),)


def fcn8s(channels: int, num_classes: int, width: int = 64, rank: int = 2, name: str = "fcn8s") -> "keras.Model":
    """VGG-16's convolutions, five 3-wide transposed ones that lead back up, and the sums with the features at an eighth and a sixteenth.

    VGG-16's dense layers are left out, and nothing is trained before: with width 64 this is the network of 18.64 M parameters and 25.50 G
    multiply-adds in Zhang et al. 2022 (25.5 G too, with transposed convolutions counted at their outputs). Each convolution has an instance
    normalisation: without downloaded weights VGG-16 doesn't learn without one. Maps images [batch, *space, channels], every spatial axis
    divisible by 32, to logits [batch, *space, num_classes].

    Args:
        channels: image channels.
        num_classes: classes, background included.
        width: channels at full resolution.
        rank: spatial axes, 2 or 3.
        name: the model's name.

    Reference:
        Long et al., Fully Convolutional Networks, CVPR 2015, arXiv 1411.4038; Simonyan and Zisserman, VGG, arXiv 1409.1556.
    """
    from scnas_keras.networks import blocks, heads

    image, x = blocks.image(rank, channels)
    pooled = []
    for level, count in enumerate(CONVOLUTIONS):
        for number in range(count):
            x = blocks.conv_norm_activate(x, width * min(2**level, 8), 3, f"encoder_{level}_conv_{number}")
        x = blocks.max_pool(x, f"encoder_{level}_pool")
        pooled.append(x)
    for level, features in reversed(list(enumerate(_decoder(width)))):
        here = f"decoder_{level}"
        x = blocks.norm_activate(blocks.upconv(x, features, 2, f"{here}_up", bias=False, kernel_size=3), here)
        if level >= HALVINGS - 2:
            x = blocks.add([x, pooled[level - 1]], f"{here}_sum")
    return heads.finish(image, [x], num_classes, False, name)


def _decoder(width: int) -> tuple[int, ...]:
    """Channels of the transposed convolutions, finest first: 32, 64, 128, 256, 512 for a width of 64."""
    return tuple(width * 2**level // 2 for level in range(HALVINGS))
