"""LeakyReLU - 3-wide convolution - InstanceNorm (SCNAS section 3)."""

import math

from scnas_keras.operations.facts import Facts, Kernels


def kernels(rank: int, channels: int, branches: int = 1) -> Kernels:
    """He-normal start values; `branches` are several such operations on one input."""
    return {"kernel": ((3,) * rank + (channels, branches * channels), math.sqrt(2 / (3**rank * channels)))}


OPERATIONS = (Facts("conv_3", "conv 3", "conv", kernels=kernels, normalizations=(1,)),)
