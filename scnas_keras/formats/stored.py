"""One opened file, as every format's reader hands it over: header known, voxels on demand."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np

from scnas_keras.errors import DataError
from scnas_keras.formats.geometry import Doubt

_LONGEST_SIGN = 100  # bytes by which a file of another kind is known


@dataclasses.dataclass(frozen=True, eq=False)
class Stored:
    """A file whose header has been read.

    Attributes:
        path: the file, or the folder of a DICOM series.
        shape: the three spatial sizes in the file's axis order.
        channels: numbers per voxel.
        affine: [4, 4], voxel index in the file's axis order to millimetres, RAS+.
        voxels: reads the numbers as they are stored, [i, j, k, channels]; raises DataError if they can't be read.
        slope, inter: a stored number n means n * slope + inter.
        header: a NIfTI file's header, None for other formats.
        doubts: what of the header had to be assumed.
        indexed: the numbers index a colour table: classes of a label, but no intensities of an image.
    """

    path: Path
    shape: tuple[int, int, int]
    channels: int
    affine: np.ndarray
    voxels: Callable[[], np.ndarray]
    slope: float = 1.0
    inter: float = 0.0
    header: nib.Nifti1Header | None = None
    doubts: tuple[Doubt, ...] = ()
    indexed: bool = False


def unreadable(path: Path, kind: str, reason: Exception | str) -> DataError:
    """The error for a file that isn't what its name says."""
    start = b" "
    if path.is_file():
        with path.open("rb") as stream:
            start = stream.read(_LONGEST_SIGN)
    if start.startswith(b"version https://git-lfs"):
        return DataError(f"{path}: a pointer of Git LFS instead of a {kind} file. Run git lfs pull in its repository.")
    if start.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return DataError(f"{path}: a web page instead of a {kind} file. Download it again, with the rights that it needs.")
    found = f"it can't be read as one ({_one_line(reason)})" if start else "it is empty"
    return DataError(f"{path}: expected a {kind} file, but {found}. Download or export it again.")


def cut_off(path: Path, reason: Exception | str) -> DataError:
    """The error for a file whose header is fine and whose voxels aren't."""
    return DataError(
        f"{path}: the header is fine, but the voxels can't be read ({_one_line(reason)}). The file, or "
        "the file of voxels that it points to, is cut off or damaged; download or export it again."
    )


def _one_line(reason: Exception | str) -> str:
    return " ".join(str(reason).split()) or type(reason).__name__
