"""Ronneberger's 2D U-Net, in the size of Auto-LW-MISN's tables."""

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from scnas_keras.planning.footprints import FixedStages
from scnas_keras.planning.topology import Topology

if TYPE_CHECKING:
    import keras

HALVINGS = 4


@dataclasses.dataclass(frozen=True)
class UNet2D(FixedStages):
    """The 2D U-Net of Ronneberger et al., at half of its width; `width` channels at full resolution."""

    width: int = 32
    name: ClassVar = "unet2d"
    ranks: ClassVar = (2,)
    halvings: ClassVar = HALVINGS
    several_outputs: ClassVar = False

    def elements(self, topology: Topology, channels: int, heads: int) -> int:
        maps = self.maps(topology)
        return 2 * sum(maps) + 3 * sum(maps[:-1]) + heads * math.prod(topology.patch_size)

    def build(
        self, topology: Topology, features: Sequence[int], channels: int, num_classes: int, deep_supervision: bool = False
    ) -> "keras.Model":
        return unet2d(channels, num_classes, self.width, self.name)


DECLARED = (UNet2D(),)


def unet2d(channels: int, num_classes: int, width: int = 32, name: str = "unet2d") -> "keras.Model":
    """2D U-Net: four halvings by max pooling, two 3-wide convolutions a level, channels that double.

    Under "same" padding, with instance normalisation, and with transposed convolutions of 4 x 4 and stride 2: at width 32 this is the
    network of 9.81 M parameters and 20.17 G multiply-adds in Zhang et al. 2022 (9.85 M, and 20.1 G with transposed convolutions counted at
    their outputs). The published one has 64 channels, 2 x 2 transposed convolutions and no padding. Maps images [batch, x, y, channels],
    both sides divisible by 16, to logits [batch, x, y, num_classes].

    Args:
        channels: image channels.
        num_classes: classes, background included.
        width: channels at full resolution.
        name: the model's name.

    Reference:
        Ronneberger et al., U-Net, MICCAI 2015, arXiv 1505.04597.
    """
    from scnas_keras.networks import blocks, heads

    image, x = blocks.image(2, channels)
    x, skips = blocks.encode(x, HALVINGS, lambda x, level: blocks.two_convs(x, width * 2**level, f"encoder_{level}"))
    for level in reversed(range(HALVINGS)):
        up = blocks.upconv(x, width * 2**level, 2, f"decoder_{level}_up", kernel_size=4)
        x = blocks.two_convs(blocks.concatenate([up, skips[level]], f"decoder_{level}_concat"), width * 2**level, f"decoder_{level}")
    return heads.finish(image, [x], num_classes, False, name)
