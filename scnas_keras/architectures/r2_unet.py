"""The recurrent residual U-Net."""

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from scnas_keras.planning.footprints import FixedStages
from scnas_keras.planning.topology import Topology

if TYPE_CHECKING:
    import keras

HALVINGS = 4
RECURRENCES = 2
"""How often a convolution is applied again (t)."""
_BLOCK = 1 + 2 * (1 + RECURRENCES)  # applications of convolutions in a block


@dataclasses.dataclass(frozen=True)
class R2UNet(FixedStages):
    """R2U-Net of Alom et al., in 2D and 3D; `width` channels at full resolution."""

    width: int = 64
    name: ClassVar = "r2_unet"
    ranks: ClassVar = (2, 3)
    halvings: ClassVar = HALVINGS
    several_outputs: ClassVar = False

    def elements(self, topology: Topology, channels: int, heads: int) -> int:
        maps = self.maps(topology)
        return _BLOCK * sum(maps) + (_BLOCK + 1) * sum(maps[:-1]) + heads * math.prod(topology.patch_size)

    def build(
        self, topology: Topology, features: Sequence[int], channels: int, num_classes: int, deep_supervision: bool = False
    ) -> "keras.Model":
        return r2_unet(channels, num_classes, self.width, len(topology.patch_size), self.name)


DECLARED = (R2UNet(),)


def r2_unet(channels: int, num_classes: int, width: int = 64, rank: int = 2, name: str = "r2_unet") -> "keras.Model":
    """U-Net of recurrent residual blocks.

    A block is a pointwise convolution, and the sum of its output with that of two recurrent convolutions in a row (3-wide, applied three
    times with the same weights). Up by repetition and a 3-wide convolution, skips are concatenated. With width 64 this is the network of
    39.09 M parameters and 153.18 G multiply-adds in Zhang et al. 2022 (here 39.08 M and 152.5 G). Instance normalisation is in the place of
    batch normalisation. Maps images [batch, *space, channels], every spatial axis divisible by 16, to logits [batch, *space, num_classes].

    Args:
        channels: image channels.
        num_classes: classes, background included.
        width: channels at full resolution.
        rank: spatial axes, 2 or 3.
        name: the model's name.

    Reference:
        Alom et al., R2U-Net, arXiv 1802.06955.
    """
    from scnas_keras.networks import blocks, heads

    image, x = blocks.image(rank, channels)
    x, skips = blocks.encode(x, HALVINGS, lambda x, level: _block(x, width * 2**level, f"encoder_{level}"))
    for level in reversed(range(HALVINGS)):
        here = f"decoder_{level}"
        up = blocks.repeat_conv(x, width * 2**level, here)
        x = _block(blocks.concatenate([skips[level], up], f"{here}_concat"), width * 2**level, here)
    return heads.finish(image, [x], num_classes, False, name)


def _block(x, width: int, name: str):
    from scnas_keras.networks import blocks
    from scnas_keras.networks.parts import RecurrentConv

    x = y = blocks.conv(x, width, 1, f"{name}_projection", bias=True)
    for number in range(2):
        y = RecurrentConv(RECURRENCES, name=f"{name}_recurrent_{number}")(y)
    return blocks.add([x, y], f"{name}_sum")
