"""Resamples what was read of a case to a warped patch: intensities by splines, labels by a vote of the neighbours."""

import functools
import itertools
import math
from collections.abc import Sequence

import numpy as np
import scipy

from scnas_keras.patches.spatial import Warp

_CHUNK = 2**14


def resample_image(box: np.ndarray, warp: Warp, centre: np.ndarray, order: int) -> np.ndarray:
    """Spline interpolation of an image.

    Args:
        box: float32 [a, b, c, channels], one channel after the other in memory. It reaches a few voxels beyond what the
            warp needs, with zeros where the case ends, so that its border never matters.
        warp: of all axes, or of the last two, when axis 0 keeps its slices.
        centre: the warp's centre in voxels of the box.
        order: of the spline, 1 or 3.

    Returns:
        float32 [*patch, channels], one channel after the other in memory.
    """
    rank = len(warp.shape)
    channels = np.moveaxis(box, -1, 0)
    planes = channels.reshape(-1, *channels.shape[-rank:])
    if order == 3:
        result = _cubic([scipy.ndimage.spline_filter(plane, 3, np.float32) for plane in planes], warp, centre)
    else:
        result = _linear(planes, warp, centre)
    return np.moveaxis(result.reshape(*channels.shape[:-rank], *warp.shape), 0, -1)


def _linear(planes: np.ndarray, warp: Warp, centre: np.ndarray) -> np.ndarray:
    """Planes [n, *box] by linear interpolation, float32 [n, *patch]."""
    result = np.empty((len(planes), *warp.shape), np.float32)
    start = centre - warp.matrix @ ((np.array(warp.shape) - 1) / 2)
    middle = centre.astype(np.float32).reshape(-1, *[1] * len(centre))
    places = None if warp.displacement is None else warp.offsets + middle
    for plane, target in zip(planes, result):
        if places is None:
            scipy.ndimage.affine_transform(plane, warp.matrix, start, warp.shape, target, 1, "constant")
        else:
            scipy.ndimage.map_coordinates(plane, places, target, 1, "constant")
    return result


def _cubic(planes: Sequence[np.ndarray], warp: Warp, centre: np.ndarray) -> np.ndarray:
    """Planes of spline coefficients [*box] at the places of a warp, float32 [n, *patch]; 0 beyond the box.

    What scipy.ndimage.map_coordinates gives, up to float32's rounding, in less than half its time: the weights are computed
    once for all planes. Chunks are of a size that stays in a core's own cache.
    """
    rank, limits = len(centre), planes[0].shape
    planes = [np.pad(plane, (1, 2), "reflect") for plane in planes]  # neighbours for places at the box's border
    steps = [math.prod(planes[0].shape[axis + 1 :]) for axis in range(rank)]
    flat, offsets = [plane.ravel() for plane in planes], warp.offsets.reshape(rank, -1)
    result = np.zeros((len(flat), offsets.shape[1]), np.float32)
    for first in range(0, offsets.shape[1], _CHUNK):
        chunk = slice(first, first + _CHUNK)
        weights, lowest, inside = [], 0, True
        for offset, middle, size, step in zip(offsets, centre, limits, steps):
            place = offset[chunk] + np.float32(middle)
            inside = inside & (place >= 0) & (place <= size - 1)
            low = np.floor(np.clip(place, 0, size - 1))
            weights.append(_b_spline(place - low))
            lowest = lowest + low.astype(np.intp) * step
        weights[0] = [weight * inside for weight in weights[0]]
        for corner in itertools.product(range(4), repeat=rank):
            if corner[-1] == 0:  # the last axis runs fastest
                head = functools.reduce(np.multiply, [weights[axis][place] for axis, place in enumerate(corner[:-1])])
            weight, voxels = head * weights[-1][corner[-1]], lowest + np.dot(corner, steps)
            for plane, target in zip(flat, result):
                target[chunk] += weight * plane.take(voxels, mode="clip")  # never out of range; skips a check
    return result.reshape(-1, *warp.shape)


def _b_spline(share: np.ndarray) -> list[np.ndarray]:
    """Weights of the four voxels around a place that lies `share` of a voxel beyond the second of them."""
    rest = 1 - share
    return [rest**3 / 6, 2 / 3 - share**2 * (2 - share) / 2, 2 / 3 - rest**2 * (2 - rest) / 2, share**3 / 6]


def resample_label(box: np.ndarray, warp: Warp, centre: np.ndarray) -> np.ndarray:
    """Linear interpolation of each class as a map of 0 and 1, then the class with most weight, the lower of equals.

    Only the 2^axes neighbours of a place have a weight there, so they vote: the cost doesn't depend on the number of
    classes, and a value that no neighbour has never appears.

    Args:
        box: uint8 [a, b, c], with the value for outside where the case ends.
        warp, centre: as for the image.

    Returns:
        uint8 [*patch].
    """
    rank = len(warp.shape)
    cells, corners, weights = _neighbours(warp, centre, box.shape[-rank:])
    result = np.empty((*box.shape[:-rank], *warp.shape), np.uint8)
    for sheet, target in zip(box.reshape(-1, *box.shape[-rank:]), result.reshape(-1, len(cells))):
        flat = sheet.ravel()
        target[...] = flat[cells]
        contested = np.flatnonzero(_mixed(sheet).ravel()[cells])
        target[contested] = _elect(flat[cells[contested] + corners[:, None]], weights(contested))
    return result


def _neighbours(warp: Warp, centre: np.ndarray, shape: tuple[int, ...]):
    """Where the neighbours of each place are, and their weights.

    Returns:
        The flat index of each place's first neighbour, int32 [voxels]; steps from it to all of them, int32 [2^axes];
        and a function from voxels to the weights of their neighbours, float32 [2^axes, voxels].
    """
    flat, shares = 0, []
    for offset, middle, size in zip(warp.offsets, centre, shape):
        place = np.clip(offset.ravel() + np.float32(middle), 0, size - 1)
        low = np.minimum(place.astype(np.int32), size - 2)
        shares.append(place - low)
        flat = flat * size + low
    corners = list(itertools.product((0, 1), repeat=len(shape)))
    steps = np.array([np.ravel_multi_index(corner, shape) for corner in corners], np.int32)

    def weights(voxels: np.ndarray) -> np.ndarray:
        near = [(1 - share[voxels], share[voxels]) for share in shares]
        return np.stack([np.prod([pair[side] for pair, side in zip(near, corner)], axis=0) for corner in corners])

    return flat, steps, weights


def _mixed(sheet: np.ndarray) -> np.ndarray:
    """Where a voxel and its next ones along all axes don't have one label alone; bool, the shape of `sheet`."""
    lowest = highest = sheet
    for axis in range(sheet.ndim):
        here, there = ((slice(None),) * axis + (part,) for part in (slice(-1), slice(1, None)))
        lowest, highest = np.minimum(lowest[here], lowest[there]), np.maximum(highest[here], highest[there])
    return np.pad(lowest != highest, [(0, 1)] * sheet.ndim)


def _elect(votes: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The label with the largest sum of weights in each column of votes [voters, voxels]."""
    best, most = np.full(votes.shape[1], 255, np.uint8), np.full(votes.shape[1], -1, np.float32)
    for candidate in votes:
        total = (weights * (votes == candidate)).sum(axis=0)
        better = (total > most) | ((total == most) & (candidate < best))
        best, most = np.where(better, candidate, best), np.where(better, total, most)
    return best
