"""LeakyReLU - depthwise dilated convolution - pointwise convolution - InstanceNorm (SCNAS section 3; 5 wide in DARTS, arXiv 1806.09055;
without dilation in NAS-Unet, Weng et al. 2019)."""

import functools
import math

from scnas_keras.operations.facts import Facts, Kernels


def kernels(rank: int, channels: int, branches: int = 1, size: int = 3) -> Kernels:
    """Start values that keep the variance; `branches` are several such operations on one input."""
    return {
        "depthwise": ((size,) * rank + (channels, branches), math.sqrt(1 / size**rank)),
        "pointwise": ((channels, branches * channels), math.sqrt(2 / channels)),
    }


OPERATIONS = tuple(
    Facts(
        f"dilated_conv_{size}_rate_{rate}",
        f"dilated conv {size}, rate {rate}",
        "dilated",
        {"rate": rate, "size": size},
        functools.partial(kernels, size=size),
        normalizations=(1,),
    )
    for size, rate in ((3, 2), (3, 3), (3, 4), (5, 2))
) + (Facts("depthwise_conv_3", "depthwise conv 3", "separable", {"rate": 1}, kernels, normalizations=(1,)),)
