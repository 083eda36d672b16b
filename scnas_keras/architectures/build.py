"""Any network that can be trained, from what the planner knows of it."""

from collections.abc import Sequence

import keras

from scnas_keras.architectures.handmade import UNet, UResNet
from scnas_keras.architectures.nnunet import plain_unet, residual_encoder_unet
from scnas_keras.architectures.searched import DerivedNetwork
from scnas_keras.architectures.u_resnet import u_resnet
from scnas_keras.architectures.unet import unet
from scnas_keras.networks.derived import from_genotype
from scnas_keras.planning.footprints import Footprint, NNUNet, ResidualEncoderUNet
from scnas_keras.planning.topology import Topology


def build_network(
    network: Footprint, topology: Topology, features: Sequence[int], channels: int, num_classes: int, deep_supervision: bool = False
) -> keras.Model:
    """The Keras model of a footprint, with new weights: images [batch, *space, channels] to logits [batch, *space, num_classes].

    Args:
        network: which, and how wide.
        topology: stages; of nnU-Net's networks strides and kernels are taken, of the others the number of axes.
        features: channels of each stage, of nnU-Net's networks.
        channels: image channels.
        num_classes: classes, background included.
        deep_supervision: whether there are outputs at coarser levels as well (a list, finest first); `u_resnet`, which adds up its
            levels, has none.
    """
    rank, shared = len(topology.patch_size), {"channels": channels, "num_classes": num_classes, "name": network.name}
    supervised = {"deep_supervision": deep_supervision}
    match network:
        case NNUNet():
            return plain_unet(topology, features, **shared, **supervised)
        case ResidualEncoderUNet():
            return residual_encoder_unet(topology, features, **shared, **supervised)
        case UResNet():
            return u_resnet(**shared, width=network.width, rank=rank)
        case UNet():
            return unet(**shared, width=network.width, rank=rank, **supervised)
        case DerivedNetwork(genotype=genotype) if genotype is not None:
            return from_genotype(genotype, **shared, stem_channels=network.width, **supervised)
    raise TypeError(f"{network} can't be built")
