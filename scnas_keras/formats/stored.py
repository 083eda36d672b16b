"""One opened file, as every format's reader hands it over: header known, voxels on demand."""

import dataclasses
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from scnas_keras.errors import DataError
from scnas_keras.formats.foreign import told
from scnas_keras.formats.geometry import Doubt

Allocate = Callable[..., np.ndarray]
"""Makes an array of a shape and a type, float32 unless another is named."""


def in_memory(shape: Sequence[int], kind: Any = np.float32) -> np.ndarray:
    """A new array."""
    return np.empty(shape, kind)


@dataclasses.dataclass(frozen=True, eq=False)
class Stored:
    """A file whose header has been read.

    Attributes:
        path: the file, or the folder of a DICOM series.
        shape: the three spatial sizes in the file's axis order.
        channels: numbers per voxel.
        affine: [4, 4], voxel index in the file's axis order to millimetres, RAS+.
        voxels: reads the numbers as they are stored, [i, j, k, channels]; raises DataError if they can't be read. Where they are unpacked
            piece by piece, its argument makes the array for them.
        slope, inter: a stored number n means n * slope + inter.
        header: a NIfTI file's header, None for other formats.
        doubts: what of the header had to be assumed.
        indexed: the numbers index a colour table: classes of a label, but no intensities of an image.
        padding: the values from one to another that the header declares to be padding, outside of what was scanned.
    """

    path: Path
    shape: tuple[int, int, int]
    channels: int
    affine: np.ndarray
    voxels: Callable[[Allocate], np.ndarray]
    slope: float = 1.0
    inter: float = 0.0
    header: nib.Nifti1Header | None = None
    doubts: tuple[Doubt, ...] = ()
    indexed: bool = False
    padding: tuple[tuple[float, float], ...] = ()


def unreadable(path: Path, kind: str, reason: Exception | str) -> DataError:
    """The error for a file that isn't what its name says."""
    if path.exists() and not os.access(path, os.R_OK):
        return DataError(f"{path}: may not be read by this user. Ask for the right to read it.")
    if (foreign := told(path)) and not foreign.startswith(f"this is a {kind} file"):
        return DataError(f"{path}: expected a {kind} file, but {foreign}")
    empty = path.is_file() and path.stat().st_size == 0
    found = "it is empty" if empty else f"it can't be read as one ({_one_line(reason)})"
    return DataError(f"{path}: expected a {kind} file, but {found}. Download or export it again.")


def cut_off(path: Path, reason: Exception | str) -> DataError:
    """The error for a file whose header is fine and whose voxels aren't."""
    return DataError(
        f"{path}: the header is fine, but the voxels can't be read ({_one_line(reason)}). The file, or "
        "the file of voxels that it points to, is cut off or damaged; download or export it again."
    )


def _one_line(reason: Exception | str) -> str:
    return " ".join(str(reason).split()) or type(reason).__name__
