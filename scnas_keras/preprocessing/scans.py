"""From a scan to the network's input, and from the network's output back to the scan.

Steps, as in nnU-Net v2: crop to the nonzero voxels, turn the axes as the plan says, normalise each channel, resample; SCNAS resamples
before it normalises. Where slices are brought to a size, they are whole. `restore_rows` undoes all but the normalisation.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from scnas_keras.checks.ranges import slabs
from scnas_keras.errors import DataError, counted
from scnas_keras.formats.volumes import Allocate, Volume, in_memory
from scnas_keras.preprocessing.cropping import Crop, crop_to_nonzero, nonzero_mask
from scnas_keras.preprocessing.denoising import denoised
from scnas_keras.preprocessing.grids import Grids, grids_of
from scnas_keras.preprocessing.normalization import AFTER_RESAMPLING, normalize
from scnas_keras.preprocessing.plan import PreprocessingPlan
from scnas_keras.preprocessing.resampling import resize, resize_label, resize_rows


class Preprocessed(NamedTuple):
    """A scan as the network sees it.

    Attributes:
        image: float32 [a, b, c, channels] in the plan's axes, at the plan's spacing.
        crop: where it lies in the scan, for `preprocess_label` and `restore_rows`.
        outside: bool [a, b, c], the voxels outside of the nonzero mask, where channels that use the mask are exactly 0.
            None unless a channel of the plan uses it.
    """

    image: np.ndarray
    crop: Crop
    outside: np.ndarray | None


def preprocess_image(volume: Volume, plan: PreprocessingPlan, allocate: Allocate = in_memory) -> Preprocessed:
    """Crops, normalises and resamples a scan.

    Beside the scan and the result it holds one channel of the crop, two where the plan denoises.

    Args:
        volume: from `read_image`; it isn't changed.
        plan: the plan of the task, or the one saved beside the model.
        allocate: makes the arrays for the result and for those channels.

    Raises:
        DataError: the number of channels isn't the plan's, a voxel is NaN or infinite, all are zero, or colours don't
            lie in 0 to 255.
        ConfigError: the plan denoises, and SimpleITK isn't installed.
    """
    _check_channels(volume, plan)
    crop = crop_to_nonzero(volume.array, volume.spacing)
    if 0 in crop.size:
        raise DataError(f"{volume.geometry.path}: every voxel is 0. Export the scan again.")
    crop = crop.whole if plan.slice_size else crop
    grids = grids_of(crop, plan)
    cropped = volume.array[crop.slices].transpose(*plan.transpose, 3)
    inside = nonzero_mask(cropped) if any(plan.mask_channels) else None
    outside = None if inside is None else _resize_label(~inside, grids, plan)
    image = allocate((*grids.shape, len(plan.channels)))
    orders = grids.orders(plan.resampling.image_order)
    for index, channel in enumerate(plan.channels):
        late, values = channel.scheme == AFTER_RESAMPLING, cropped[..., index]
        if plan.denoising:
            values = denoised(values, plan.denoising, allocate)
        try:
            values = values if late else normalize(values, channel, inside, allocate)
        except DataError as error:
            raise DataError(f"{volume.geometry.path}: {error}") from error
        resize(values, grids.shape, orders, out=image[..., index])
        if late:
            image[..., index] = normalize(image[..., index], channel, None if outside is None else ~outside, allocate)
        if channel.use_mask:
            image[outside, index] = 0  # splines ring beyond the mask's border
    return Preprocessed(image, crop, outside)


def preprocess_label(label: np.ndarray, crop: Crop, plan: PreprocessingPlan) -> np.ndarray:
    """Brings a segmentation of the whole scan, integers [x, y, z], to the grid of its preprocessed image, [a, b, c].

    Every value counts as a class of its own, also one that the plan doesn't name.
    """
    return _resize_label(label[crop.slices].transpose(plan.transpose), grids_of(crop, plan), plan)


def restore_rows(
    rows: Iterable[Sequence[np.ndarray]], crop: Crop, plan: PreprocessingPlan, release: Callable[[], None] | None = None
) -> Iterator[tuple[slice, Iterator[np.ndarray]]]:
    """Brings class probabilities from the preprocessed grid onto that of the crop, along the plan's axes.

    Args:
        rows: of the grid of `preprocess_image`'s result, each a sequence of the classes' [b, c].
        crop: from `preprocess_image`.
        plan: the same as there.
        release: called for each row, in order, once it isn't needed any more.

    Yields:
        Rows along the plan's first axis, and for each class its map there: see `resize_rows`.
    """
    grids = grids_of(crop, plan)
    return resize_rows(rows, grids.shape, grids.size, grids.orders(plan.resampling.probabilities_order), release)


def _check_channels(volume: Volume, plan: PreprocessingPlan) -> None:
    path, array = volume.geometry.path, volume.array
    names = [channel.channel for channel in plan.channels]
    if array.shape[3] != len(names):
        raise DataError(
            f"{path}: expected {counted(len(names), 'channel')} ({', '.join(names)}), found {array.shape[3]}. "
            "Give the scan the channels of the task, in this order."
        )
    broken = array.size - sum(np.count_nonzero(np.isfinite(array[rows])) for rows in slabs(array.shape))
    if broken:
        raise DataError(f"{path}: {broken} voxels are NaN or infinite. Replace them, for example by 0.")


def _resize_label(label: np.ndarray, grids: Grids, plan: PreprocessingPlan) -> np.ndarray:
    return resize_label(label, grids.shape, grids.orders(plan.resampling.label_order))
