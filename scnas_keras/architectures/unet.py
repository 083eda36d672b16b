"""The plain 3D U-Net."""

import keras
from keras import layers

from scnas_keras.architectures.handmade import HALVINGS
from scnas_keras.networks import blocks
from scnas_keras.networks.heads import finish


def unet(
    channels: int, num_classes: int, width: int = 32, rank: int = 3, deep_supervision: bool = False, name: str = "unet"
) -> keras.Model:
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
    image = keras.Input((*[None] * rank, channels), name="image")
    x, skips = image, []
    for level in range(HALVINGS + 1):
        x = blocks.conv_norm_activate(x, width * 2**level, 3, f"encoder_{level}_conv_0")
        x = blocks.conv_norm_activate(x, width * 2 ** (level + 1), 3, f"encoder_{level}_conv_1")
        if level < HALVINGS:
            skips.append(x)
            x = blocks.max_pool(x, f"encoder_{level}_pool")
    levels = []
    for level in reversed(range(HALVINGS)):
        up = blocks.upconv(x, x.shape[-1], 2, f"decoder_{level}_up")
        x = layers.Concatenate(name=f"decoder_{level}_concat")([up, skips[level]])
        for number in range(2):
            x = blocks.conv_norm_activate(x, width * 2 ** (level + 1), 3, f"decoder_{level}_conv_{number}")
        levels.insert(0, x)
    return finish(image, levels, num_classes, deep_supervision, name)
