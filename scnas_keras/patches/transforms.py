"""What all transforms share: a probability, ranges that are checked, and how strong they are."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, ClassVar, Self

import numpy as np

from scnas_keras.errors import DataError

Range = tuple[float, float]
Degrees = tuple[float, float, float]
Axes = tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Transform:
    """A random change of a patch, described by numbers that can stand in a plan.

    Attributes:
        probability: share of the patches that it changes.

    Raises:
        DataError: a field that isn't what its type says. Plain numbers are probabilities, ranges aren't negative.
    """

    probability: float
    neutral: ClassVar[float] = 0.0  # the value of a range that changes nothing

    def __post_init__(self):
        for field in dataclasses.fields(self):
            expected, fits = _EXPECTED[field.type]
            value = getattr(self, field.name)
            if not fits(value):
                raise DataError(f"{type(self).__name__}.{field.name}: expected {expected}, found {value!r}. Mend it in the plan.")

    def scaled(self, strength: float) -> Self:
        """The same transform with its ranges drawn towards no change: 1 is this one, 0 changes nothing."""
        ranges = [field.name for field in dataclasses.fields(self) if field.type in (Range, Degrees)]
        return dataclasses.replace(
            self, **{name: tuple(self.neutral + strength * (value - self.neutral) for value in getattr(self, name)) for name in ranges}
        )


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


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _are_numbers(value: Any, count: int) -> bool:
    return isinstance(value, tuple) and len(value) == count and all(map(_is_number, value)) and min(value) >= 0


_EXPECTED: dict[Any, tuple[str, Callable[[Any], bool]]] = {
    float: ("a number from 0 to 1", lambda value: _is_number(value) and 0 <= value <= 1),
    bool: ("true or false", lambda value: isinstance(value, bool)),
    Range: ("two numbers of 0 or more, the lower one first", lambda value: _are_numbers(value, 2) and value[0] <= value[1]),
    Degrees: ("three numbers of degrees, 0 or more", lambda value: _are_numbers(value, 3)),
    Axes: (
        "different axes out of 0, 1, 2",
        lambda value: (
            isinstance(value, tuple) and len(set(value)) == len(value) and all(type(axis) is int and 0 <= axis <= 2 for axis in value)
        ),
    ),
}
