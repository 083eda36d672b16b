"""Fixed networks: plain functional Keras models with dynamic spatial shape, `keras.ops` only."""

from scnas_keras.networks.build import build_network
from scnas_keras.networks.derived import from_genotype
from scnas_keras.networks.nnunet import plain_unet, residual_encoder_unet
from scnas_keras.networks.u_resnet import u_resnet
from scnas_keras.networks.unet import unet

__all__ = ["build_network", "from_genotype", "plain_unet", "residual_encoder_unet", "u_resnet", "unet"]
