"""Scans and labels in and out: one interface, the file's ending decides how.

Arrays are in canonical axes (see `scnas_keras.formats.geometry`). `scnas_keras.formats.endings` lists the formats.
"""

import dataclasses
import importlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType

import nibabel as nib
import numpy as np
from absl import logging

from scnas_keras.errors import ConfigError, DataError
from scnas_keras.formats.colours import are_colours, in_colour
from scnas_keras.formats.endings import ENDINGS, WRITABLE, ending_of, reader_of
from scnas_keras.formats.foreign import told, told_absent
from scnas_keras.formats.geometry import (
    CANONICAL,
    Geometry,
    Header,
    Volume,
    canonical_spacing,
    grid_difference,
    is_invertible,
)
from scnas_keras.formats.nifti import write_maps
from scnas_keras.formats.shear import is_sheared, straightened
from scnas_keras.formats.stored import Allocate as Allocate
from scnas_keras.formats.stored import Stored
from scnas_keras.formats.stored import in_memory as in_memory

Paths = str | Path | Sequence[Path]
PROBABILITY_ONE = 2**16 - 1
_SLAB = 32  # voxels; several neighbours along the axis that files store first, so that memory is read in whole lines


def read_header(paths: Paths, channels: Sequence[str] = (), own_series: bool = False) -> Header:
    """Reads shape, affine, spacing and number of channels of a file, or of a case's files with one channel each.

    Args:
        paths: its files.
        channels, own_series: see `read_image`.

    Raises DataError if a file can't be read, or several don't lie on one voxel grid.
    """
    return _header(_open_all(paths, channels, own_series))


def read_image(paths: Paths, allocate: Allocate = in_memory, channels: Sequence[str] = (), own_series: bool = False) -> Volume:
    """Reads an image from a file with one or several channels, or from several files with one channel each, in order.

    Args:
        paths: its files.
        allocate: makes the array that the image is read into, and those for what is unpacked on the way, such as
            `machine.scratch.Scratch.array`.
        channels: names of those wanted. Where they are colours, a gray picture gives three equal ones.
        own_series: whether the slices in a folder of DICOM may each have a series and a frame of reference of their own, as where they
            were made anonymous one by one.

    Raises:
        DataError: a file can't be read or is cut off, its affine maps the volume to a plane, or several files don't lie
            on one voxel grid.
        ConfigError: the format needs a library that isn't installed.
    """
    files = _open_all(paths, channels, own_series)
    for file in files:
        if file.indexed:
            raise DataError(f"{file.path}: its pixels are numbers of colours in a palette, not intensities. Save it as gray or RGB.")
    geometry = _geometry(files[0])
    shape = (*geometry.canonical_shape, sum(file.channels for file in files))
    array, channel, white = np.empty(0, np.float32), 0, 255
    for file in files:
        voxels = nib.apply_orientation(file.voxels(allocate), _geometry(file).orientation)
        array = array if channel else allocate(shape)  # only now: reading takes memory of its own
        for slab, values in _slabs(voxels, file):
            array[slab, ..., channel : channel + file.channels] = values
        channel += file.channels
        white = max(white, _white(voxels.dtype))
    padding = tuple(file.padding for file in files for _ in range(file.channels))
    return Volume(array, canonical_spacing(geometry.affine), geometry, padding, white)


def volume_of(array: np.ndarray, spacing: Sequence[float]) -> Volume:
    """An array [x, y, z, channels] in canonical axes, with the sizes of its voxels in mm, as if it had been read."""
    affine = np.diag([*map(float, spacing), 1.0])
    geometry = Geometry(Path("array"), affine, array.shape[:3], CANONICAL, None)
    return Volume(np.asarray(array, np.float32), canonical_spacing(affine), geometry, ((),) * array.shape[3])


