"""Training patches: which piece of which case, changed how, is a pure function of a seed and a counter."""

import dataclasses
import functools
import math
from collections.abc import Sequence

import numpy as np

from scnas_keras.errors import ConfigError
from scnas_keras.patches.augmentation import Augmentation
from scnas_keras.patches.resampling import resample_image, resample_label
from scnas_keras.patches.spatial import SpatialDraw, Warp, make_warp
from scnas_keras.preprocessing.cache import OUTSIDE, PreparedCase

OPEN_CASES = 32
_SPACE, _INTENSITY, _MIRROR = 1, 2, 3  # independent random streams of an item beside that of its place
# Voxels read around a warped patch. A cubic spline's filter forgets its border by 0.27 a voxel: with 4, white noise of
# deviation 1 is off by 0.003 at most.
_MARGIN = {1: 0, 3: 4}
_Spans = tuple[tuple[int, int], ...]


@dataclasses.dataclass(frozen=True)
class Draw:
    """All that is decided about an item before a voxel is read.

    Attributes:
        index: of the item.
        case: number of the case among the sampler's.
        foreground: whether it's to be centred on a foreground voxel.
        label: class of the voxel that it's centred on; None for a place drawn uniformly.
        start: first voxel of the patch before it's warped; negative along axes where the case is smaller.
        spatial: parameters of the resampling; None for a patch read as it is.
        window: first and last + 1 voxel that are needed along the plan axes; it may reach beyond the case.
        box: the window's part within the case: what is read.
        mirrored: plan axes along which the result is flipped.
        intensity_seed: of all that happens to the intensities.
    """

    index: int
    case: int
    foreground: bool
    label: int | None
    start: tuple[int, int, int]
    spatial: SpatialDraw | None
    window: _Spans
    box: _Spans
    mirrored: tuple[int, ...]
    intensity_seed: tuple[int, ...]


