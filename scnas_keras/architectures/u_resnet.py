"""The SCNAS paper's hand-made baseline."""

import keras
from keras import layers

from scnas_keras.architectures.handmade import HALVINGS
from scnas_keras.networks import blocks
from scnas_keras.networks.heads import with_outputs


def u_resnet(channels: int, num_classes: int, width: int = 32, rank: int = 3, name: str = "u_resnet") -> keras.Model:
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
    image = keras.Input((*[None] * rank, channels), name="image")
    x, halved, skips = blocks.conv(image, width, 3, "stem"), [], []
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
        x = layers.Add(name=f"{here}_skip")([up, skip])
        x = _block(x, x, width * 2**level, 1, here)
        logits = blocks.logits(_activated(x, f"{here}_map"), num_classes, f"{here}_logits")
        if maps is not None:
            logits = layers.Add(name=f"{here}_maps", dtype="float32")([logits, blocks.repeat(maps, f"{here}_repeat", dtype="float32")])
        maps = logits
    return with_outputs(image, [maps], name)


def _block(x, shortcut, width: int, strides: int, name: str):
    y = blocks.conv(_activated(x, f"{name}_0"), width, 3, f"{name}_conv_0", strides)
    y = blocks.conv(_activated(y, f"{name}_1"), width, 3, f"{name}_conv_1")
    if shortcut.shape[-1] != width:
        shortcut = blocks.conv(shortcut, width, 1, f"{name}_projection")
    return layers.Add(name=f"{name}_sum")([y, shortcut])


def _activated(x, name: str):
    return blocks.activate(blocks.norm(x, f"{name}_norm"), f"{name}_activation")


def _gate(skip, halved, gating, name: str):
    """The skip times an attention coefficient a voxel, from the halved skip and the next coarser features (Oktay et al., equations 1 and 2)."""
    width = skip.shape[-1] // 2
    x = blocks.conv(halved, width, 1, f"{name}_skip")
    g = blocks.conv(gating, width, 1, f"{name}_gating", bias=True)
    x = layers.ReLU(name=f"{name}_activation")(layers.Add(name=f"{name}_sum")([x, g]))
    x = layers.Activation("sigmoid", name=f"{name}_coefficients")(blocks.conv(x, 1, 1, f"{name}_psi", bias=True))
    return layers.Multiply(name=name)([skip, blocks.repeat(x, f"{name}_repeat")])
