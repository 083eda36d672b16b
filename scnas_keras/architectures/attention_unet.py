"""The U-Net with attention gates."""

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
class AttentionUNet(FixedStages):
    """The Attention U-Net of Oktay et al., in 2D and 3D; `width` channels at full resolution."""

    width: int = 64
    name: ClassVar = "attention_unet"
    ranks: ClassVar = (2, 3)
    halvings: ClassVar = HALVINGS
    several_outputs: ClassVar = True

    def elements(self, topology: Topology, channels: int, heads: int) -> int:
        voxels = [math.prod(size) for size in topology.stage_sizes()]
        maps = self.maps(topology)
        return 2 * sum(maps) + 4 * sum(maps[:-1]) + sum(voxels[:-1]) + heads * voxels[0]  # a gate: two halves and one channel

    def build(
        self, topology: Topology, features: Sequence[int], channels: int, num_classes: int, deep_supervision: bool = False
    ) -> "keras.Model":
        return attention_unet(channels, num_classes, self.width, len(topology.patch_size), deep_supervision, self.name)


DECLARED = (AttentionUNet(),)


def attention_unet(
    channels: int, num_classes: int, width: int = 64, rank: int = 2, deep_supervision: bool = False, name: str = "attention_unet"
) -> "keras.Model":
    """U-Net whose skips are weighted, voxel by voxel, by what the decoder has found one level below.

    The form that is used most (gates at the skip's own resolution; up by repetition and a 3-wide convolution), whose size is that of Zhang
    et al. 2022: 34.88 M parameters and 66.23 G multiply-adds at 256 x 256 (here 34.87 M and 66.4 G). Instance normalisation is in the place
    of batch normalisation. Maps images [batch, *space, channels], every spatial axis divisible by 16, to logits
    [batch, *space, num_classes].

    Args:
        channels: image channels.
        num_classes: classes, background included.
        width: channels at full resolution.
        rank: spatial axes, 2 or 3.
        deep_supervision: also give the logits of the coarser decoder levels but the coarsest, as a list, finest first.
        name: the model's name.

    Reference:
        Oktay et al., Attention U-Net, arXiv 1804.03999.
    """
    from scnas_keras.networks import blocks, heads

    image, x = blocks.image(rank, channels)
    x, skips = blocks.encode(x, HALVINGS, lambda x, level: blocks.two_convs(x, width * 2**level, f"encoder_{level}"))
    levels = []
    for level in reversed(range(HALVINGS)):
        here = f"decoder_{level}"
        up = blocks.repeat_conv(x, width * 2**level, here)
        x = blocks.concatenate([_gated(skips[level], up, f"{here}_gate"), up], f"{here}_concat")
        x = blocks.two_convs(x, width * 2**level, here)
        levels.insert(0, x)
    return heads.finish(image, levels, num_classes, deep_supervision, name)


def _gated(skip, gating, name: str):
    """The skip times a coefficient from 0 to 1 for each voxel (equations 1 and 2)."""
    from keras import layers

    from scnas_keras.networks import blocks

    width = skip.shape[-1] // 2
    both = [
        blocks.norm(blocks.conv(x, width, 1, f"{name}_{part}"), f"{name}_{part}_norm") for part, x in (("skip", skip), ("gating", gating))
    ]
    x = blocks.activate(blocks.add(both, f"{name}_sum"), f"{name}_activation")
    x = blocks.norm(blocks.conv(x, 1, 1, f"{name}_psi"), f"{name}_psi_norm")
    return layers.Multiply(name=name)([skip, layers.Activation("sigmoid", name=f"{name}_coefficients")(x)])
