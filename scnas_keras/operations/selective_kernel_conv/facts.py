"""Two depthwise convolutions, of which attention weighs each channel's (SKNet, arXiv 1903.06586; Zhang et al. 2022)."""

import math

from scnas_keras.operations.facts import Facts, Kernels

RATE = 2
"""Of the wider kernel: 3 voxels wide and dilated, as SKNet has its 5-wide one."""


def kernels(rank: int, channels: int) -> Kernels:
    """Start values that keep the variance."""
    inner = max(1, channels // 2)
    depthwise = (3,) * rank + (channels, 1), math.sqrt(2 / 3**rank)
    return {
        "near": depthwise,
        "far": depthwise,
        "squeeze": ((channels, inner), math.sqrt(2 / channels)),
        "excite": ((inner, 2 * channels), math.sqrt(1 / inner)),
    }


OPERATIONS = (
    Facts(
        "selective_kernel_conv_3",
        "selective kernel conv 3",
        "selective",
        kernels=kernels,
        normalizations=(1, 1),
        per_item=("squeeze", "excite"),
    ),
)