def read_label(path: str | Path) -> tuple[np.ndarray, Geometry]:
    """Reads a segmentation as integers [x, y, z] (uint8 where the values fit, int32 otherwise).

    Raises:
        DataError: for the reasons of `read_image`, for several channels, for a format that changes values, and for
            values that aren't whole numbers.
        ConfigError: the format needs a library that isn't installed.
    """
    path = Path(path)
    file = _open_label(path)
    geometry = _geometry(file)
    voxels = nib.apply_orientation(file.voxels(in_memory), geometry.orientation)
    kind = _label_type(path, voxels, file)
    array = np.empty(voxels.shape[:3], kind)
    for slab, values in _slabs(voxels, file):
        array[slab] = values[..., 0]
    return array, geometry


def read_values(path: str | Path) -> tuple[np.ndarray, Geometry]:
    """What a label file of one channel holds, float64 [x, y, z], whatever it is; raises as `read_label` otherwise."""
    file = _open_label(Path(path))
    geometry = _geometry(file)
    voxels = nib.apply_orientation(file.voxels(in_memory), geometry.orientation)
    array = np.empty(voxels.shape[:3])
    for slab, values in _slabs(voxels, file):
        array[slab] = values[..., 0]
    return array, geometry


def write_label(path: str | Path, array: np.ndarray, geometry: Geometry) -> None:
    """Writes a segmentation [x, y, z] in canonical axes onto the voxel grid that `geometry` describes.

    The file has the affine and axis order of the scan (in NIfTI bit for bit, its unit too) and the smallest unsigned type that holds
    the labels. Tilted slices of other formats are put onto a grid of right angles. The file appears under its name only when it's complete.

    Raises:
        ConfigError: the name's ending isn't one that is written, needs a library that isn't installed, or is that of a
            picture and the array isn't flat.
        ValueError: `array` isn't an integer array of the geometry's canonical shape.
    """
    path = Path(path)
    ending = ending_of(path.name)
    if ending not in WRITABLE:
        raise ConfigError(f"{path}: let the name of a segmentation end in .nii.gz, or another of {', '.join(WRITABLE)}.")
    if array.shape != geometry.canonical_shape or array.dtype.kind not in "iu":
        raise ValueError(f"write_label needs an integer array of shape {geometry.canonical_shape}, got {array.dtype} {array.shape}")
    back = nib.orientations.ornt_transform(CANONICAL, geometry.orientation)
    stored = nib.apply_orientation(array, back).astype(np.min_scalar_type(int(array.max(initial=0))))
    if geometry.header is None and is_sheared(geometry.affine):  # a NIfTI scan's own header says whatever the scan's does
        stored, affine = straightened(stored, geometry.affine)
        geometry = dataclasses.replace(geometry, affine=affine, shape=stored.shape)
        logging.warning("%s: the scan's slices are tilted; the segmentation is written on a grid of right angles that holds them.", path)
    _module(ENDINGS[ending].reader).write_file(path, stored, geometry)


def write_probabilities(path: str | Path, array: np.ndarray, geometry: Geometry) -> None:
    """Writes probabilities [classes, x, y, z] in canonical axes, uint16 of which the largest means 1, as NIfTI onto a scan's grid.

    Classes are the fourth axis of the file. It is written map by map.
    """
    back = nib.orientations.ornt_transform(CANONICAL, geometry.orientation)
    order = [1 + int(axis) for axis in np.argsort(back[:, 0])]
    flipped = [slice(None), *(slice(None, None, int(step)) for step in back[:, 1])]
    write_maps(Path(path), array[tuple(flipped)].transpose(0, *order), 1 / PROBABILITY_ONE, geometry)


def _module(reader: str) -> ModuleType:
    return importlib.import_module(f"scnas_keras.formats.{reader}")


def _open(path: str | Path, own_series: bool = False) -> Stored:
    path = Path(path)
    if not path.exists():
        raise DataError(f"{path}: {told_absent(path) or 'no such file. Check the path, or download the file again.'}")
    reader, ending = reader_of(path), ending_of(path.name)
    if path.is_dir() and ending and ENDINGS[ending].reader != "dicom":
        raise DataError(
            f"{path}: a folder that is called like a file. Some programs unpack into such folders: put the file in it in its place."
        )
    if reader is None:
        if kind := told(path):
            raise DataError(f"{path}: {kind}")
        raise DataError(
            f"{path}: expected a scan whose name ends in {', '.join(ENDINGS)}, or a folder of DICOM "
            "slices. Convert it to .nii.gz, or correct its name."
        )
    return _module(reader).open_file(path, **({"own_series": True} if own_series and reader == "dicom" else {}))


