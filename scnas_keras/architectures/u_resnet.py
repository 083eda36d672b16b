"""The SCNAS paper's hand-made baseline."""

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
class UResNet(FixedStages):
    """The SCNAS paper's 3D U-ResNet, whose levels are added up to one output; `width` channels at full resolution."""

    width: int = 32
    name: ClassVar = "u_resnet"
    ranks: ClassVar = (2, 3)
    halvings: ClassVar = HALVINGS
    several_outputs: ClassVar = False

    def elements(self, topology: Topology, channels: int, heads: int) -> int:
        voxels = [math.prod(size) for size in topology.stage_sizes()]
        maps = self.maps(topology)
        encoder = maps[0] + 2 * maps[0] + 3 * sum(maps[1:])  # the stem; blocks, whose projections are a third
        gates = sum(2 * (width // 2) * count + count for width, count in zip(self.features(topology), voxels[1:]))
        gates += sum(width * count for width, count in zip(self.features(topology), voxels[1:]))  # the halved skips
        return encoder + 3 * sum(maps[:-1]) + gates + heads * sum(voxels[:-1])

    def build(
        self, topology: Topology, features: Sequence[int], channels: int, num_classes: int, deep_supervision: bool = False
    ) -> "keras.Model":
        return u_resnet(channels, num_classes, self.width, len(topology.patch_size), self.name)


DECLARED = (UResNet(),)


def u_resnet(channels: int, num_classes: int, width: int = 32, rank: int = 3, name: str = "u_resnet") -> "keras.Model":
    """3D U-ResNet, the baseline of SCNAS (section 3): a U-Net of residual blocks with attention gates and summed segmentation maps.

    The paper gives three halvings, channels that double, 32 of them at full resolution, 419.59 G multiply-adds for a patch of 128^3
    with four channels, and the sources of its parts; the rest is read so that the cost agrees (here 412 G):
    - a block is twice InstanceNorm - LeakyReLU - 3-wide convolution, plus its input; the first convolution of a level halves and
      widens, and its input is then projected by a pointwise convolution;
    - a transposed convolution leads up, and the skip, weighted by an attention gate, is added;
    - every decoder level has its map of logits; coarser ones are repeated to the finer grid and added to the finer.

    Maps images [batch, *space, channels], every spatial axis divisible by 8, to logits [batch, *space, num_classes].

    Args:
        channels: image channels.
        num_classes: classes, background included.
        width: channels at full resolution.
        rank: spatial axes, 2 or 3.
        name: the model's name.

    Reference:
        Kim et al., arXiv 1906.05956; residual blocks and added skips: Yu et al., AAAI 2017; maps: Kayalibay et al., arXiv 1701.03056;
        attention gates: Oktay et al., arXiv 1804.03999.
    """
    from scnas_keras.networks import blocks, heads

    image, x = blocks.image(rank, channels)
    x, halved, skips = blocks.conv(x, width, 3, "stem"), [], []
    for level in range(HALVINGS + 1):
        if level:
            halved.append(blocks.halve(x, f"encoder_{level}_halved"))
        x = _block(x, halved[-1] if level else x, width * 2**level, 2 if level else 1, f"encoder_{level}")
        skips.append(x)
    maps = None
    for level in reversed(range(HALVINGS)):
        here = f"decoder_{level}"
        up = blocks.upconv(x, width * 2**level, 2, f"{here}_up", bias=False)
        skip = _gate(skips[level], halved[level], x, f"{here}_gate")
        x = blocks.add([up, skip], f"{here}_skip")
        x = _block(x, x, width * 2**level, 1, here)
        logits = blocks.logits(blocks.norm_activate(x, f"{here}_map"), num_classes, f"{here}_logits")
        if maps is not None:
            logits = blocks.add([logits, blocks.repeat(maps, f"{here}_repeat", dtype="float32")], f"{here}_maps", dtype="float32")
        maps = logits
    return heads.with_outputs(image, [maps], name)


def _block(x, shortcut, width: int, strides: int, name: str):
    from scnas_keras.networks import blocks

    y = blocks.conv(blocks.norm_activate(x, f"{name}_0"), width, 3, f"{name}_conv_0", strides)
    y = blocks.conv(blocks.norm_activate(y, f"{name}_1"), width, 3, f"{name}_conv_1")
    if shortcut.shape[-1] != width:
        shortcut = blocks.conv(shortcut, width, 1, f"{name}_projection")
    return blocks.add([y, shortcut], f"{name}_sum")


def _gate(skip, halved, gating, name: str):
    """The skip times an attention coefficient a voxel, from the halved skip and the next coarser features (Oktay et al., eq. 1 and 2)."""
    from keras import layers

    from scnas_keras.networks import blocks

    width = skip.shape[-1] // 2
    x = blocks.conv(halved, width, 1, f"{name}_skip")
    g = blocks.conv(gating, width, 1, f"{name}_gating", bias=True)
    x = layers.ReLU(name=f"{name}_activation")(blocks.add([x, g], f"{name}_sum"))
    x = layers.Activation("sigmoid", name=f"{name}_coefficients")(blocks.conv(x, 1, 1, f"{name}_psi", bias=True))
    return layers.Multiply(name=name)([skip, blocks.repeat(x, f"{name}_repeat")])
