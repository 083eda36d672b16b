"""The bottleneck of ShuffleNet (arXiv 1707.01083) with 4 groups (Zhang et al. 2022): a quarter of the channels inside."""

import math

from scnas_keras.operations.facts import Facts, Kernels

GROUPS, BOTTLENECK = 4, 4


def kernels(rank: int, channels: int) -> Kernels:
    """Start values that keep the variance."""
    inner = channels // BOTTLENECK
    return {
        "reduce": ((GROUPS, channels // GROUPS, inner // GROUPS), math.sqrt(2 * GROUPS / channels)),
        "depthwise": ((3,) * rank + (inner, 1), math.sqrt(2 / 3**rank)),
        "expand": ((GROUPS, inner // GROUPS, channels // GROUPS), math.sqrt(GROUPS / inner)),
    }


OPERATIONS = (
    Facts(
        "shuffled_group_conv_3",
        "shuffled group conv 3",
        "group",
        kernels=kernels,
        normalizations=(0.25, 0.25, 1),
        divisor=GROUPS * BOTTLENECK,
    ),
)
