"""A segmentation on another voxel grid that covers the same places."""

import itertools

import numpy as np
import scipy

from scnas_keras.errors import DataError, times
from scnas_keras.formats.geometry import Geometry, canonical_grid, canonical_spacing, grid_difference
from scnas_keras.formats.volumes import read_header


def onto_grid(array: np.ndarray, geometry: Geometry, wanted: Geometry) -> np.ndarray:
    """Brings a segmentation [x, y, z] in canonical axes onto the grid of another, each voxel from the nearest one.

    Grids of the same sizes must lie in one place (`geometry.TOLERANCE`). Others must cover the same box, but for half a voxel of each.

    Raises:
        DataError: they don't.
    """
    difference = grid_difference(read_header(wanted.path), read_header(geometry.path))
    if difference is None:
        return array
    (own, own_shape), (other, other_shape) = (canonical_grid(grid.affine, grid.shape) for grid in (geometry, wanted))
    steps = np.add(canonical_spacing(geometry.affine), canonical_spacing(wanted.affine))
    apart = np.abs((_corners(own, own_shape) - _corners(other, other_shape)) @ np.linalg.inv(_directions(other)).T)
    if own_shape == other_shape or (apart > steps / 2).any():
        sizes = f"{times(own_shape)} voxels, {times(other_shape)} there"
        raise DataError(
            f"{geometry.path}: {difference.text} {wanted.path} ({sizes}), and doesn't cover the same places. Segment the scan that the "
            "label belongs to, or bring the segmentation onto its grid."
        )
    matrix = np.linalg.solve(own, other)
    return scipy.ndimage.affine_transform(array, matrix[:3, :3], matrix[:3, 3], other_shape, order=0, mode="nearest")


def _corners(affine: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Where the eight corners of a grid lie, in mm; outside of its outermost voxels' centres by half of them."""
    corners = itertools.product(*((-0.5, size - 0.5) for size in shape))
    return np.array([(*corner, 1.0) for corner in corners]) @ affine[:3].T


def _directions(affine: np.ndarray) -> np.ndarray:
    """The axes' directions [3, 3], of length 1."""
    return affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