class PatchSampler:
    """Draws patches from prepared cases.

    Item `index` of a sampler is the same whenever, in whichever order and by however many threads it's asked for.

    Args:
        cases: cases to draw from, uniformly.
        patch_size: voxels along the plan axes; two sizes are for a slice along plan axis 0.
        foreground_share: share of the items that are centred on a foreground voxel: exactly
            floor(n * share) of the first n. The class is drawn uniformly from those present in the case.
        seed: of all draws.
        augmentation: how patches are changed; by default they aren't.
        spacing: mm along the plan axes, for rotations; without it, or where it's None, voxels count as 1 mm.
        mask_channels: for each channel, whether voxels outside of the nonzero mask are 0. With one such channel, labels
            hold OUTSIDE there; a patch has 0 in their place.

    Raises:
        ConfigError: no cases, a size below 1, or a share outside of 0 to 1.
    """

    def __init__(
        self,
        cases: Sequence[PreparedCase],
        patch_size: Sequence[int],
        foreground_share: float = 0.5,
        seed: int = 0,
        augmentation: Augmentation = Augmentation(),
        spacing: Sequence[float | None] | None = None,
        mask_channels: Sequence[bool] = (),
    ):
        if not cases:
            raise ConfigError("No case to draw patches from. Check the fold, or label more cases.")
        if len(patch_size) not in (2, 3) or min(patch_size) < 1:
            raise ConfigError(f"A patch has two or three positive sizes, got {list(patch_size)}.")
        if not 0 <= foreground_share <= 1:
            raise ConfigError(f"The share of foreground patches must lie between 0 and 1, got {foreground_share}.")
        self.cases = tuple(cases)
        self.patch_size = tuple(int(size) for size in patch_size)
        self.foreground_share = foreground_share
        self.seed = seed
        self.augmentation = augmentation
        self._size = (1,) * (3 - len(self.patch_size)) + self.patch_size
        self._warped_axes = slice(1 if augmentation.in_plane or len(patch_size) == 2 else 0, 3)
        self._spacing = tuple(size or 1.0 for size in ((None,) * 3 if spacing is None else spacing))
        self._masked = [channel for channel, masked in enumerate(mask_channels) if masked]
        # A memory map holds a file descriptor, so that only so many cases stay open. They're shared by all threads.
        self._arrays = functools.lru_cache(OPEN_CASES)(self._open)

    @property
    def num_channels(self) -> int:
        """Number of image channels."""
        return self._arrays(0)[0].shape[3]

    def is_foreground(self, index: int) -> bool:
        """Whether item `index` is centred on a foreground voxel."""
        return math.floor((index + 1) * self.foreground_share) > math.floor(index * self.foreground_share)

    def draw(self, index: int) -> Draw:
        """Decides everything about item `index` without reading voxels."""
        return self._draw(int(index))[0]

    def sample(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Item `index`: image float32 [*patch_size, channels] and label int32 [*patch_size].

        A patch lies within its case unless it's warped. What lies beyond the case is 0: the mean intensity, labelled
        background.
        """
        draw, warp = self._draw(int(index))
        stored_image, stored_label = self._arrays(draw.case)
        image = _read(stored_image, draw.window, 0, np.float32)
        label = _read(stored_label, draw.window, OUTSIDE if self._masked else 0, np.uint8)
        if warp is not None:
            centre = self._centre(draw.start) - [first for first, _ in draw.window[self._warped_axes]]
            image = resample_image(image, warp, centre, self.augmentation.image_order)
            label = resample_label(label, warp, centre)
        image = self.augmentation.apply_intensity(image, np.random.default_rng(draw.intensity_seed))
        if self._masked:
            outside = label == OUTSIDE
            label[outside] = 0
            for channel in self._masked:
                image[..., channel][outside] = 0
        image, label = np.flip(image, draw.mirrored), np.flip(label, draw.mirrored)
        channels = image.shape[3:]
        return (np.ascontiguousarray(image).reshape(self.patch_size + channels), label.astype(np.int32, "C").reshape(self.patch_size))

    def _open(self, case: int) -> tuple[np.ndarray, np.ndarray]:
        return self.cases[case].image(), self.cases[case].label()

    def _draw(self, index: int) -> tuple[Draw, Warp | None]:
        random = self._random(index)
        number = int(random.integers(len(self.cases)))
        case, foreground = self.cases[number], self.is_foreground(index)
        start, label = self._place(case, random, foreground)
        spatial = self.augmentation.draw_spatial(self._random(index, _SPACE))
        warp = None
        window = [(first, first + size) for first, size in zip(start, self._size)]
        if spatial is not None:
            axes = self._warped_axes
            warp = make_warp(spatial, self._size[axes], self._spacing[axes])
            window[axes] = self._window(warp, self._centre(start), case.shape[axes])
        box = tuple((max(first, 0), min(last, size)) for (first, last), size in zip(window, case.shape))
        mirrored = self.augmentation.draw_mirrors(self._random(index, _MIRROR))
        return Draw(index, number, foreground, label, start, spatial, tuple(window), box, mirrored, (self.seed, index, _INTENSITY)), warp

    def _place(self, case: PreparedCase, random: np.random.Generator, foreground: bool) -> tuple[tuple[int, int, int], int | None]:
        """The patch's first voxel, negative along axes that need padding, and the class it's centred on."""
        room = [size - patch for size, patch in zip(case.shape, self._size)]
        start = [int(random.integers(max(space, 0) + 1)) for space in room]
        present = sorted(value for value, count in case.classes.items() if count) if foreground else []
        label = None
        if present:  # empty for a lesion that was lost in resampling; the uniform position stands
            label = int(random.choice(present))
            centre = case.foreground_voxel(label, int(random.integers(case.classes[label])))
            start = [int(np.clip(voxel - patch // 2, 0, max(space, 0))) for voxel, patch, space in zip(centre, self._size, room)]
        return tuple(-(-space // 2) if space < 0 else first for space, first in zip(room, start)), label

    def _window(self, warp: Warp, centre: np.ndarray, shape: Sequence[int]) -> list[tuple[int, int]]:
        """The tight box around a warped patch and its neighbours; of what is beyond the case, a border of zeros.

        It shares a voxel with the case along each axis, also where a deformation moves a small patch out of it.
        """
        margin = _MARGIN[self.augmentation.image_order]
        low, high = (centre + reach for reach in warp.reach)
        return [
            (min(max(math.floor(first) - margin, -1 - margin), size - 1), max(min(math.floor(last) + 2 + margin, size + 1 + margin), 1))
            for first, last, size in zip(low, high, shape)
        ]

    def _centre(self, start: Sequence[int]) -> np.ndarray:
        """Middle of the patch along the warped axes, in voxels of the case."""
        return (np.array(start) + (np.array(self._size) - 1) / 2)[self._warped_axes]

    def _random(self, index: int, *stream: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, index, *stream))


def _read(array: np.ndarray, window: _Spans, fill: int, dtype: type) -> np.ndarray:
    """Copies a window of a memory-mapped array, one channel after the other; what lies outside of it is `fill`."""
    size = [last - first for first, last in window]
    result = np.moveaxis(np.full((*array.shape[3:], *size), fill, dtype), range(array.ndim - 3), range(3, array.ndim))
    inside = [(max(first, 0), min(last, limit)) for (first, last), limit in zip(window, array.shape)]
    place = tuple(slice(low - first, high - first) for (low, high), (first, _) in zip(inside, window))
    result[place] = array[tuple(slice(low, high) for low, high in inside)]
    return result
