"""Intensities of one channel brought to the plan's scale. One slab of the volume at a time is in float64."""

from collections.abc import Callable, Iterator

import numpy as np

from scnas_keras.checks.ranges import slabs
from scnas_keras.errors import DataError
from scnas_keras.formats.volumes import Allocate, in_memory
from scnas_keras.preprocessing.plan import Normalization

AFTER_RESAMPLING = "zscore_resampled"
MIN_SCALE = 1e-8


def normalize(values: np.ndarray, channel: Normalization, inside: np.ndarray | None = None, allocate: Allocate = in_memory) -> np.ndarray:
    """Normalises one channel by its scheme.

    Args:
        values: the cropped channel [a, b, c], finite; resampled for `AFTER_RESAMPLING`.
        channel: the scheme, and its numbers.
        inside: bool [a, b, c], the nonzero mask; read where `channel.use_mask`.
        allocate: makes the array that is returned.

    Returns:
        float32 [a, b, c], a new array. With `use_mask` it's exactly 0 outside of the mask.

    Raises:
        DataError: the scheme is "rgb_to_0_1" and a value is below 0 or above 255.
    """
    if channel.scheme == "ct":
        return _mapped(values, lambda block: (block.clip(channel.low, channel.high) - channel.mean) / channel.std, allocate)
    if channel.scheme in ("zscore", AFTER_RESAMPLING):
        inside = inside if channel.use_mask else None
        mean, std = mean_and_std(values, inside)
        return _mapped(values, lambda block: (block - mean) / max(std, MIN_SCALE), allocate, inside)
    low, high = float(values.min()), float(values.max())
    if channel.scheme == "rescale_to_0_1":
        return _mapped(values, lambda block: (block - low) / max(high - low, MIN_SCALE), allocate)
    if channel.scheme == "fixed":
        return _mapped(values, lambda block: ((block - low) / max(high - low, MIN_SCALE) - channel.mean) / channel.std, allocate)
    if channel.scheme == "rgb_to_0_1":
        if low < 0 or high > 255:
            raise DataError(
                f"channel {channel.channel} holds values from {low:g} to {high:g}, but colours go from 0 "
                "to 255. Convert the picture to 8 bits a channel, or give the channel another name in "
                "dataset.json."
            )
        return _mapped(values, lambda block: block / 255, allocate)
    return _mapped(values, lambda block: block, allocate)


def mean_and_std(values: np.ndarray, inside: np.ndarray | None = None) -> tuple[float, float]:
    """Mean and standard deviation (of the population) in float64, over the voxels `inside` if given."""
    count = values.size if inside is None else np.count_nonzero(inside)
    mean = sum(block.sum() for block in _known(values, inside)) / count
    variance = sum(np.square(block - mean).sum() for block in _known(values, inside)) / count
    return float(mean), float(np.sqrt(variance))


def _known(values: np.ndarray, inside: np.ndarray | None) -> Iterator[np.ndarray]:
    for rows in slabs(values.shape):
        yield values[rows].astype(np.float64) if inside is None else values[rows][inside[rows]].astype(np.float64)


def _mapped(
    values: np.ndarray, function: Callable[[np.ndarray], np.ndarray], allocate: Allocate, inside: np.ndarray | None = None
) -> np.ndarray:
    result = allocate(values.shape)
    for rows in slabs(values.shape):
        result[rows] = function(values[rows].astype(np.float64))
        if inside is not None:
            result[rows][~inside[rows]] = 0
    return result
