"""Intensities that spoil a training run: padding that takes all contrast, and cases in other units than the rest."""

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from scnas_keras.checks.ranges import sampled, slabs

Ranges = Sequence[tuple[float, float]]
Blocks = Callable[[], Iterator[np.ndarray]]
GAP = 10.0
"""Times the range of all other values by which padding lies apart from them."""
TRIMMED = 0.5, 99.5
"""Percentiles between which values are usual; where all values deviate `GAP` times as much, the others take their contrast."""
DISTINCT = 16
"""Other values that an image must have: maps of few values have gaps by nature."""
BEYOND = 1e6
"""Times the third quartile of all nonzero sizes that no scanner's values exceed."""
MARGIN = 0.1
"""Times the range of all other values by which declared padding may lie from their lowest, where a background is."""
SHIFT = 500.0
"""HU between the levels of two groups of CT scans: less than the 1024 of a missing intercept, more than a crop changes on both ends."""
CONTRAST = 10.0
"""Factor between the contrasts of two groups."""
LOW_CONTRAST = 0.1
"""Share of the least contrast of known scans under which a channel's is another one's."""
_AS_THEY_ARE = ("ct", "nonorm")


@dataclasses.dataclass(frozen=True)
class Group:
    """Cases whose values in a channel are apart from those of the others.

    Attributes:
        channel: number of the channel.
        cases: names; of two groups of equal size those with the higher values.
        text: what sets them apart, with numbers.
    """

    channel: int
    cases: tuple[str, ...]
    text: str


def padding(values: np.ndarray) -> str | None:
    """Whether a channel [x, y, z] holds values so far from all others that these keep no contrast once it is normalised.

    Args:
        values: finite.

    Returns:
        What was found, or None.
    """
    low, high, sample = float(values.min()), float(values.max()), sampled(values.reshape(-1, 1))[:, 0].astype(np.float64)
    for extreme in (low, high):
        others = sample[sample != extreme]
        if extreme == 0 or len(np.unique(others[: 100 * DISTINCT])) < DISTINCT:
            continue
        span = others.max() - others.min()
        if min(abs(extreme - others.max()), abs(extreme - others.min())) > GAP * span > 0:
            count = np.count_nonzero(values == extreme)
            rest = f"all others lie in {others.min():.4g} to {others.max():.4g}"
            return f"{count} voxels ({count / values.size:.1%}) are {extreme:.4g}; {rest}"
    nonzero = sample[sample != 0]
    return (
        _stand_apart(lambda: _blocks(values), (low, high), sample, sample)
        or _stand_apart(lambda: _blocks(values, zeros=False), (low, high), nonzero, np.unique(nonzero))
        or _huge(nonzero, low, high)
    )


def declared_padding(values: np.ndarray, declared: Ranges) -> str | None:
    """Whether a channel [x, y, z] holds what its file declares to be padding, apart from 0 and from the lowest of all other values.

    Args:
        values: finite.
        declared: from one value to another; scanners have -2000 or -3024 HU outside of their round field.

    Returns:
        What was found, or None.
    """
    if not declared:
        return None
    mask = np.zeros(values.shape, bool)
    for ends in declared:
        low, high = np.float32(ends)
        mask |= (values >= low) & (values <= high)
    found, others = values[mask], sampled(values[~mask].reshape(-1, 1))
    if not found.any() or not others.size:
        return None
    first, last, low, high = map(float, (found.min(), found.max(), others.min(), others.max()))
    if max(abs(first - low), abs(last - low)) <= MARGIN * (high - low):
        return None
    span = f"{first:.4g}" if first == last else f"{first:.4g} to {last:.4g}"
    rest = f"all others lie in {low:.4g} to {high:.4g}"
    return f"{found.size} voxels ({found.size / values.size:.1%}) are {span}, padding by the header; {rest}"


def _blocks(values: np.ndarray, zeros: bool = True) -> Iterator[np.ndarray]:
    """The values in float64, a slab at a time."""
    for rows in slabs(values.shape):
        block = values[rows].astype(np.float64).ravel()
        yield block if zeros else block[block != 0]


def _deviation(blocks: Blocks) -> float:
    count, total = 0, 0.0
    for block in blocks():
        count, total = count + block.size, total + float(block.sum())
    return math.sqrt(sum(float(np.square(block - total / count).sum()) for block in blocks()) / count) if count else 0.0


