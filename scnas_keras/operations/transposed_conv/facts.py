"""LeakyReLU - 3-wide transposed convolution with stride 2 - InstanceNorm, for edges that double (NAS-Unet, Weng et al. 2019)."""

import math

from scnas_keras.operations.facts import DOUBLING, Facts, Kernels


def dense(rank: int, channels: int, branches: int = 1) -> Kernels:
    """Start values that keep the variance: each output voxel sees three halves of a voxel an axis."""
    return {"kernel": ((3,) * rank + (channels, branches * channels), math.sqrt(2 / (1.5**rank * channels)))}


def separable(rank: int, channels: int, branches: int = 1) -> Kernels:
    """The same of a depthwise convolution and a pointwise one behind it."""
    return {
        "depthwise": ((3,) * rank + (channels, branches), math.sqrt(1 / 1.5**rank)),
        "pointwise": ((channels, branches * channels), math.sqrt(2 / channels)),
    }


def repeated(rank: int, channels: int, branches: int = 1) -> Kernels:
    """Of a convolution whose voxels are repeated."""
    return {"kernel": ((3,) * rank + (channels, branches * channels), math.sqrt(2 / (3**rank * channels)))}


OPERATIONS = (
    Facts("conv_3_up", "conv 3, up", "conv", {}, dense, normalizations=(1,), roles=(DOUBLING,), at_inputs=("kernel",)),
    Facts(
        "depthwise_conv_3_up",
        "depthwise conv 3, up",
        "separable",
        {"separable": True},
        separable,
        normalizations=(1,),
        roles=(DOUBLING,),
        at_inputs=("depthwise",),
    ),
    Facts(
        "conv_3_rate_2_up",
        "conv 3, rate 2, up",
        "conv",
        {"dilated": True},
        repeated,
        normalizations=(1,),
        roles=(DOUBLING,),
        at_inputs=("kernel",),
    ),
)
