"""A summary of many numbers in little memory: their quantiles to within 0.1 %, their mean, spread and range exactly.

Values fall into bins whose edges grow geometrically, so that every quantile is known to a relative error (Masson, Rim and Lee,
DDSketch, VLDB 2019). Two sketches add up to the sketch of both, in any order.
"""

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence

import numpy as np

RELATIVE_ERROR = 1e-3
BLOCK = 2**20  # values taken at a time, so that a large structure needs no large temporary arrays
SMALLEST = 1e-9  # closer to 0 than this is 0
_LOG_GAMMA = math.log((1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR))


@dataclasses.dataclass(frozen=True)
class Sketch:
    """Weighted numbers.

    Attributes:
        bins: bin number to weight; negative numbers are bins of negative values, 0 that of 0.
        weight: of all values.
        mean: weighted.
        squares: weighted sum of squared distances from the mean.
        low, high: the least and the greatest value.
    """

    bins: Mapping[int, float]
    weight: float
    mean: float
    squares: float
    low: float
    high: float

    @property
    def std(self) -> float:
        """Standard deviation."""
        return math.sqrt(self.squares / self.weight)

    def quantiles(self, shares: Sequence[float]) -> list[float]:
        """The values under which these shares (0 to 1) of the weight lie, to within `RELATIVE_ERROR` of themselves."""
        order = sorted(self.bins)
        reached = np.cumsum([self.bins[number] for number in order])
        places = np.searchsorted(reached, np.array(shares) * reached[-1])
        return [min(max(_middle(order[min(place, len(order) - 1)]), self.low), self.high) for place in places]


def sketch(values: np.ndarray, weight: float = 1.0) -> Sketch | None:
    """The sketch of an array [n], of whose total `weight` each value has an equal part; None for an empty array."""
    if not values.size:
        return None
    blocks = [values[start : start + BLOCK] for start in range(0, values.size, BLOCK)]
    return merge([_sketch(block, weight * block.size / values.size) for block in blocks])


def _sketch(values: np.ndarray, weight: float) -> Sketch:
    part = weight / values.size
    numbers, counts = np.unique(_bin_numbers(values), return_counts=True)
    mean = float(values.mean(dtype=np.float64))
    squares = float(values.var(dtype=np.float64)) * weight
    bins = dict(zip(numbers.tolist(), (counts * part).tolist()))
    return Sketch(bins, weight, mean, squares, float(values.min()), float(values.max()))


def merge(sketches: Sequence[Sketch]) -> Sketch:
    """The sketch of all their values."""
    return functools.reduce(_merge, sketches)


def _merge(first: Sketch, second: Sketch) -> Sketch:
    bins = dict(first.bins)
    for number, weight in second.bins.items():
        bins[number] = bins.get(number, 0.0) + weight
    weight, shift = first.weight + second.weight, second.mean - first.mean
    mean = first.mean + shift * second.weight / weight
    squares = first.squares + second.squares + shift**2 * first.weight * second.weight / weight
    return Sketch(bins, weight, mean, squares, min(first.low, second.low), max(first.high, second.high))


def _bin_numbers(values: np.ndarray) -> np.ndarray:
    """The bin of each value: 0 around 0, else a count of geometric steps from `SMALLEST`, with the value's sign."""
    size = np.abs(values, dtype=np.float64)
    steps = np.ceil(np.log(np.maximum(size, SMALLEST) / SMALLEST) / _LOG_GAMMA)
    return np.where(size <= SMALLEST, 0, np.copysign(steps, values)).astype(np.int64)


def _middle(number: int) -> float:
    """The value that is nearest, relatively, to all in a bin."""
    if number == 0:
        return 0.0
    edge = SMALLEST * math.exp(abs(number) * _LOG_GAMMA)
    return math.copysign(edge * (1 - RELATIVE_ERROR), number)
