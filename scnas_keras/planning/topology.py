"""How often a network halves each axis, with which kernels: from the spacing and the patch (nnU-Net 2.5)."""

import dataclasses
import math
from collections.abc import Sequence

MIN_EDGE = 4  # voxels that an axis keeps at the bottleneck


@dataclasses.dataclass(frozen=True)
class Topology:
    """A patch and the stages of a U-shaped network over it.

    Attributes:
        patch_size: voxels along the plan's axes; divisible by what the network halves.
        strides: per stage, that of its first convolution; the first stage has 1.
        kernel_sizes: per stage.
        blocks: per stage of the encoder, convolutions or residual blocks; None for the network's own numbers.
    """

    patch_size: tuple[int, ...]
    strides: tuple[tuple[int, ...], ...]
    kernel_sizes: tuple[tuple[int, ...], ...]
    blocks: tuple[int, ...] | None = None

    @property
    def divisors(self) -> tuple[int, ...]:
        """What each axis of a patch must be divisible by."""
        return tuple(math.prod(strides) for strides in zip(*self.strides))

    def stage_sizes(self) -> list[tuple[int, ...]]:
        """Size of each stage's feature maps, finest first."""
        sizes, size = [], self.patch_size
        for strides in self.strides:
            size = tuple(edge // stride for edge, stride in zip(size, strides))
            sizes.append(size)
        return sizes


def unet_topology(spacing: Sequence[float], patch_size: Sequence[float]) -> Topology:
    """The topology that nnU-Net gives a patch; the patch is rounded up to what it divides.

    A stage halves the axes that are long enough (`2 * MIN_EDGE`) and whose voxels are less than twice the shortest among
    those; one axis alone must be longer (`3 * MIN_EDGE`). The kernel is 1 along an axis until its voxels are less than twice
    the shortest, then 3; it is 3 along all axes at the bottleneck.

    Args:
        spacing: mm along each axis.
        patch_size: voxels along each axis.
    """
    spacing, size = list(spacing), list(patch_size)
    kernel = [1] * len(size)
    strides, kernels = [(1,) * len(size)], []
    while axes := _to_halve(spacing, size):
        kernel = [3 if old == 3 or length < 2 * min(spacing) else 1 for old, length in zip(kernel, spacing)]
        kernels.append(tuple(kernel))
        strides.append(tuple(2 if axis in axes else 1 for axis in range(len(size))))
        for axis in axes:
            spacing[axis] *= 2
            size[axis] = -(-size[axis] // 2)
    kernels.append((3,) * len(size))
    divisors = [math.prod(column) for column in zip(*strides)]
    return Topology(round_up(patch_size, divisors), tuple(strides), tuple(kernels))


def fixed_topology(patch_size: Sequence[float], halvings: int) -> Topology:
    """The topology of a network that halves all axes `halvings` times, as a searched one does; the patch is rounded up."""
    rank = len(patch_size)
    strides = ((1,) * rank, *((2,) * rank for _ in range(halvings)))
    return Topology(round_up(patch_size, [2**halvings] * rank), strides, ((3,) * rank,) * (halvings + 1))


def round_up(sizes: Sequence[float], divisors: Sequence[int]) -> tuple[int, ...]:
    """The next multiples of `divisors`."""
    return tuple(int(-(-size // divisor) * divisor) for size, divisor in zip(sizes, divisors))


def _to_halve(spacing: Sequence[float], size: Sequence[float]) -> list[int]:
    long_enough = [axis for axis, edge in enumerate(size) if edge >= 2 * MIN_EDGE]
    if not long_enough:
        return []
    shortest = min(spacing[axis] for axis in long_enough)
    axes = [axis for axis in long_enough if spacing[axis] / shortest < 2]
    if len(axes) == 1 and size[axes[0]] < 3 * MIN_EDGE:
        return []
    return axes
