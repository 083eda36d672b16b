"""Half of the channels by a pointwise convolution, the others by a depthwise one of these (GhostNet, arXiv 1911.11907; Zhang 2022)."""

import math

from scnas_keras.operations.facts import Facts, Kernels


def kernels(rank: int, channels: int) -> Kernels:
    """Start values that keep the variance. Of an odd number of channels the first half has one more."""
    primary = -(-channels // 2)
    return {
        "primary": ((channels, primary), math.sqrt(2 / channels)),
        "cheap": ((3,) * rank + (channels - primary, 1), math.sqrt(2 / 3**rank)),
    }


OPERATIONS = (Facts("ghost_conv", "ghost conv", "ghost", kernels=kernels, normalizations=(0.5, 0.5)),)
