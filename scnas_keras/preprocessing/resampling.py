"""Resampling between two grids that cover the same box.

Both grids divide the box into equal voxels, and values sit at voxel centres. Hence the grid of n voxels and the grid of
m voxels see each other the same way from either side, and going there and back shifts nothing.

A spline resize is linear and acts on each axis by itself, so it's applied as one sparse matrix per axis. That gives
scipy.ndimage's values at a fraction of its time in three dimensions, and lets each axis have an order of its own. A
slab of the result is made from the rows that its matrix touches, so that temporary arrays stay at some tens of
megabytes however large the scan is.
"""

import functools
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import scipy

SPACING_TOLERANCE, HALVES = 1e-3, 3
"""A share of spacings; digits behind the point of a size before it is rounded."""
_SLAB_VOXELS = 2**22
_Matrices = tuple[scipy.sparse.csr_array | None, ...]


def resampled_shape(shape: Sequence[int], spacing: Sequence[float], target: Sequence[float | None]) -> tuple[int, ...]:
    """The number of voxels along each axis after going from `spacing` to `target` (mm); at least one.

    An axis whose target is None, or whose spacing is right already within a thousandth of it, keeps its size. Where a size is a half but
    for what float32 leaves of a spacing, the half is rounded (to even), so that equal scans have equal grids.
    """
    return tuple(
        size if new is None or abs(old - new) < SPACING_TOLERANCE * new else max(1, round(round(size * old / new, HALVES)))
        for size, old, new in zip(shape, spacing, target)
    )


def coarse_axis(spacing: Sequence[float], target: Sequence[float | None], anisotropy: float) -> int | None:
    """The axis that is resampled by itself (nnU-Net 2.4), if there is one.

    It's the coarsest axis of the first of these grids whose voxels are more than `anisotropy` times, and a thousandth, longer than wide:
    the scan's, with `spacing` in mm, then the `target`. Where two axes are the coarsest, none is set apart.
    """
    target = [old if new is None else new for old, new in zip(spacing, target)]
    for grid in (np.asarray(spacing), np.asarray(target)):
        if grid.max() / grid.min() > anisotropy * (1 + SPACING_TOLERANCE):
            coarsest = np.flatnonzero(grid > (1 - SPACING_TOLERANCE) * grid.max())
            return int(coarsest[0]) if coarsest.size == 1 else None
    return None


def resize(array: np.ndarray, shape: Sequence[int], orders: Sequence[int], out: np.ndarray | None = None) -> np.ndarray:
    """Resizes `array` [a, b, c] to `shape` with a spline of order 0, 1 or 3 along each axis; float32.

    Cubic splines overshoot at edges, so their result is clipped to the range of the input: of the whole, or slice by
    slice where the axis across the slices has order 0.

    Args:
        array: finite numbers.
        shape: the three sizes wanted. An axis of equal size is kept as it is.
        orders: of the spline along each axis.
        out: float32 array of that shape to write to, a new one by default.
    """
    out = np.empty(shape, np.float32) if out is None else out
    for rows, source, matrices in _slabs(array.shape, shape, orders):
        out[rows] = _resize_block(array[source], matrices)
    if any(order == 3 and old != new for order, old, new in zip(orders, array.shape, shape)):
        low, high = _ranges(array, shape, orders)
        np.clip(out, low, high, out=out)
    return out


def resize_label(label: np.ndarray, shape: Sequence[int], orders: Sequence[int]) -> np.ndarray:
    """Resizes integers [a, b, c]: each value as a map of 0 and 1. A voxel gets its strongest, the lower of equals.

    There may be 256 values.
    """
    if label.shape == tuple(shape):
        return np.array(label, order="C")
    result = np.empty(shape, label.dtype)
    for rows, source, matrices in _slabs(label.shape, shape, orders):
        block = np.ascontiguousarray(label[source])
        values = np.unique(block)
        maps = (_resize_block(block == value, matrices) for value in values)
        result[rows] = values[strongest(maps)] if len(values) > 1 else values[0]
    return result


