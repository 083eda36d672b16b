"""The intensities of an image in two numbers a channel."""

from collections.abc import Iterator

import numpy as np

_SAMPLES = 100_000
_SLAB_VOXELS = 2**20


def intensity_ranges(image: np.ndarray) -> tuple[tuple[float, float], ...]:
    """The 0.5 and 99.5 percentiles of each channel of an image [x, y, z, channels]; of at most 100000 voxels, always the same ones."""
    low, high = np.percentile(sampled(image.reshape(-1, image.shape[3])), (0.5, 99.5), axis=0)
    return tuple(zip(low.tolist(), high.tolist()))


def sampled(flat: np.ndarray) -> np.ndarray:
    """At most 100000 rows of an array [voxels, channels], always the same ones."""
    return flat if len(flat) <= _SAMPLES else flat[np.random.default_rng(0).integers(0, len(flat), _SAMPLES)]


def slabs(shape: tuple[int, ...]) -> Iterator[slice]:
    """Pieces along the first axis of about a million voxels, for which a temporary array of the whole would be too large."""
    thickness = max(1, _SLAB_VOXELS // max(1, int(np.prod(shape[1:3], dtype=float))))
    return (slice(first, first + thickness) for first in range(0, shape[0], thickness))
