"""Each channel times a weight from 0 to 1 that follows from the means of all (squeeze and excitation, arXiv 1709.01507; NAS-Unet, Weng et
al. 2019); where it halves or doubles, a 3-wide convolution - InstanceNorm behind it."""

import functools
import math

from scnas_keras.operations.facts import DOUBLING, HALVING, ORDINARY, Facts, Kernels

REDUCTION = 16
"""Of the channels between the two dense layers."""


def kernels(rank: int, channels: int, taps: float = 0.0) -> Kernels:
    """Start values that keep the variance; `taps` are the voxels an axis that an output voxel of the convolution sees, 0 without one."""
    inner = max(1, channels // REDUCTION)
    dense = {"squeeze": ((channels, inner), math.sqrt(2 / channels)), "excite": ((inner, channels), math.sqrt(1 / inner))}
    return dense | ({"kernel": ((3,) * rank + (channels, channels), math.sqrt(4 / (taps**rank * channels)))} if taps else {})


HALVES, DOUBLES = functools.partial(kernels, taps=3), functools.partial(kernels, taps=1.5)
_ONCE = ("squeeze", "excite")
OPERATIONS = (
    Facts("channel_weight", "channel weight", "attention", kernels=kernels, roles=(ORDINARY,), per_item=_ONCE),
    Facts(
        "channel_weight_down",
        "channel weight, down",
        "attention",
        kernels=HALVES,
        normalizations=(1,),
        roles=(HALVING,),
        per_item=_ONCE,
    ),
    Facts(
        "channel_weight_up",
        "channel weight, up",
        "attention",
        {"doubles": True},
        DOUBLES,
        normalizations=(1,),
        roles=(DOUBLING,),
        per_item=_ONCE,
        at_inputs=("kernel",),
    ),
)
