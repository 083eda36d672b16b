"""An index of labelled voxels, from which patches are centred on a class without reading the label."""

import zlib
from collections.abc import Sequence

import numpy as np

MIN_VOXELS = 10_000
MIN_SHARE = 0.01
_SLAB_VOXELS = 2**22


def foreground_index(label: np.ndarray, values: Sequence[int], name: str) -> tuple[np.ndarray, dict[int, int]]:
    """Chooses voxels of each class: 10000 or 1 %, whichever is more, or all where there are fewer (nnU-Net 2.6).

    Args:
        label: uint8 [a, b, c].
        values: the classes that patches may be centred on.
        name: the case's; with the class it seeds the draw.

    Returns:
        Voxel indices, int32 [n, 3], ordered by class and within a class by place; and for each class that `label`
        has, in the order of `values`, how many of the rows are its.
    """
    counts = _counts(label)
    chosen = {value: _draw(counts[value], name, value) for value in values if counts[value]}
    voxels = [_find(label, value, ranks) for value, ranks in chosen.items()]
    return (np.concatenate([np.empty((0, 3), np.int32), *voxels]), {value: len(ranks) for value, ranks in chosen.items()})


def _counts(label: np.ndarray) -> list[int]:
    return sum(np.bincount(block.reshape(-1), minlength=256) for _, block in _slabs(label)).tolist()


def _draw(count: int, name: str, value: int) -> np.ndarray:
    """Which of a class' voxels, counted from its first, sorted."""
    size = max(min(MIN_VOXELS, count), int(np.ceil(MIN_SHARE * count)))
    random = np.random.default_rng([zlib.crc32(name.encode()), value])
    return np.sort(random.choice(count, size, replace=False, shuffle=False))


def _find(label: np.ndarray, value: int, ranks: np.ndarray) -> np.ndarray:
    found, before = [], 0
    for first, block in _slabs(label):
        places = np.flatnonzero(block == value)
        mine = ranks[np.searchsorted(ranks, before) : np.searchsorted(ranks, before + len(places))] - before
        within = np.stack(np.unravel_index(places[mine], block.shape), axis=1).astype(np.int32)
        found.append(within + np.int32([first, 0, 0]))
        before += len(places)
    return np.concatenate(found)


def _slabs(label: np.ndarray) -> list[tuple[int, np.ndarray]]:
    thickness = max(1, _SLAB_VOXELS // (label.shape[1] * label.shape[2]))
    return [(first, label[first : first + thickness]) for first in range(0, label.shape[0], thickness)]
