"""Whole scans through a network that sees patches, a row of voxels after the other: memory holds the rows of one band of tiles."""

import dataclasses
import functools
import itertools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from scnas_keras.machine.memory import usable_cpus
from scnas_keras.machine.scratch import RowPool, Scratch

OVERLAP = 0.5
"""The share of a patch that neighbouring tiles have in common, at least."""


def tile_step(patch: int) -> float:
    """Voxels from one tile to the next, at most: a whole one where a tile has no more."""
    return max(1.0, patch * (1 - OVERLAP))


def tile_starts(size: int, patch: int) -> list[int]:
    """First voxels of the tiles along one axis: evenly spread, at least `OVERLAP` of a patch shared, ends included."""
    if size <= patch:
        return [0]
    count = int(np.ceil((size - patch) / tile_step(patch))) + 1
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


_ROW_AXES = 1, 3, 4
"""Of what a network gives: where the patch's axes are."""


@dataclasses.dataclass(frozen=True)
class Row:
    """Class probabilities of a row of voxels, as a sequence: of each class float32 [y, z]. Each voxel's sum to 1.

    It lies in columns as wide as a tile, one after the other: what a tile adds to is then in few places of the file, of which the system
    writes whole pages.

    Attributes:
        columns: [columns, classes + 1, y, width], sums of weighted probabilities, and last of weights.
        inside: what of y and z is the scan's.
    """

    columns: np.ndarray
    inside: tuple[slice, slice]

    def __len__(self) -> int:
        return self.columns.shape[1] - 1

    def __getitem__(self, index: int) -> np.ndarray:
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self._map(index) / self._weights

    @functools.cached_property
    def _weights(self) -> np.ndarray:
        return self._map(-1)

    def _map(self, number: int) -> np.ndarray:
        columns = np.moveaxis(self.columns[:, number], 0, 1)
        return columns.reshape(len(columns), -1)[self.inside]


class ProbabilityRows:
    """Class probabilities of a preprocessed scan from half-overlapping tiles, row by row along its first axis.

    A row is valid until it is given back by `release`.

    Args:
        network: [batch, *patch_size, channels] to class probabilities, of each patch row by row: [batch, x, num_classes, y, z].
        image: float32 [x, y, z, channels]; where it is smaller than a patch it is padded with zeros, the mean intensity.
        patch_size: voxels of a tile.
        num_classes: classes, background included.
        scratch: where rows are held.
        mirror_axes: spatial axes (0, 1, 2) to flip; probabilities are averaged over all their combinations.
        batch: tiles that the network takes at a time.
        progress: called with (tiles done, tiles in all).
    """

    def __init__(
        self,
        network: Callable[[np.ndarray], np.ndarray],
        image: np.ndarray,
        patch_size: Sequence[int],
        num_classes: int,
        scratch: Scratch,
        mirror_axes: Sequence[int] = (),
        batch: int = 1,
        progress: Callable[[int, int], None] | None = None,
    ):
        self._network, self._image, self._patch, self._classes = network, image, tuple(patch_size), num_classes
        self._batch, self._progress = batch, progress
        self._flips = [axes for n in range(len(mirror_axes) + 1) for axes in itertools.combinations(mirror_axes, n)]
        self._size = image.shape[:-1]
        self._padded = tuple(max(n, patch) for n, patch in zip(self._size, self._patch))
        self._before = tuple((padded - n) // 2 for padded, n in zip(self._padded, self._size))
        self._starts = [tile_starts(padded, patch) for padded, patch in zip(self._padded, self._patch)]
        self._weight = tile_weight(self._patch)
        columns = -(-self._padded[2] // self._patch[2])
        self._pool = RowPool(scratch, (columns, num_classes + 1, self._padded[1], self._patch[2]))
        self._lent: deque[np.ndarray] = deque()
        self._workers = usable_cpus()

    def release(self) -> None:
        """Gives back the oldest row that was handed out."""
        self._pool.give(self._lent.popleft())

    def __iter__(self) -> Iterator[Row]:
        held: deque[np.ndarray] = deque()
        begins, total = self._starts[0], len(self._starts[0]) * len(self._starts[1]) * len(self._starts[2])
        inside = tuple(slice(before, before + n) for before, n in zip(self._before, self._size))
        done = 0
        for first, end in zip(begins, [*begins[1:], self._padded[0]]):
            new = [self._pool.take() for _ in range(self._patch[0] - len(held))]
            self._each(lambda row: row.fill(0), new)
            held.extend(new)
            for places in _groups(itertools.product(*self._starts[1:]), self._batch):
                self._add(list(held), first, places)
                done += len(places)
                if self._progress:
                    self._progress(done, total)
            for index in range(first, end):
                row = held.popleft()
                if not inside[0].start <= index < inside[0].stop:
                    self._pool.give(row)
                    continue
                self._lent.append(row)
                yield Row(row, inside[1:])

    def _add(self, held: Sequence[np.ndarray], first: int, places: Sequence[tuple[int, ...]]) -> None:
        """Adds weighted probabilities of tiles, and their weights, to the rows that they cover."""
        tiles = np.zeros((self._batch, *self._patch, self._image.shape[-1]), np.float32)
        for tile, place in zip(tiles, places):
            self._cut((first, *place), tile)
        share = self._weight / len(self._flips)
        for axes in self._flips:
            flipped = np.ascontiguousarray(np.flip(tiles, [axis + 1 for axis in axes]))
            values = np.flip(np.asarray(self._network(flipped), np.float32), [_ROW_AXES[axis] for axis in axes])
            for own, place in zip(values, places):
                self._each(functools.partial(_add_row, held, own, share, slice(self._classes), place), range(self._patch[0]))
        ones = np.ones((self._patch[0], 1, 1, 1), np.float32)
        for place in places:
            for index in range(self._patch[0]):
                _add_row(held, ones, self._weight, slice(self._classes, None), place, index)

    def _each(self, work: Callable[[Any], None], rows: Sequence) -> None:
        """Does work on rows side by side: NumPy lets other threads run meanwhile."""
        shares = [rows[first :: self._workers] for first in range(min(self._workers, len(rows)))]
        for _ in _threads().map(lambda share: [work(row) for row in share], shares):
            pass

    def _cut(self, start: Sequence[int], tile: np.ndarray) -> None:
        """Copies what the scan has of a tile."""
        begin = [first - before for first, before in zip(start, self._before)]
        source = tuple(slice(max(0, first), min(n, first + patch)) for first, n, patch in zip(begin, self._size, self._patch))
        target = tuple(slice(part.start - first, part.stop - first) for part, first in zip(source, begin))
        tile[target] = self._image[source]


@functools.cache
def _threads() -> ThreadPoolExecutor:
    """Those of the process, for all networks."""
    return ThreadPoolExecutor(usable_cpus())


def _add_row(held: Sequence[np.ndarray], values: np.ndarray, share: np.ndarray, maps: slice, place: tuple[int, int], index: int) -> None:
    """Adds one row of a tile's values [x, maps, y, z], times its weights [x, y, z], to some maps of the row that is held, at (y, z)."""
    weighted = values[index] * share[index]
    height, width = share.shape[1:]
    column, offset = divmod(place[1], width)
    for number, target, source in (
        (column, slice(offset, width), slice(0, width - offset)),
        (column + 1, slice(0, offset), slice(width - offset, width)),
    ):
        if target.stop > target.start:
            held[index][number, maps, place[0] : place[0] + height, target] += weighted[..., source]


def _groups(places: Iterator[tuple[int, ...]], size: int) -> Iterator[list[tuple[int, ...]]]:
    while group := list(itertools.islice(places, size)):
        yield group
