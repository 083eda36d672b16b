"""What all transforms share: a probability, and ranges."""

from typing import Annotated

import msgspec
import numpy as np

from scnas_keras.documents import Misfit
from scnas_keras.documents.ranges import Share

_Amount = Annotated[float, msgspec.Meta(ge=0, le=1e3)]
_Factor = Annotated[float, msgspec.Meta(ge=0.01, le=10)]
_Zoom = Annotated[float, msgspec.Meta(ge=0.01, le=1)]
Range = tuple[_Amount, _Amount]
"""Lowest and highest."""
Factors = tuple[_Factor, _Factor]
"""A `Range` around 1, within which a patch can still be recognised."""
Zooms = tuple[_Zoom, _Zoom]
"""A `Range` of grids as dense as the patch's or coarser."""
Voxels = tuple[Annotated[float, msgspec.Meta(ge=1, le=1e3)], Annotated[float, msgspec.Meta(ge=1, le=1e3)]]
"""A `Range` of voxels, 1 or more."""
Length = Annotated[int, msgspec.Meta(ge=1, le=1000)]
"""A number of whole voxels."""
Degree = Annotated[float, msgspec.Meta(ge=0, le=180)]
Degrees = tuple[Degree, Degree, Degree]


class Transform(msgspec.Struct, frozen=True, tag_field="name"):
    """A random change of a patch, described by numbers that stand in a plan beside its name.

    Attributes:
        probability: share of the patches that it changes.

    Raises:
        Misfit: a range whose lower number isn't the first.
    """

    probability: Share

    def __post_init__(self):
        for field in msgspec.structs.fields(self):
            value = getattr(self, field.name)
            if field.type in (Range, Factors, Zooms, Voxels) and value[0] > value[1]:
                raise Misfit(field.name, value, "two numbers, the lower one first")


def happens(random: np.random.Generator, probability: float) -> bool:
    """True in this share of the calls."""
    return random.random() < probability


def halved_uniform(random: np.random.Generator, limits: Range, count: int) -> np.ndarray:
    """Factors of a range around 1, half of them below and half above, uniform on either side: float64 [count].

    A range on one side of 1 is drawn from uniformly.
    """
    low, high = limits
    below = random.random(count) < 0.5
    places = random.random(count)
    if low >= 1 or high <= 1:
        return low + places * (high - low)
    return np.where(below, low + places * (1 - low), 1 + places * (high - 1))
