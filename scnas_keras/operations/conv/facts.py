"""LeakyReLU - convolution - InstanceNorm (SCNAS section 3); dilated in NAS-Unet (Weng et al. 2019) and Auto-DeepLab (Liu et al. 2019)."""

import functools
import math

from scnas_keras.operations.facts import Facts, Kernels


def kernels(rank: int, channels: int, branches: int = 1, size: int = 3) -> Kernels:
    """He-normal start values; `branches` are several such operations on one input."""
    return {"kernel": ((size,) * rank + (channels, branches * channels), math.sqrt(2 / (size**rank * channels)))}


OPERATIONS = (
    Facts("conv_3", "conv 3", "conv", kernels=kernels, normalizations=(1,)),
    Facts("conv_3_rate_2", "conv 3, rate 2", "conv", {"rate": 2}, kernels, normalizations=(1,)),
    Facts("conv_5_rate_2", "conv 5, rate 2", "conv", {"rate": 2, "size": 5}, functools.partial(kernels, size=5), normalizations=(1,)),
)
