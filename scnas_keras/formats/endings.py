"""The file endings of scans and labels: which reader each one has, and what it may hold."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

_PREAMBLE, _MAGIC = 128, b"DICM"
_WRITTEN = ".tmp", ".part", ".partial", ".crdownload", ".opdownload", ".download", ".filepart", ".aria2", ".!ut"
"""What programs append to the name of a file that they are still writing."""
_ASIDE = ".bak", ".old", "~"
"""What they append to one that they put aside."""


@dataclasses.dataclass(frozen=True)
class Ending:
    """What a file ending stands for.

    Attributes:
        reader: module of scnas_keras.formats that reads it.
        label: whether labels may be stored so; not in formats that lose values.
        writes: whether segmentations are written so.
    """

    reader: str
    label: bool = True
    writes: bool = True


ENDINGS = {  # the longer ones first: .nii.gz before .nii
    ".nii.gz": Ending("nifti"),
    ".nii": Ending("nifti"),
    ".nrrd": Ending("itk"),
    ".mha": Ending("itk"),
    ".mhd": Ending("itk"),
    ".dcm": Ending("dicom", writes=False),
    ".ima": Ending("dicom", writes=False),
    ".png": Ending("pictures"),
    ".tif": Ending("pictures"),
    ".tiff": Ending("pictures"),
    ".bmp": Ending("pictures", writes=False),
    ".jpg": Ending("pictures", label=False, writes=False),
    ".jpeg": Ending("pictures", label=False, writes=False),
}
WRITABLE = tuple(ending for ending, kind in ENDINGS.items() if kind.writes)
SLICES, MASKS = "DICOM_anon", "Ground"
"""Folders of a patient of CHAOS: a scan's slices, each made anonymous by itself, and a picture of the mask of each."""
PROBABILITIES = "_probabilities"
"""What the name of a file of class probabilities has behind that of its segmentation."""


def ending_of(name: str) -> str | None:
    """The known ending that a file name has, in lower case, or None."""
    return next((ending for ending in ENDINGS if name.lower().endswith(ending)), None)


def strip_ending(name: str) -> str:
    """A file name without its known ending."""
    return name[: len(name) - len(ending_of(name) or "")]


def reader_of(path: Path) -> str | None:
    """The module that reads a file, or a folder of DICOM slices or their masks, by its ending, else by DICOM's mark inside; or None."""
    ending = ending_of(path.name)
    if path.is_dir() and path.name == MASKS and (path.parent / SLICES).is_dir():
        return "slice_masks"
    if path.is_dir() or (ending is None and _is_dicom(path)):
        return "dicom"
    return ENDINGS[ending].reader if ending else None


def is_picture(path: Path) -> bool:
    """Whether a file is a 2D picture."""
    return reader_of(path) == "pictures"


def dicom_files(folder: Path) -> Iterator[Path]:
    """The files directly in a folder that are read as slices of a scan, by name; hidden and unfinished ones never are."""
    yield from (path for path in plain_files(folder) if not is_unfinished(path.name) and reader_of(path) == "dicom")


def mask_files(folder: Path) -> list[Path]:
    """The pictures directly in a folder, by name."""
    return [path for path in plain_files(folder) if is_picture(path)]


def is_unfinished(name: str) -> bool:
    """Whether a file is called as one that a program was writing, or put aside."""
    return name.lower().endswith((*_WRITTEN, *_ASIDE)) or name.startswith("~")


def whole_name(name: str) -> str:
    """What an unfinished file is to be called; "" if nothing of its name is left."""
    while added := next((ending for ending in (*_WRITTEN, *_ASIDE) if name.lower().endswith(ending)), ""):
        name = name[: len(name) - len(added)]
    return name.lstrip("~")


def is_download(name: str) -> bool:
    """Whether an unfinished file is called as one that comes from elsewhere, so that it may have any name."""
    return name.lower().endswith(_WRITTEN)


def plain_files(folder: Path) -> list[Path]:
    """The files directly in a folder that aren't hidden, by name."""
    return [path for path in sorted(folder.iterdir()) if path.is_file() and not path.name.startswith(".")]


def holds_dicom(folder: Path) -> bool:
    """Whether a folder has a DICOM slice directly in it."""
    return next(dicom_files(folder), None) is not None


def _is_dicom(path: Path) -> bool:
    if not path.is_file() or path.name == "DICOMDIR":  # the table of contents of a disc has the mark, but no pixels
        return False
    with path.open("rb") as stream:
        return stream.read(_PREAMBLE + len(_MAGIC))[_PREAMBLE:] == _MAGIC
