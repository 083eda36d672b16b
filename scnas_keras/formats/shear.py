"""Grids whose axes aren't at right angles, as a CT with a tilted gantry has them: detected, and brought onto straight ones.

NIfTI's qform and ITK's images have right angles only, and programs that meet another grid put its voxels elsewhere or refuse it.
"""

import numpy as np
from nibabel.affines import voxel_sizes

from scnas_keras.errors import DataError

RIGHT = 1e-3
"""Cosine of the angle between two axes up to which they are at right angles: half a voxel over 512."""


def is_sheared(affine: np.ndarray) -> bool:
    """Whether two axes of an affine [4, 4] aren't at right angles."""
    return bool(np.abs(_cosines(affine)).max() > RIGHT)


def slice_axis(affine: np.ndarray) -> int:
    """The axis of a sheared grid along which its slices follow each other.

    The other two are at right angles; of several such axes, it's the one with the longest voxels.
    """
    cosines = np.abs(_cosines(affine))
    angles = np.array([cosines[(axis + 1) % 3, (axis + 2) % 3] for axis in range(3)])
    return int(np.argmax(np.where(angles <= max(RIGHT, angles.min()), voxel_sizes(affine), -1.0)))


def straight_sizes(affine: np.ndarray) -> np.ndarray:
    """Voxel sizes in mm along an invertible affine's axes; of sheared slices, the distance between their planes."""
    sizes = voxel_sizes(affine)
    if is_sheared(affine):
        axis = slice_axis(affine)
        sizes[axis] = abs(np.linalg.det(affine[:3, :3])) / np.prod(np.delete(sizes, axis))
    return sizes


def straightened(array: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A label [i, j, k] of a sheared grid on one of right angles, and its affine: every slice moved within its plane to where it lies.

    Slices keep their planes and voxels; they are moved by whole voxels, hence by at most half a voxel too far.

    Raises:
        DataError: the slices themselves have no right angles.
    """
    axis = slice_axis(affine)
    plane = [other for other in range(3) if other != axis]
    if abs(_cosines(affine)[plane[0], plane[1]]) > RIGHT:
        raise DataError("the scan's axes have no right angles at all, which no segmentation can be written for; resample the scan.")
    columns = affine[:3, :3]
    across = columns[:, plane]
    shift = np.linalg.lstsq(across, columns[:, axis], rcond=None)[0]  # voxels within the plane from one slice to the next
    moves = np.rint(np.arange(array.shape[axis])[:, None] * shift).astype(int)
    first = moves.min(0)
    shape = list(array.shape)
    for number, other in enumerate(plane):
        shape[other] += int(np.ptp(moves[:, number]))
    straight = np.zeros(shape, array.dtype)
    for index, move in enumerate(moves - first):
        place: list = [0, 0, 0]
        place[axis] = index
        for number, other in enumerate(plane):
            place[other] = slice(move[number], move[number] + array.shape[other])
        straight[tuple(place)] = array.take(index, axis)
    result = affine.copy()
    result[:3, axis] = columns[:, axis] - across @ shift
    result[:3, 3] = affine[:3, 3] + across @ first
    return straight, result


def _cosines(affine: np.ndarray) -> np.ndarray:
    """Of the angles between axes, [3, 3], zero on the diagonal."""
    unit = affine[:3, :3] / voxel_sizes(affine)
    return unit.T @ unit - np.eye(3)
