"""nnU-Net's U-Net with a residual encoder, in the sizes of its presets."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from scnas_keras.architectures.nnunet import StagesOfPlan, decode
from scnas_keras.planning.footprints import Reference
from scnas_keras.planning.topology import Topology

if TYPE_CHECKING:
    import keras

PRESETS = {
    "m": (Reference(135e6, 12, 8), Reference(680e6, 2, 8)),
    "l": (Reference(380e6, 12, 24), Reference(2.1e9, 2, 24)),
    "xl": (Reference(560e6, 12, 40), Reference(3.6e9, 2, 40)),
}
"""What patch and batch are planned by, for two and three axes (`nnUNetPlannerResEnc*`); the network is the same for all."""
BLOCKS = (1, 3, 4, 6)
"""Residual blocks of the first stages; all later ones have the last number."""


@dataclasses.dataclass(frozen=True)
class ResidualEncoderUNet(StagesOfPlan):
    """nnU-Net's U-Net with a residual encoder; `size` is one of `PRESETS`."""

    size: str = "m"
    width: int = 32
    dataset_share: ClassVar = 1.0
    decoder_convolutions: ClassVar = 1

    @property
    def name(self) -> str:
        return f"resenc_{self.size}"

    def usual_blocks(self, stage: int) -> int:
        return BLOCKS[min(stage, len(BLOCKS) - 1)]

    def encoder_elements(self, maps, topology):
        features, counts = self.features(topology), self.blocks(topology)
        total = maps[0]  # the stem
        for stage, size in enumerate(maps):
            # As nnU-Net counts: a stage that halves but is as wide as the one before only pools, and counts all the same.
            projected = stage > 0 and (features[stage] != features[stage - 1] or max(topology.strides[stage]) > 1)
            total += size * (2 * counts[stage] + projected)
        return total

    def reference(self, rank: int) -> Reference:
        return PRESETS[self.size][rank - 2]

    def build(
        self, topology: Topology, features: Sequence[int], channels: int, num_classes: int, deep_supervision: bool = False
    ) -> "keras.Model":
        return residual_encoder_unet(topology, features, channels, num_classes, deep_supervision, self.name)


DECLARED = tuple(ResidualEncoderUNet(size) for size in PRESETS)


def residual_encoder_unet(
    topology: Topology, features: Sequence[int], channels: int, num_classes: int, deep_supervision: bool = False, name: str = "resenc"
) -> "keras.Model":
    """nnU-Net's U-Net with a residual encoder (its presets M, L and XL): more blocks the deeper the stage, one convolution a decoder stage.

    A block is Conv - InstanceNorm - LeakyReLU - Conv - InstanceNorm, the sum with its input, LeakyReLU. Where it halves, its
    input is averaged, and where it widens, projected by a pointwise convolution with normalisation. Arguments and result are
    those of `plain_unet`.

    Reference:
        Isensee et al., nnU-Net Revisited, MICCAI 2024; ResidualEncoderUNet of nnU-Net's version 2.
    """
    from scnas_keras.networks import blocks, heads

    image, x = blocks.image(len(topology.patch_size), channels)
    x, skips = blocks.conv_norm_activate(x, features[0], topology.kernel_sizes[0], "stem"), []
    counts = ResidualEncoderUNet().blocks(topology)
    for stage, (width, strides, kernel) in enumerate(zip(features, topology.strides, topology.kernel_sizes)):
        for number in range(counts[stage]):
            x = _residual_block(x, width, kernel, strides if number == 0 else 1, f"encoder_{stage}_block_{number}")
        skips.append(x)
    return heads.finish(image, decode(skips, topology, convolutions=1), num_classes, deep_supervision, name)


def _residual_block(x, width: int, kernel: Sequence[int], strides: int | Sequence[int], name: str):
    from scnas_keras.networks import blocks

    y = blocks.conv_norm_activate(x, width, kernel, f"{name}_conv_0", strides)
    y = blocks.norm(blocks.conv(y, width, kernel, f"{name}_conv_1"), f"{name}_conv_1_norm")
    if not isinstance(strides, int) and max(strides) > 1:
        x = blocks.average_pool(x, strides, f"{name}_pool")
    if x.shape[-1] != width:
        x = blocks.norm(blocks.conv(x, width, 1, f"{name}_projection"), f"{name}_projection_norm")
    return blocks.activate(blocks.add([y, x], f"{name}_sum"), f"{name}_activation")
