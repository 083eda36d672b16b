"""Resamples what was read of a case to a warped patch: intensities by splines, labels by a vote of the neighbours."""

import itertools

import numpy as np
from scipy import ndimage

from scnas_keras.patches.spatial import Warp


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
    result = np.empty((len(planes), *warp.shape), np.float32)
    start = centre - warp.matrix @ ((np.array(warp.shape) - 1) / 2)
    places = None if warp.displacement is None else warp.offsets + _column(centre.astype(np.float32), rank)
    for plane, target in zip(planes, result):
        if order > 1:
            plane = ndimage.spline_filter(plane, order, np.float32)
        if places is None:
            ndimage.affine_transform(plane, warp.matrix, start, warp.shape, target, order, "constant", prefilter=False)
        else:
            ndimage.map_coordinates(plane, places, target, order, "constant", prefilter=False)
    return np.moveaxis(result.reshape(*channels.shape[:-rank], *warp.shape), 0, -1)


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
    flat_index, weights = _neighbours(warp, centre, box.shape[-rank:])
    result = np.empty((*box.shape[:-rank], *warp.shape), np.uint8)
    sheets = zip(box.reshape(-1, *box.shape[-rank:]), result.reshape(-1, flat_index.shape[1]))
    for sheet, target in sheets:
        votes = sheet.ravel()[flat_index]
        target[...] = votes[0]
        contested = np.flatnonzero((votes[1:] != votes[0]).any(axis=0))
        target[contested] = _elect(votes[:, contested], weights(contested))
    return result


def _neighbours(warp: Warp, centre: np.ndarray, shape: tuple[int, ...]):
    """Flat indices of the neighbours, int [2^axes, voxels], and a function from voxels to their weights."""
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

    return flat + steps[:, None], weights


def _elect(votes: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The label with the largest sum of weights in each column of votes [voters, voxels]."""
    best, most = np.full(votes.shape[1], 255, np.uint8), np.full(votes.shape[1], -1, np.float32)
    for candidate in votes:
        total = (weights * (votes == candidate)).sum(axis=0)
        better = (total > most) | ((total == most) & (candidate < best))
        best, most = np.where(better, candidate, best), np.where(better, total, most)
    return best


def _column(values: np.ndarray, rank: int) -> np.ndarray:
    return values.reshape(-1, *[1] * rank)
