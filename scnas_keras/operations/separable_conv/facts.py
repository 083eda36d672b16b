"""LeakyReLU - depthwise convolution - pointwise convolution - InstanceNorm, twice (DARTS, arXiv 1806.09055; Zhang et al. 2022)."""

import functools
import math

from scnas_keras.operations.facts import Facts, Kernels


def kernels(rank: int, channels: int, size: int = 3) -> Kernels:
    """Start values that keep the variance."""
    depthwise, pointwise = ((size,) * rank + (channels, 1), math.sqrt(1 / size**rank)), ((channels, channels), math.sqrt(2 / channels))
    return {"depthwise_1": depthwise, "pointwise_1": pointwise, "depthwise_2": depthwise, "pointwise_2": pointwise}


OPERATIONS = tuple(
    Facts(
        f"separable_conv_{size}",
        f"separable conv {size}",
        "separable",
        {"size": size},
        functools.partial(kernels, size=size),
        normalizations=(1, 1),
    )
    for size in (3, 5)
)