def resize_rows(
    rows: Iterable[Sequence[np.ndarray]],
    size: Sequence[int],
    shape: Sequence[int],
    orders: Sequence[int],
    release: Callable[[], None] | None = None,
) -> Iterator[tuple[slice, Iterator[np.ndarray]]]:
    """Resizes class probabilities that come row by row, of which it holds as many as a slab of the result depends on.

    Args:
        rows: as many as `size` says, each a sequence of the classes' [b, c].
        size: the three sizes of the whole.
        shape: those wanted. Slabs are the same for every `size`.
        orders: of the spline along each axis.
        release: called for each row, in order, once it isn't needed any more.

    Yields:
        Rows of the result, and for each class its map there, float32; to be taken before the next slab is asked for.
    """
    coming, window, first = iter(rows), deque[Sequence[np.ndarray]](), 0
    slabs = list(_slabs(size, shape, orders, max(1, _SLAB_VOXELS // (shape[1] * shape[2]))))
    needed = list(itertools.accumulate((source.start for _, source, _ in reversed(slabs)), min))[::-1]
    for (out, source, matrices), from_here in zip(slabs, needed):
        while first + len(window) < source.stop:
            window.append(next(coming))
        for _ in range(from_here - first):
            window.popleft()
            if release:
                release()
        first = from_here
        yield out, _class_maps(list(window)[source.start - first : source.stop - first], matrices)
    for _ in coming:
        pass


def strongest(maps: Iterable[np.ndarray]) -> np.ndarray:
    """For each voxel the index of the map that is highest; uint8, the first of equals."""
    best = winner = None
    for index, score in enumerate(maps):
        if best is None:
            best, winner = np.array(score), np.zeros(score.shape, np.uint8)
        else:
            np.copyto(winner, index, where=score > best)
            np.maximum(best, score, out=best)
    return winner


def _slabs(
    old: Sequence[int], new: Sequence[int], orders: Sequence[int], thickness: int | None = None
) -> Iterator[tuple[slice, slice, _Matrices]]:
    """Divides the result along its first axis: rows of it, rows of the input that they depend on, their matrices."""
    first_axis, *others = (None if size == wanted else _matrix(size, wanted, order) for size, wanted, order in zip(old, new, orders))
    thickness = thickness or max(1, _SLAB_VOXELS // max(old[1] * old[2], new[1] * new[2]))
    for first in range(0, new[0], thickness):
        rows = slice(first, min(first + thickness, new[0]))
        if first_axis is None:
            yield rows, rows, (None, *others)
        else:
            touched = first_axis[rows].indices
            source = slice(int(touched.min()), int(touched.max()) + 1)
            yield rows, source, (first_axis[rows, source], *others)


def _class_maps(rows: Sequence[Sequence[np.ndarray]], matrices: _Matrices) -> Iterator[np.ndarray]:
    for index in range(len(rows[0])):
        yield _resize_block(np.stack([row[index] for row in rows]), matrices)


def _resize_block(block: np.ndarray, matrices: _Matrices) -> np.ndarray:
    """Applies one matrix per axis to [a, b, c]; float32, perhaps the block itself where no axis changes."""
    block = block.astype(np.float32, copy=False)
    changing = [axis for axis in range(3) if matrices[axis] is not None]
    # What shrinks comes first: it leaves less for the others to do.
    for axis in sorted(changing, key=lambda axis: matrices[axis].shape[0] / matrices[axis].shape[1]):
        front = np.moveaxis(block, axis, 0)
        resized = matrices[axis] @ front.reshape(front.shape[0], -1)
        block = np.moveaxis(resized.reshape(-1, *front.shape[1:]), 0, axis)
    return block


def _ranges(array: np.ndarray, shape: Sequence[int], orders: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest value that each slice of the result may take; shapes that broadcast with [a, b, c]."""
    across = [axis for axis in range(3) if orders[axis] == 0]
    within = tuple({0, 1, 2} - set(across))
    low, high = array.min(axis=within, keepdims=True), array.max(axis=within, keepdims=True)
    for axis in across:
        nearest = _nearest(array.shape[axis], shape[axis])
        low, high = low.take(nearest, axis), high.take(nearest, axis)
    return low, high


def _nearest(old: int, new: int) -> np.ndarray:
    """For each of `new` voxels the one of `old` that its centre lies in; on a border between two, the latter."""
    return (2 * np.arange(new) + 1) * old // (2 * new)


@functools.lru_cache(maxsize=64)
def _matrix(old: int, new: int, order: int) -> scipy.sparse.csr_array:
    """The [new, old] matrix of a one-dimensional spline resize, found by resizing each unit vector."""
    if order == 0:
        chosen = np.arange(new), _nearest(old, new)
        return scipy.sparse.csr_array((np.ones(new, np.float32), chosen), shape=(new, old))
    step = old / new
    columns = [
        scipy.ndimage.affine_transform(unit, [step], offset=0.5 * step - 0.5, output_shape=(new,), order=order, mode="nearest")
        for unit in np.eye(old)
    ]
    matrix = np.stack(columns, axis=1)
    matrix[abs(matrix) < 1e-7] = 0  # a spline's far tail, below float32's resolution
    return scipy.sparse.csr_array(matrix.astype(np.float32))
