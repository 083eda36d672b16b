"""The part of a scan that holds something: its box, and which of the box's voxels lie outside of the body."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import scipy

from scnas_keras.checks.ranges import slabs


@dataclasses.dataclass(frozen=True)
class Crop:
    """The box that was cut out of a scan, in voxels of the canonical axes: from `start` up to, not including, `stop`.

    Attributes:
        shape: the scan's size in voxels.
        spacing: the scan's, in mm.
        start, stop: the box.
    """

    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    start: tuple[int, int, int]
    stop: tuple[int, int, int]

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """Indexes the box in an array of `shape`."""
        return tuple(map(slice, self.start, self.stop))

    @property
    def size(self) -> tuple[int, int, int]:
        """The box's size in voxels."""
        return tuple(stop - start for start, stop in zip(self.start, self.stop))

    @property
    def whole(self) -> "Crop":
        """The box of the whole scan."""
        return dataclasses.replace(self, start=(0, 0, 0), stop=self.shape)


def crop_to_nonzero(array: np.ndarray, spacing: Sequence[float]) -> Crop:
    """The smallest box around the voxels of `array` [x, y, z, channels] that any channel has nonzero; empty if none."""
    present = [np.zeros(size, bool) for size in array.shape[:3]]
    for rows in slabs(array.shape):
        nonzero = _nonzero(array[rows])
        present[0][rows] = nonzero.any(axis=(1, 2))
        present[1] |= nonzero.any(axis=(0, 2))
        present[2] |= nonzero.any(axis=(0, 1))
    start, stop = [], []
    for along in present:
        found = np.flatnonzero(along)
        start.append(int(found[0]) if found.size else 0)
        stop.append(int(found[-1]) + 1 if found.size else 0)
    return Crop(array.shape[:3], tuple(map(float, spacing)), tuple(start), tuple(stop))


def nonzero_mask(array: np.ndarray) -> np.ndarray:
    """Where any channel of `array` [x, y, z, channels] is nonzero, with the holes inside filled; bool [x, y, z].

    Holes are what no path through zeros and across faces connects with the border. Cropping doesn't change them.
    """
    return scipy.ndimage.binary_fill_holes(_nonzero(array))


def _nonzero(array: np.ndarray) -> np.ndarray:
    nonzero = array[..., 0] != 0
    for channel in range(1, array.shape[-1]):
        nonzero |= array[..., channel] != 0
    return nonzero
