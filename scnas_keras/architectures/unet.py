"""The plain 3D U-Net."""

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from scnas_keras.planning.footprints import FixedStages
from scnas_keras.planning.topology import Topology

if TYPE_CHECKING:
    import keras

HALVINGS = 3


@dataclasses.dataclass(frozen=True)
class UNet(FixedStages):
    """The 3D U-Net of Çiçek et al.; `width` channels after its first convolution."""

    width: int = 32
    name: ClassVar = "unet"
    ranks: ClassVar = (2, 3)
    halvings: ClassVar = HALVINGS
    several_outputs: ClassVar = True

    def features(self, topology: Topology) -> tuple[int, ...]:
        return tuple(self.width * 2 ** (level + 1) for level in range(HALVINGS + 1))

    def elements(self, topology: Topology, channels: int, heads: int) -> int:
        voxels, features = [math.prod(size) for size in topology.stage_sizes()], self.features(topology)
        encoder = sum(width // 2 * count + width * count for width, count in zip(features, voxels))
        decoder = sum((2 * features[level] + features[level + 1]) * voxels[level] for level in range(HALVINGS))
        return encoder + decoder + heads * voxels[0]

    def build(
        self, topology: Topology, features: Sequence[int], channels: int, num_classes: int, deep_supervision: bool = False
    ) -> "keras.Model":
        return unet(channels, num_classes, self.width, len(topology.patch_size), deep_supervision, self.name)


DECLARED = (UNet(),)


def unet(
    channels: int, num_classes: int, width: int = 32, rank: int = 3, deep_supervision: bool = False, name: str = "unet"
) -> "keras.Model":
    """3D U-Net: two 3-wide convolutions a level, the second twice as wide as the first on the way down, max pooling.

    As published, but for instance normalisation in the place of batch normalisation, which batches of one or two don't bear, and
    for "same" padding. Maps images [batch, *space, channels], every spatial axis divisible by 8, to logits
    [batch, *space, num_classes].

    Args:
        channels: image channels.
        num_classes: classes, background included.
        width: channels of the first convolution; the features at full resolution are twice as wide.
        rank: spatial axes, 2 or 3.
        deep_supervision: also give the logits of the coarser decoder levels but the coarsest, as a list, finest first.
        name: the model's name.

    Reference:
        Çiçek et al., 3D U-Net, MICCAI 2016, arXiv 1606.06650.
    """
    from scnas_keras.networks import blocks, heads

    image, x = blocks.image(rank, channels)

    def block(x, level: int):
        x = blocks.conv_norm_activate(x, width * 2**level, 3, f"encoder_{level}_conv_0")
        return blocks.conv_norm_activate(x, width * 2 ** (level + 1), 3, f"encoder_{level}_conv_1")

    x, skips = blocks.encode(x, HALVINGS, block)
    levels = []
    for level in reversed(range(HALVINGS)):
        up = blocks.upconv(x, width * 2 ** (level + 2), 2, f"decoder_{level}_up")
        x = blocks.concatenate([up, skips[level]], f"decoder_{level}_concat")
        x = blocks.two_convs(x, width * 2 ** (level + 1), f"decoder_{level}")
        levels.insert(0, x)
    return heads.finish(image, levels, num_classes, deep_supervision, name)
