"""What is known of an operation without a framework: for tables, figures, costs and the search."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

ORDINARY, HALVING, DOUBLING = ROLES = ("ordinary", "halving", "doubling")
"""What an edge does to the resolution; an operation's layer has stride 1, stride 2, or doubles by itself."""
ZERO_GROUP, IDENTITY_GROUP = "zero", "identity"

Kernels = dict[str, tuple[tuple[int, ...], float]]
"""Name of a kernel -> its shape and the standard deviation of its start values."""


def no_kernels(rank: int, channels: int) -> Kernels:
    """Of an operation that doesn't learn."""
    return {}


_EXAMPLE = 48
"""Channels that kernels are asked for where only their names count: many numbers of groups divide it."""


@dataclasses.dataclass(frozen=True)
class Facts:
    """An operation that keeps the number of channels.

    Attributes:
        name: in spaces and genotypes.
        label: in tables and figures.
        group: what it is counted and coloured with, such as conv or pool; `ZERO_GROUP` is the absent edge.
        settings: arguments of its layer that make it this operation.
        kernels: (spatial axes, channels) -> all that it learns but scale and offset of its normalisations.
        normalizations: channels of each of them, as multiples of the operation's.
        linear: f(x) = A x. Then <dy, f(x)> = <A' dy, x>, by which the search gets the gradient of the operation's weight without its
            output. A maximum isn't linear: where values tie, TensorFlow without oneDNN hands its gradient to each of them.
        roles: in which it can stand.
        per_item: names of kernels that are applied once an item, to a mean over its voxels.
        at_inputs: names of kernels that an operation which doubles applies at the voxels that it reads, as transposed convolutions do.
        divisor: its channels must be a multiple of this.
    """

    name: str
    label: str
    group: str
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    kernels: Callable[[int, int], Kernels] = no_kernels
    normalizations: tuple[float, ...] = ()
    linear: bool = False
    roles: tuple[str, ...] = (ORDINARY, HALVING)
    per_item: tuple[str, ...] = ()
    at_inputs: tuple[str, ...] = ()
    divisor: int = 1

    @property
    def is_zero(self) -> bool:
        """Whether it stands for no edge at all."""
        return self.group == ZERO_GROUP

    @property
    def is_identity(self) -> bool:
        return self.group == IDENTITY_GROUP

    @property
    def learns(self) -> bool:
        """Whether it has weights; one without gives the same on every edge from the same node."""
        return bool(self.kernel_names(2))

    def kernel_names(self, rank: int) -> tuple[str, ...]:
        """Of its kernels, in order."""
        return tuple(self.kernels(rank, _EXAMPLE))

    def weights(self, rank: int, channels: int) -> int:
        """Trainable parameters of its kernels."""
        return sum(math.prod(shape) for shape, _ in self.kernels(rank, channels).values())

    def parameters(self, rank: int, channels: int) -> int:
        """Trainable parameters, scale and offset of normalisations among them."""
        return self.weights(rank, channels) + round(2 * sum(self.normalizations) * channels)

    def multiply_adds(self, rank: int, channels: int, voxels: int) -> int:
        """Of an output of so many voxels, one for each kernel weight and place at which it is applied."""
        sizes = {name: math.prod(shape) for name, (shape, _) in self.kernels(rank, channels).items()}
        once, read = (sum(sizes[name] for name in names) for names in (self.per_item, self.at_inputs))
        return once + read * voxels // 2**rank + (sum(sizes.values()) - once - read) * voxels
