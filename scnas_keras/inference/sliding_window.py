"""Whole scans through a network that sees patches."""

import itertools
from collections.abc import Callable, Sequence

import numpy as np


def tile_starts(size: int, patch: int, overlap: float = 0.5) -> list[int]:
    """First voxels of the tiles along one axis: evenly spread, at least `overlap` of a patch shared, ends included."""
    if size <= patch:
        return [0]
    count = int(np.ceil((size - patch) / (patch * (1 - overlap)))) + 1
    return [round(start) for start in np.linspace(0, size - patch, count)]


def tile_weight(patch_size: Sequence[int]) -> np.ndarray:
    """Weight of a tile's voxels, float32 [*patch_size]: a Gaussian of sigma patch / 8 around its centre, as in nnU-Net.

    Predictions are better in the middle of a patch than at its border. Never 0, so that every voxel has a weight.
    """
    axes = [np.exp(-0.5 * ((np.arange(n) - (n - 1) / 2) / (n / 8)) ** 2) for n in patch_size]
    weight = np.ones(1)
    for axis in axes:
        weight = weight[..., None] * axis
    return np.maximum(weight[0] / weight.max(), 1e-4).astype(np.float32)


def predict_volume(
    network: Callable[[np.ndarray], np.ndarray],
    image: np.ndarray,
    patch_size: Sequence[int],
    num_classes: int,
    mirror_axes: Sequence[int] = (),
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """Class probabilities of a whole preprocessed scan from half-overlapping tiles.

    Args:
        network: [1, *patch_size, channels] to logits [1, *patch_size, num_classes].
        image: float32 [x, y, z, channels]; where it is smaller than a patch it is padded with zeros, the mean intensity.
        patch_size: voxels of a tile.
        num_classes: classes, background included.
        mirror_axes: spatial axes (0, 1, 2) to flip; probabilities are averaged over all their combinations.
        progress: called with (tiles done, tiles in all).

    Returns:
        float32 [x, y, z, num_classes]; each voxel sums to 1.
    """
    size = image.shape[:-1]
    padding = [max(0, patch - n) for n, patch in zip(size, patch_size)]
    before = [p // 2 for p in padding]
    padded = np.pad(image, [*((b, p - b) for b, p in zip(before, padding)), (0, 0)])
    total = np.zeros((*padded.shape[:-1], num_classes), np.float32)
    weights = np.zeros((*padded.shape[:-1], 1), np.float32)
    weight = tile_weight(patch_size)[..., None]
    tiles = list(itertools.product(*(tile_starts(n, patch) for n, patch in zip(padded.shape, patch_size))))
    for done, start in enumerate(tiles, start=1):
        tile = tuple(slice(s, s + patch) for s, patch in zip(start, patch_size))
        total[tile] += weight * _probabilities(network, padded[tile], mirror_axes)
        weights[tile] += weight
        if progress:
            progress(done, len(tiles))
    inside = tuple(slice(b, b + n) for b, n in zip(before, size))
    total = total[inside]
    total /= weights[inside]  # in place: with many classes, a second such array is what memory doesn't hold
    return total


def _probabilities(network, patch: np.ndarray, mirror_axes: Sequence[int]) -> np.ndarray:
    """Softmax of the logits, averaged over flips: [*patch, channels] -> [*patch, classes]."""
    flips = [axes for n in range(len(mirror_axes) + 1) for axes in itertools.combinations(mirror_axes, n)]
    mean = 0.0
    for axes in flips:
        logits = np.asarray(network(np.ascontiguousarray(np.flip(patch, axes))[None]), np.float32)[0]
        shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
        mean = mean + np.flip(shifted / shifted.sum(axis=-1, keepdims=True), axes) / len(flips)
    return mean
