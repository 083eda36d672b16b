"""nnU-Net's plain U-Net, and what its networks have in common: stages of a plan, and a decoder."""

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from scnas_keras.planning.footprints import HANDMADE_REFERENCE, Reference
from scnas_keras.planning.topology import Topology, unet_topology

if TYPE_CHECKING:
    import keras


CONVOLUTIONS = 2
"""Of each stage of the plain U-Net."""


class StagesOfPlan:
    """Base of nnU-Net's networks: encoder stages, decoder stages with a transposed convolution each, no deep supervision in the count."""

    width: int
    ranks: ClassVar = (2, 3)
    several_outputs: ClassVar = True
    smallest_batch: ClassVar = 2
    largest_batch: ClassVar = None
    decoder_convolutions: ClassVar[int]
    stages_of_plan: ClassVar = True

    def topology(self, spacing: Sequence[float], patch_size: Sequence[float]) -> Topology:
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

    def blocks(self, topology: Topology) -> tuple[int, ...]:
        """Of the encoder's stages: convolutions, or residual blocks."""
        return topology.blocks or tuple(self.usual_blocks(stage) for stage in range(len(topology.strides)))

    def usual_blocks(self, stage: int) -> int:
        """Where a plan doesn't say otherwise."""
        raise NotImplementedError

    def encoder_elements(self, maps: list[int], topology: Topology) -> int:
        """Elements of the encoder; `maps` are those of one convolution's output at each stage."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class NNUNet(StagesOfPlan):
    """nnU-Net's plain U-Net; two convolutions a stage on either side (`ExperimentPlanner`), or as many in the encoder as a plan says."""

    width: int = 32
    name: ClassVar = "nnunet"
    dataset_share: ClassVar = 0.05
    decoder_convolutions: ClassVar = CONVOLUTIONS

    def usual_blocks(self, stage: int) -> int:
        return CONVOLUTIONS

    def encoder_elements(self, maps, topology):
        return sum(count * size for count, size in zip(self.blocks(topology), maps))

    def reference(self, rank: int) -> Reference:
        # A patch may be as large as a batch of two allows.
        return Reference(85e6, 12, 8, largest_patch=6) if rank == 2 else Reference(560e6, 2, 8)

    def build(
        self, topology: Topology, features: Sequence[int], channels: int, num_classes: int, deep_supervision: bool = False
    ) -> "keras.Model":
        return plain_unet(topology, features, channels, num_classes, deep_supervision, self.name)


DECLARED = (NNUNet(),)


def plain_unet(
    topology: Topology, features: Sequence[int], channels: int, num_classes: int, deep_supervision: bool = False, name: str = "nnunet"
) -> "keras.Model":
    """nnU-Net's plain U-Net: two convolutions a stage on either side.

    Convolution - InstanceNorm - LeakyReLU throughout; a stage's first convolution has its stride, transposed convolutions
    lead back up, skips are concatenated. Maps images [batch, *space, channels] to logits [batch, *space, num_classes]; each
    axis must be divisible by the product of its strides. nnU-Net's convolutions have a bias, which the normalisation behind
    them takes away; here they have none.

    Args:
        topology: strides, kernel sizes and convolutions of each stage; its patch doesn't matter.
        features: channels of each stage, finest first.
        channels: image channels.
        num_classes: classes, background included.
        deep_supervision: also give the logits of the coarser decoder stages but the coarsest, as a list, finest first.
        name: the model's name.

    Reference:
        Isensee et al., nnU-Net, Nature Methods 2021; PlainConvUNet of its version 2.
    """
    from scnas_keras.networks import blocks, heads

    image, x = blocks.image(len(topology.patch_size), channels)
    skips = []
    counts = NNUNet().blocks(topology)
    for stage, (width, strides, kernel) in enumerate(zip(features, topology.strides, topology.kernel_sizes)):
        for number in range(counts[stage]):
            x = blocks.conv_norm_activate(x, width, kernel, f"encoder_{stage}_conv_{number}", strides if number == 0 else 1)
        skips.append(x)
    return heads.finish(image, decode(skips, topology, CONVOLUTIONS), num_classes, deep_supervision, name)


def decode(skips: list, topology: Topology, convolutions: int) -> list:
    """Features of each decoder stage, finest first, from those of the encoder stages."""
    from scnas_keras.networks import blocks

    x, stages = skips[-1], []
    for stage in reversed(range(len(skips) - 1)):
        width = skips[stage].shape[-1]
        x = blocks.upconv(x, width, topology.strides[stage + 1], f"decoder_{stage}_up")
        x = blocks.concatenate([x, skips[stage]], f"decoder_{stage}_concat")
        for number in range(convolutions):
            x = blocks.conv_norm_activate(x, width, topology.kernel_sizes[stage], f"decoder_{stage}_conv_{number}")
        stages.insert(0, x)
    return stages or [x]
