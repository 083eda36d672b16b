"""LeakyReLU - depthwise 3-wide convolution - pointwise convolution - InstanceNorm, twice (DARTS, arXiv 1806.09055; Zhang et al. 2022)."""

import math

from scnas_keras.operations.facts import Facts, Kernels


def kernels(rank: int, channels: int) -> Kernels:
    """Start values that keep the variance."""
    depthwise, pointwise = ((3,) * rank + (channels, 1), math.sqrt(1 / 3**rank)), ((channels, channels), math.sqrt(2 / channels))
    return {"depthwise_1": depthwise, "pointwise_1": pointwise, "depthwise_2": depthwise, "pointwise_2": pointwise}


OPERATIONS = (Facts("separable_conv_3", "separable conv 3", "separable", kernels=kernels, normalizations=(1, 1)),)
