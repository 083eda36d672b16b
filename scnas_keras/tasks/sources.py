"""Tells whether the files of a case have changed."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

from scnas_keras.formats.endings import dicom_files, mask_files, reader_of
from scnas_keras.tasks.cases import Case


def source_digest(case: Case) -> str:
    """16 letters that change with the place, size or time of change of any file of a case."""
    files = [file for path in case.files for file in files_of(path)]
    stats = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return hashlib.sha256(json.dumps(stats).encode()).hexdigest()[:16]


def files_of(path: Path) -> Iterator[Path]:
    """What a reader reads where a path is named.

    A file; the slices or masks in a folder, or the slices of the series of the slice that is named; and the files that a header of NRRD or
    MetaImage leaves its voxels to.
    """
    if reader_of(path) == "slice_masks":
        yield from mask_files(path)
    elif path.is_dir():
        yield from dicom_files(path)
    elif reader_of(path) == "dicom":
        from scnas_keras.formats.dicom import series_files

        yield from series_files(path)
    else:
        yield path
    if path.suffix.lower() in (".mhd", ".nrrd"):
        from scnas_keras.formats.itk_headers import voxel_files

        yield from voxel_files(path)
