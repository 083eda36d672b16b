"""Training patches: which piece of which case is a pure function of a seed and a counter."""

import math
from collections.abc import Sequence

import numpy as np

from scnas_keras.preprocessing.cache import PreparedCase
from scnas_keras.errors import ConfigError

PARALLEL_READS = 2


class PatchSampler:
    """Draws patches from prepared cases.

    Item `index` of a sampler is the same whenever, in whichever order and by however many threads it's asked for.

    Args:
        cases: cases to draw from, uniformly.
        patch_size: voxels along x, y, z.
        foreground_share: share of the items that are centred on a foreground voxel: exactly
            floor(n * share) of the first n. The class is drawn uniformly from those present in the case.
        seed: of all draws.

    Raises:
        ConfigError: no cases, a size below 1, or a share outside of 0 to 1.
    """

    def __init__(self, cases: Sequence[PreparedCase], patch_size: Sequence[int], foreground_share: float = 0.5,
                 seed: int = 0):
        if not cases:
            raise ConfigError("No case to draw patches from. Check the fold, or label more cases.")
        if len(patch_size) != 3 or min(patch_size) < 1:
            raise ConfigError(f"A patch has three positive sizes, got {list(patch_size)}.")
        if not 0 <= foreground_share <= 1:
            raise ConfigError(f"The share of foreground patches must lie between 0 and 1, got {foreground_share}.")
        self.cases = tuple(cases)
        self.patch_size = tuple(int(size) for size in patch_size)
        self.foreground_share = foreground_share
        self.seed = seed

    @property
    def num_channels(self) -> int:
        """Number of image channels."""
        return self.cases[0].image().shape[3]

    def is_foreground(self, index: int) -> bool:
        """Whether item `index` is centred on a foreground voxel."""
        return math.floor((index + 1) * self.foreground_share) > math.floor(index * self.foreground_share)

    def sample(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Item `index`: image float32 [*patch_size, channels] and label int32 [*patch_size].

        A patch lies within its case. Along axes where the case is smaller, it's centred in the patch and surrounded by
        zeros: the mean intensity, labelled background.
        """
        random = np.random.default_rng(np.random.SeedSequence([self.seed, int(index)]))
        case = self.cases[random.integers(len(self.cases))]
        start = self._start(case, random, self.is_foreground(int(index)))
        return (_read(case.image(), start, self.patch_size, np.float32),
                _read(case.label(), start, self.patch_size, np.int32))

    def _start(self, case: PreparedCase, random: np.random.Generator, foreground: bool) -> list[int]:
        """The patch's first voxel; negative along axes that need padding."""
        room = [size - patch for size, patch in zip(case.shape, self.patch_size)]
        start = [int(random.integers(max(space, 0) + 1)) for space in room]
        voxels = case.foreground() if foreground else {}
        if voxels:  # empty for a lesion that was lost in resampling; the uniform position stands
            chosen = voxels[random.choice(sorted(voxels))]
            centre = chosen[random.integers(len(chosen))]
            start = [int(np.clip(voxel - patch // 2, 0, max(space, 0)))
                     for voxel, patch, space in zip(centre, self.patch_size, room)]
        return [-(-space // 2) if space < 0 else first for space, first in zip(room, start)]


def patch_dataset(sampler: PatchSampler, batch_size: int, start: int, count: int):
    """The sampler's items as a `tf.data.Dataset`.

    Args:
        sampler: where the items come from.
        batch_size: items a batch.
        start: number of batches to skip: the first item is `start * batch_size`.
        count: number of batches.

    Returns:
        A dataset of `count` batches: image float32 [batch, *patch_size, channels], label int32 [batch, *patch_size].
    """
    import tensorflow as tf

    def load(index):
        image, label = tf.numpy_function(sampler.sample, [index], (tf.float32, tf.int32))
        image.set_shape((*sampler.patch_size, channels))
        label.set_shape(sampler.patch_size)
        return image, label

    channels = sampler.num_channels
    items = tf.data.Dataset.range(start * batch_size, (start + count) * batch_size)
    items = items.map(load, num_parallel_calls=PARALLEL_READS, deterministic=True)
    return items.batch(batch_size, drop_remainder=True).prefetch(2)


def _read(array: np.ndarray, start: Sequence[int], patch_size: Sequence[int], dtype: type) -> np.ndarray:
    """Copies a box of a memory-mapped array; what lies outside of the array is 0."""
    first = [max(begin, 0) for begin in start]
    last = [min(begin + size, limit) for begin, size, limit in zip(start, patch_size, array.shape)]
    result = np.zeros((*patch_size, *array.shape[3:]), dtype)
    place = tuple(slice(low - begin, high - begin) for low, high, begin in zip(first, last, start))
    result[place] = array[tuple(map(slice, first, last))]
    return result
