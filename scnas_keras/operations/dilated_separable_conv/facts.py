"""LeakyReLU - depthwise dilated 3-wide convolution - pointwise convolution - InstanceNorm (SCNAS section 3)."""

import math

from scnas_keras.operations.facts import Facts, Kernels


def kernels(rank: int, channels: int, branches: int = 1) -> Kernels:
    """Start values that keep the variance; `branches` are several such operations on one input."""
    return {
        "depthwise": ((3,) * rank + (channels, branches), math.sqrt(1 / 3**rank)),
        "pointwise": ((channels, branches * channels), math.sqrt(2 / channels)),
    }


OPERATIONS = tuple(
    Facts(f"dilated_conv_3_rate_{rate}", f"dilated conv 3, rate {rate}", "dilated", {"rate": rate}, kernels, normalizations=(1,))
    for rate in (2, 3, 4)
)
