"""The masks of CHAOS' CT scans (chaos.grand-challenge.org/Data): a picture for each slice, in a folder beside that of the slices.

The first mask by name is that of the first slice by name, and so on: i0007,0000b.dcm has liver_GT_007.png. Whatever isn't 0 is the liver.
"""

from pathlib import Path

import numpy as np

from scnas_keras.errors import DataError, counted, some_of, times
from scnas_keras.formats import pictures
from scnas_keras.formats.dicom import open_series
from scnas_keras.formats.endings import SLICES, mask_files
from scnas_keras.formats.stored import Allocate, Stored, in_memory

_AGAIN = "Unpack the download again."


def open_file(path: Path) -> Stored:
    """The masks of a scan as a label of 0 and 1 on its voxel grid.

    Raises:
        DataError: there isn't one for each slice, of its size and of one channel, or the scan can't be read.
    """
    scan, slices = open_series(path.parent / SLICES, own_series=True)
    masks, by_name = mask_files(path), sorted(slices)
    if len(masks) != len(slices):
        raise DataError(f"{path}: found {counted(len(masks), 'mask')} for {counted(len(slices), 'slice')} in {scan.path}. {_AGAIN}")
    opened = {file: pictures.open_file(mask) for file, mask in zip(by_name, masks)}
    for file, mask in opened.items():
        if mask.shape[:2] != scan.shape[:2]:
            sizes = f"{times(mask.shape[:2])} pixels, and its slice {file} {times(scan.shape[:2])}"
            raise DataError(f"{mask.path}: the mask has {sizes}. A mask is as large as its slice. {_AGAIN}")
        if mask.channels > 1:
            raise DataError(f"{mask.path}: a mask needs one number a pixel, found {mask.channels} channels. Save it as gray.")

    def voxels(_: Allocate) -> np.ndarray:
        array = np.empty((*scan.shape, 1), np.uint8)
        for place, file in enumerate(slices):
            mask = opened[file].voxels(in_memory)[:, :, 0]
            _check_one_organ(opened[file].path, mask)
            array[:, :, place] = mask != 0
        return array

    return Stored(path, scan.shape, 1, scan.affine, voxels)


def _check_one_organ(path: Path, mask: np.ndarray) -> None:
    """Raises DataError for a mask of several organs, as those of CHAOS' MR scans are."""
    values = [str(value) for value in np.unique(mask) if value]
    if len(values) > 1:
        raise DataError(
            f"{path}: a mask of a CT scan holds the liver alone, as 0 and one other value, found {some_of(values)} beside 0. Those of MR "
            "scans hold four organs: convert scan and masks to .nii.gz with a number a class, and write a dataset.json for them."
        )