def _open_label(path: Path) -> Stored:
    ending = ending_of(path.name)
    if ending and not ENDINGS[ending].label:
        raise DataError(
            f"{path}: {ending} files are compressed in a way that changes values, so no label can be "
            "stored in them. Export it again as .png."
        )
    file = _open(path)
    if file.channels > 1:
        raise DataError(
            f"{path}: a label needs one number per voxel and three axes, but this file has {file.channels} "
            "channels. Store one class number per voxel, not one channel per class or colour."
        )
    return file


def _open_all(paths: Paths, channels: Sequence[str], own_series: bool) -> list[Stored]:
    files = [_open(path, own_series) for path in ([paths] if isinstance(paths, (str, Path)) else paths)]
    if len(files) == 1 and are_colours(channels):
        return [in_colour(files[0])]
    first, *others = files
    for file in files if others else ():
        if file.channels != 1:
            raise DataError(
                f"{file.path}: of a case with several image files each must have 1 channel, this one has "
                f"{file.channels}. Keep all channels in one file, or one in each."
            )
        if problem := grid_difference(_header([first]), _header([file])):
            raise DataError(
                f"{file.path}: {problem.text} {first.path.name} of the same case. If they look aligned voxel by voxel, copy the affine; "
                "otherwise resample the channels of a case to one voxel grid."
            )
    return files


def _header(files: Sequence[Stored]) -> Header:
    first = files[0]
    doubts = tuple(dict.fromkeys(doubt for file in files for doubt in file.doubts))
    return Header(first.shape, sum(file.channels for file in files), first.affine, canonical_spacing(first.affine), doubts)


def _geometry(file: Stored) -> Geometry:
    if not is_invertible(file.affine):
        raise DataError(
            f"{file.path}: the affine in the header gives no volume (a zero spacing or "
            f"NaN):\n{file.affine}\nFix the header, for example by converting the scan from DICOM again."
        )
    return Geometry(file.path, file.affine, file.shape, nib.io_orientation(file.affine), file.header, file.doubts)


def _white(kind: np.dtype) -> int:
    return np.iinfo(kind).max if kind.kind == "u" and kind.itemsize <= 2 else 255


def _slabs(voxels: np.ndarray, file: Stored) -> Iterator[tuple[slice, np.ndarray]]:
    """Pieces along the first axis and their values, scaled in float64, for which the whole array would be too large."""
    for start in range(0, len(voxels), _SLAB):
        values = voxels[start : start + _SLAB]
        if (file.slope, file.inter) != (1, 0):
            values = values * np.float64(file.slope) + file.inter
        yield slice(start, start + _SLAB), values


def _label_type(path: Path, voxels: np.ndarray, file: Stored) -> type:
    """uint8 or int32 for whole numbers, else DataError."""
    broken, example, low, high = 0, None, 0, 0
    for _, values in _slabs(voxels, file):
        if values.dtype.kind == "f":
            wrong = ~(np.isfinite(values) & (values == np.round(values)))
            if wrong.any():
                example = values[wrong][0] if example is None else example
                broken += np.count_nonzero(wrong)
                continue
        low, high = min(low, int(values.min())), max(high, int(values.max()))
    if broken:
        raise DataError(
            f"{path}: labels must be whole numbers, but {broken} voxels are not, for "
            f"example {example:.9g}. Was the label resampled with interpolation? "
            "Resample it with nearest-neighbour, or export it again."
        )
    if low < np.iinfo(np.int32).min or high > np.iinfo(np.int32).max:
        raise DataError(f"{path}: holds values from {low} to {high}, which can't be class numbers. Export the label again.")
    return np.uint8 if low >= 0 and high <= 255 else np.int32
