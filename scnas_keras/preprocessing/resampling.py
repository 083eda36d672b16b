"""Resampling between two grids that cover the same box.

Both grids divide the box into equal voxels, and values sit at voxel centres. Hence the grid of n voxels and the grid of
m voxels see each other the same way from either side, and going there and back shifts nothing.

A spline resize is linear and acts on each axis by itself, so it's applied as one sparse matrix per axis. That gives
scipy.ndimage's values at a fraction of its time in three dimensions.
"""

import functools
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import scipy.ndimage
import scipy.sparse

SPACING_TOLERANCE = 1e-3


def resampled_shape(shape: Sequence[int], spacing: Sequence[float], target: Sequence[float]) -> tuple[int, ...]:
    """The number of voxels along each axis after going from `spacing` to `target` (mm); at least one.

    An axis whose spacing is right already, within a thousandth of a millimetre, keeps its size.
    """
    return tuple(size if abs(old - new) < SPACING_TOLERANCE else max(1, round(size * old / new))
                 for size, old, new in zip(shape, spacing, target))


def resize(array: np.ndarray, shape: Sequence[int], order: int) -> np.ndarray:
    """Resizes `array` [x, y, z] to `shape` with splines of `order` 1 or 3; float32. An axis of equal size is kept."""
    result = array.astype(np.float32, copy=False)
    # Shrinking axes first keeps the intermediate arrays small.
    for axis in sorted(range(array.ndim), key=lambda axis: shape[axis] / array.shape[axis]):
        if result.shape[axis] != shape[axis]:
            result = _apply(_matrix(result.shape[axis], shape[axis], order), result, axis)
    return result


def resize_label(label: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Resizes a segmentation [x, y, z]: each class as a map of 0 and 1, linearly; a voxel gets its strongest class."""
    if label.shape == tuple(shape):
        return label
    values = np.unique(label)
    winners = argmax_of(lambda index: resize(label == values[index], shape, order=1), range(len(values)))
    return values[winners]


def resize_argmax(probabilities: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Resizes class probabilities [x, y, z, classes] linearly to `shape` and takes the most probable class, uint8."""
    return argmax_of(lambda index: resize(probabilities[..., index], shape, order=1), range(probabilities.shape[-1]))


def argmax_of(score: Callable[[int], np.ndarray], indices: Iterable[int]) -> np.ndarray:
    """For each voxel the index, uint8, whose `score` map is highest; the first of equals. Holds two maps at a time."""
    best = winner = None
    for index in indices:
        scores = score(index)
        if best is None:
            best, winner = scores, np.full(scores.shape, index, np.uint8)
        else:
            better = scores > best
            winner[better] = index
            best = np.maximum(best, scores)
    return winner


@functools.lru_cache(maxsize=64)
def _matrix(old: int, new: int, order: int) -> scipy.sparse.csr_array:
    """The [new, old] matrix of a one-dimensional spline resize, found by resizing each unit vector."""
    step = old / new
    columns = [scipy.ndimage.affine_transform(unit, [step], offset=0.5 * step - 0.5, output_shape=(new,), order=order,
                                              mode="nearest") for unit in np.eye(old)]
    matrix = np.stack(columns, axis=1)
    matrix[abs(matrix) < 1e-7] = 0  # a spline's far tail, below float32's resolution
    return scipy.sparse.csr_array(matrix.astype(np.float32))


def _apply(matrix: scipy.sparse.csr_array, array: np.ndarray, axis: int) -> np.ndarray:
    front = np.moveaxis(array, axis, 0)
    result = matrix @ front.reshape(front.shape[0], -1)
    return np.moveaxis(result.reshape(-1, *front.shape[1:]), 0, axis)
