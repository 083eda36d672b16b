"""Files beside the slices of a DICOM series that a download, a copy or an editor left: none is read, and what may be a slice is told."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from scnas_keras.errors import DataError, some_of
from scnas_keras.formats.endings import ENDINGS, ending_of, is_download, is_unfinished, whole_name
from scnas_keras.formats.frames import Frame
from scnas_keras.formats.geometry import UNFINISHED, Doubt
from scnas_keras.formats.instances import read_place
from scnas_keras.formats.stacks import SAME

_COPY = re.compile(r" \(\d+\)$")
"""What a browser appends where there is a file of that name."""
_RANDOM = re.compile(r"\.(?![a-z]{6}$)[A-Za-z0-9]{6}$")
"""What rsync appends to the hidden file that it writes; six small letters are a word."""


def unfinished_files(folder: Path) -> list[Path]:
    """Files in a folder that may be slices to be, by name: hidden ones too, but none whose whole file is there.

    Safari puts what it loads into a folder of that name with .download.
    """
    may_be = [path for path in sorted(folder.iterdir()) if _may_be_slice(path.name) and not _is_whole(path)]
    return [file for path in may_be if (file := path / whole_name(path.name) if path.is_dir() else path).is_file()]


def with_unfinished(error: DataError, files: Sequence[Path]) -> DataError:
    """The error of slices that make no volume, with the files that may be those that are missing."""
    if not files:
        return error
    return DataError(f"{error} Beside them: {some_of(list(map(_called, files)))}, unfinished by the name. Download or copy it again.")


def doubts_of_unfinished(files: Sequence[Path], series: str, frames: Sequence[Frame], step: np.ndarray) -> tuple[Doubt, ...]:
    """What was left out beside frames that make one volume.

    Raises:
        DataError: a file begins as a slice of the same series at a place where none of the frames lies.
    """
    for file in files:
        place = read_place(file)
        if place and place[0] == series and series:
            nearest = min(float(np.linalg.norm(frame.position - place[1])) for frame in frames)
            if nearest > SAME * np.linalg.norm(step):
                raise DataError(
                    f"{file}: an unfinished file of a slice that the scan beside it lacks ({nearest:.4g} mm from its nearest). Download or "
                    "copy it again, or give it its whole name if nothing is missing in it."
                )
    told = [_called(file) for file in files if not file.name.startswith(".")]
    return (Doubt(UNFINISHED, f"left out beside its slices, which are complete without: {some_of(told)}"),) if told else ()


def _called(file: Path) -> str:
    return file.parent.name if is_unfinished(file.parent.name) else file.name


def _may_be_slice(name: str) -> bool:
    """Whether a name is that of a slice with what a program adds while it writes; macOS has notes on files in hidden ones of "._"."""
    whole = _COPY.sub("", whole_name(name))
    if name.startswith("."):
        bare = _RANDOM.sub("", whole)
        return not name.startswith("._") and (_is_dicom(whole) or _is_dicom(bare) or (bare != whole and not Path(bare[1:]).suffix))
    suffix = Path(whole).suffix
    return is_unfinished(name) and (_is_dicom(whole) or (is_download(name) and whole != "" and (not suffix or suffix[1:].isdigit())))


def _is_dicom(name: str) -> bool:
    ending = ending_of(name)
    return ending is not None and ENDINGS[ending].reader == "dicom"


def _is_whole(path: Path) -> bool:
    return not path.name.startswith(".") and path.with_name(whole_name(path.name)).exists()
