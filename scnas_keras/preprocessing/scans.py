"""From a scan to the network's input, and from the network's output back to the scan.

Steps: crop to the nonzero voxels, resample to the plan's spacing, normalise each channel. `restore_probabilities`
undoes the first two.
"""

import dataclasses

import numpy as np

from scnas_keras.planning.plans import Normalization, Plan, make_plan
from scnas_keras.preprocessing.resampling import resampled_shape, resize, resize_argmax, resize_label
from scnas_keras.formats.volumes import Volume
from scnas_keras.errors import DataError

__all__ = ["Crop", "Normalization", "Plan", "crop_to_nonzero", "make_plan", "preprocess_image", "preprocess_label",
           "restore_probabilities"]


@dataclasses.dataclass(frozen=True)
class Crop:
    """The box that was cut out of a scan of `shape`: from `start` up to, not including, `stop`; canonical voxels."""

    shape: tuple[int, int, int]
    start: tuple[int, int, int]
    stop: tuple[int, int, int]

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """Indexes the box in an array of `shape`."""
        return tuple(map(slice, self.start, self.stop))

    @property
    def size(self) -> tuple[int, int, int]:
        """The box's size in voxels."""
        return tuple(stop - start for start, stop in zip(self.start, self.stop))


def preprocess_image(volume: Volume, plan: Plan) -> tuple[np.ndarray, Crop]:
    """Crops, resamples and normalises a scan.

    Args:
        volume: from `read_image`.
        plan: the plan of the task, or the one saved beside the model.

    Returns:
        float32 [x, y, z, channels] at the plan's spacing, and the crop that `restore_probabilities` needs.

    Raises:
        DataError: the number of channels isn't the plan's, a voxel is NaN or infinite, or all are zero.
    """
    path, array = volume.geometry.path, volume.array
    names = [channel.channel for channel in plan.channels]
    if array.shape[3] != len(names):
        raise DataError(f"{path}: expected {len(names)} channels ({', '.join(names)}), found {array.shape[3]}. "
                        "Store the channels along the fourth axis, in this order.")
    if not np.isfinite(array).all():
        raise DataError(f"{path}: {array.size - np.count_nonzero(np.isfinite(array))} voxels are NaN or infinite. "
                        "Replace them, for example by 0.")
    crop = crop_to_nonzero(array)
    if 0 in crop.size:
        raise DataError(f"{path}: every voxel is 0. Export the scan again.")
    cropped = array[crop.slices]
    shape = resampled_shape(crop.size, volume.spacing, plan.spacing)
    inside = cropped.any(axis=-1)
    result = np.empty((*shape, len(names)), np.float32)
    for index, channel in enumerate(plan.channels):
        values = cropped[..., index]
        if channel.scheme == "zscore":
            # Statistics before resampling, which blurs the border of the nonzero voxels.
            known = values[inside].astype(np.float64)
            mean, std = float(known.mean()), float(max(known.std(), 1e-8))
            result[..., index] = (resize(values, shape, order=3) - mean) / std
        else:
            clipped = resize(values, shape, order=3).clip(channel.low, channel.high)
            result[..., index] = (clipped - channel.mean) / channel.std
    return result, crop


def preprocess_label(label: np.ndarray, crop: Crop, shape: tuple[int, int, int]) -> np.ndarray:
    """Brings a segmentation [x, y, z] of the whole scan to the `shape` of its preprocessed image."""
    return resize_label(label[crop.slices], shape)


def restore_probabilities(probabilities: np.ndarray, crop: Crop) -> np.ndarray:
    """Turns class probabilities (or logits) on the preprocessed grid into a segmentation of the whole scan.

    Args:
        probabilities: [x, y, z, classes] on the grid of `preprocess_image`'s result, any float type.
        crop: from `preprocess_image`.

    Returns:
        uint8 [x, y, z] of the scan's shape in canonical axes, ready for `write_label`; 0 outside of the crop.
    """
    result = np.zeros(crop.shape, np.uint8)
    result[crop.slices] = resize_argmax(probabilities, crop.size)
    return result


def crop_to_nonzero(array: np.ndarray) -> Crop:
    """The smallest box around the voxels of `array` [x, y, z, channels] that any channel has nonzero; empty if none."""
    inside = array.any(axis=-1)
    start, stop = [], []
    for axis in range(3):
        found = np.flatnonzero(inside.any(axis=tuple({0, 1, 2} - {axis})))
        start.append(int(found[0]) if found.size else 0)
        stop.append(int(found[-1]) + 1 if found.size else 0)
    return Crop(array.shape[:3], tuple(start), tuple(stop))
