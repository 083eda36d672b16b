"""The nested U-Net."""

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from scnas_keras.planning.footprints import FixedStages, Reference
from scnas_keras.planning.topology import Topology

if TYPE_CHECKING:
    import keras

HALVINGS = 4
REFERENCE = Reference(440e6, 1, 10, fixed_gigabytes=1.4, is_limit=True)
"""Measured on a CPU in float32: 21 bytes an element, since what is concatenated stays as well (128^2 and 256^2, batches of 4)."""


@dataclasses.dataclass(frozen=True)
class UNetPlusPlus(FixedStages):
    """UNet++ of Zhou et al., in 2D and 3D; `width` channels at full resolution."""

    width: int = 32
    name: ClassVar = "unet_plus_plus"
    ranks: ClassVar = (2, 3)
    halvings: ClassVar = HALVINGS
    several_outputs: ClassVar = True
    memory: ClassVar = REFERENCE

    def elements(self, topology: Topology, channels: int, heads: int) -> int:
        maps = self.maps(topology)
        return sum(2 * (HALVINGS + 1 - level) * size for level, size in enumerate(maps)) + heads * math.prod(topology.patch_size)

    def build(
        self, topology: Topology, features: Sequence[int], channels: int, num_classes: int, deep_supervision: bool = False
    ) -> "keras.Model":
        return unet_plus_plus(channels, num_classes, self.width, len(topology.patch_size), deep_supervision, self.name)


DECLARED = (UNetPlusPlus(),)


def unet_plus_plus(
    channels: int, num_classes: int, width: int = 32, rank: int = 2, deep_supervision: bool = False, name: str = "unet_plus_plus"
) -> "keras.Model":
    """U-Net whose skips pass through nested U-Nets: every level has as many nodes as levels below lead up to it.

    A node is two 3-wide convolutions of all nodes before it at its level, and of the node below, brought up by linear interpolation. With
    width 32 this is the network of 9.16 M parameters and 35.00 G multiply-adds in Zhang et al. 2022 (here 34.5 G). Instance normalisation
    is in the place of batch normalisation. Maps images [batch, *space, channels], every spatial axis divisible by 16, to logits
    [batch, *space, num_classes].

    Args:
        channels: image channels.
        num_classes: classes, background included.
        width: channels at full resolution.
        rank: spatial axes, 2 or 3.
        deep_supervision: also give the logits of the smaller nested U-Nets, all at full resolution, as a list, largest U-Net first.
        name: the model's name.

    Reference:
        Zhou et al., UNet++, DLMIA 2018, arXiv 1807.10165.
    """
    from scnas_keras.networks import blocks, heads

    image, x = blocks.image(rank, channels)
    nodes = []  # of each level, in the order in which they are reached
    for level in range(HALVINGS + 1):
        x = blocks.two_convs(blocks.max_pool(x, f"encoder_{level - 1}_pool") if level else x, width * 2**level, f"node_{level}_0")
        nodes.append([x])
    for column in range(1, HALVINGS + 1):
        for level in range(HALVINGS + 1 - column):
            here = f"node_{level}_{column}"
            up = blocks.doubled(nodes[level + 1][column - 1], f"{here}_up")
            nodes[level].append(blocks.two_convs(blocks.concatenate([*nodes[level], up], f"{here}_concat"), width * 2**level, here))
    return heads.finish(image, nodes[0][:0:-1], num_classes, deep_supervision, name, drop_last=False)