def _stand_apart(blocks: Blocks, ends: tuple[float, float], sample: np.ndarray, counted: np.ndarray) -> str | None:
    """Whether some values lie far from all within the percentiles `TRIMMED` of those that are counted.

    Counted once each, the values of padding are few, however many voxels it has.
    """
    if len(counted) < DISTINCT:
        return None
    low_end, high_end = np.percentile(counted, TRIMMED, method="nearest")
    usual = sample[(sample >= low_end) & (sample <= high_end)]
    if len(np.unique(usual[: 100 * DISTINCT])) < DISTINCT or not _deviation(blocks) > GAP * usual.std() > 0:
        return None
    middle = np.median(usual)
    radius = max(high_end - middle, middle - low_end)
    beyond = [sizes[sizes > radius] for sizes in (np.abs(block - middle) for block in blocks())]
    sizes = np.sort(np.concatenate([*beyond, [radius]]))
    if not (sizes[1:] > GAP * sizes[:-1]).any():  # a tail, as that of bright vessels
        return None
    share = len(usual) / len(sample)
    return f"values reach from {ends[0]:.4g} to {ends[1]:.4g}, and {share:.0%} of them lie in {low_end:.4g} to {high_end:.4g}"


def _huge(nonzero: np.ndarray, low: float, high: float) -> str | None:
    """Whether a channel's ends are beyond what scanners give."""
    if not len(nonzero):
        return None
    sizes = np.abs(nonzero)
    usual, most = float(np.percentile(sizes, 75)), max(abs(low), abs(high))
    if most > BEYOND * usual:
        return f"values reach {high if abs(high) == most else low:.4g}; three quarters of them are below {usual:.4g}"
    return None


def apart(channel_names: Sequence[str], ranges: Mapping[str, Ranges]) -> list[Group]:
    """Compares cases with each other in channels whose values are taken as they are; others are normalised scan by scan.

    Args:
        channel_names: in order.
        ranges: of each case by its name, `intensity_ranges`.
    """
    groups = []
    known = {name: found for name, found in ranges.items() if len(found) == len(channel_names)}
    for channel, channel_name in enumerate(channel_names):
        cases = sorted(known)
        spans = np.array([known[name][channel] for name in cases]).reshape(-1, 2)
        if (kind := channel_name.strip().casefold()) not in _AS_THEY_ARE:
            continue
        others = _other_level(spans) if kind == "ct" else None
        if others is None:
            others = _other_contrast(spans)
        if others is not None:
            text = (
                f"channel {channel} ({channel_name}) goes from {_span(spans[others])} in {others.sum()} of {len(cases)} cases, in the "
                f"others from {_span(spans[~others])}"
            )
            groups.append(Group(channel, tuple(name for name, other in zip(cases, others) if other), text))
    return groups


def is_foreign(low: float, high: float, least: float, most: float, contrast: float) -> bool:
    """Whether a scan's values in a channel, from `low` to `high`, are unlike those of known scans.

    They reach beyond those, which go from `least` to `most`, by all their span; or have less than a tenth of their least `contrast`.
    """
    span = most - least
    return high > most + span or low < least - span or high - low < LOW_CONTRAST * contrast


def _other_level(spans: np.ndarray) -> np.ndarray | None:
    """The cases [n] of `spans` [n, 2] that lie higher or lower than the others at both ends."""
    upper = _upper(spans[:, 0], lambda gap: gap > SHIFT)
    if upper is None or np.median(spans[upper, 1]) - np.median(spans[~upper, 1]) <= SHIFT:
        return None
    return _smaller(upper)


def _other_contrast(spans: np.ndarray) -> np.ndarray | None:
    """The cases [n] of `spans` [n, 2] whose values spread more, or less, than the others' by `CONTRAST`."""
    contrast = spans[:, 1] - spans[:, 0]
    if not (contrast > 0).all():
        return None
    upper = _upper(np.log(contrast), lambda gap: gap > np.log(CONTRAST))
    return None if upper is None else _smaller(upper)


def _upper(values: np.ndarray, is_wide: Callable[[float], bool]) -> np.ndarray | None:
    """Which values [n] lie above the widest gap between neighbours, if that is wide."""
    ordered = np.sort(values)
    if len(ordered) < 2:
        return None
    gaps = np.diff(ordered)
    widest = int(np.argmax(gaps))
    return values > ordered[widest] if is_wide(gaps[widest]) else None


def _smaller(upper: np.ndarray) -> np.ndarray:
    return ~upper if 2 * upper.sum() > len(upper) else upper


def _span(spans: np.ndarray) -> str:
    return f"{spans[:, 0].min():.4g} to {spans[:, 1].max():.4g}"
