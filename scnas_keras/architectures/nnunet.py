"""nnU-Net's two networks, plain and with a residual encoder, from the stages of a plan."""

from collections.abc import Sequence

import keras
from keras import layers

from scnas_keras.networks import blocks
from scnas_keras.networks.heads import finish
from scnas_keras.planning.footprints import ResidualEncoderUNet
from scnas_keras.planning.topology import Topology


def plain_unet(
    topology: Topology, features: Sequence[int], channels: int, num_classes: int, deep_supervision: bool = False, name: str = "nnunet"
) -> keras.Model:
    """nnU-Net's plain U-Net: two convolutions a stage on either side.

    Convolution - InstanceNorm - LeakyReLU throughout; a stage's first convolution has its stride, transposed convolutions
    lead back up, skips are concatenated. Maps images [batch, *space, channels] to logits [batch, *space, num_classes]; each
    axis must be divisible by the product of its strides. nnU-Net's convolutions have a bias, which the normalisation behind
    them takes away; here they have none.

    Args:
        topology: strides and kernel sizes of each stage; its patch doesn't matter.
        features: channels of each stage, finest first.
        channels: image channels.
        num_classes: classes, background included.
        deep_supervision: also give the logits of the coarser decoder stages but the coarsest, as a list, finest first.
        name: the model's name.

    Reference:
        Isensee et al., nnU-Net, Nature Methods 2021; PlainConvUNet of its version 2.
    """
    image = keras.Input((*[None] * len(topology.patch_size), channels), name="image")
    x, skips = image, []
    for stage, (width, strides, kernel) in enumerate(zip(features, topology.strides, topology.kernel_sizes)):
        x = blocks.conv_norm_activate(x, width, kernel, f"encoder_{stage}_conv_0", strides)
        x = blocks.conv_norm_activate(x, width, kernel, f"encoder_{stage}_conv_1")
        skips.append(x)
    return finish(image, _decode(skips, topology, convolutions=2), num_classes, deep_supervision, name)


def residual_encoder_unet(
    topology: Topology, features: Sequence[int], channels: int, num_classes: int, deep_supervision: bool = False, name: str = "resenc"
) -> keras.Model:
    """nnU-Net's U-Net with a residual encoder (its presets M, L and XL): more blocks the deeper the stage, one convolution a decoder stage.

    A block is Conv - InstanceNorm - LeakyReLU - Conv - InstanceNorm, the sum with its input, LeakyReLU. Where it halves, its
    input is averaged, and where it widens, projected by a pointwise convolution with normalisation. Arguments and result are
    those of `plain_unet`.

    Reference:
        Isensee et al., nnU-Net Revisited, MICCAI 2024; ResidualEncoderUNet of nnU-Net's version 2.
    """
    image = keras.Input((*[None] * len(topology.patch_size), channels), name="image")
    x, skips = blocks.conv_norm_activate(image, features[0], topology.kernel_sizes[0], "stem"), []
    for stage, (width, strides, kernel) in enumerate(zip(features, topology.strides, topology.kernel_sizes)):
        for number in range(ResidualEncoderUNet.blocks_of(stage)):
            x = _residual_block(x, width, kernel, strides if number == 0 else 1, f"encoder_{stage}_block_{number}")
        skips.append(x)
    return finish(image, _decode(skips, topology, convolutions=1), num_classes, deep_supervision, name)


def _residual_block(x, width: int, kernel: Sequence[int], strides: int | Sequence[int], name: str):
    y = blocks.conv_norm_activate(x, width, kernel, f"{name}_conv_0", strides)
    y = blocks.norm(blocks.conv(y, width, kernel, f"{name}_conv_1"), f"{name}_conv_1_norm")
    if strides != 1 and max(strides) > 1:
        x = blocks.average_pool(x, strides, f"{name}_pool")
    if x.shape[-1] != width:
        x = blocks.norm(blocks.conv(x, width, 1, f"{name}_projection"), f"{name}_projection_norm")
    return blocks.activate(layers.Add(name=f"{name}_sum")([y, x]), f"{name}_activation")


def _decode(skips: list, topology: Topology, convolutions: int) -> list:
    """Features of each decoder stage, finest first."""
    x, stages = skips[-1], []
    for stage in reversed(range(len(skips) - 1)):
        width = skips[stage].shape[-1]
        x = blocks.upconv(x, width, topology.strides[stage + 1], f"decoder_{stage}_up")
        x = layers.Concatenate(name=f"decoder_{stage}_concat")([x, skips[stage]])
        for number in range(convolutions):
            x = blocks.conv_norm_activate(x, width, topology.kernel_sizes[stage], f"decoder_{stage}_conv_{number}")
        stages.insert(0, x)
    return stages or [x]
