"""A number of every case as what is told of all: mean, median, and how sure the mean is."""

import dataclasses
import statistics
from collections.abc import Iterable

import numpy as np
import scipy

CONFIDENCE = 0.95
_RESAMPLES = 9999


@dataclasses.dataclass(frozen=True)
class Summary:
    """Of the cases in which a number is defined.

    Attributes:
        count: of them.
        mean, median: None without any.
        low, high: 95 % bootstrap interval of the mean (percentiles, 9999 resamples of cases, always the same); None for fewer than two.
    """

    count: int
    mean: float | None
    median: float | None
    low: float | None
    high: float | None


def summarize(values: Iterable[float | None]) -> Summary:
    """Of numbers of which those that are None don't count."""
    known = [value for value in values if value is not None]
    if not known:
        return Summary(0, None, None, None, None)
    low = high = None
    if len(known) > 1:
        found = scipy.stats.bootstrap(
            (known,), np.mean, n_resamples=_RESAMPLES, confidence_level=CONFIDENCE, method="percentile", random_state=0
        ).confidence_interval
        low, high = float(found.low), float(found.high)
    return Summary(len(known), statistics.fmean(known), statistics.median(known), low, high)
