"""DICOM series in: a folder of slices, or any one slice of it, through SimpleITK (GDCM)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from scnas_keras.errors import DataError
from scnas_keras.formats.geometry import affine_distance
from scnas_keras.formats.itk import in_file_order, make_affine, reason, simpleitk
from scnas_keras.formats.stored import Stored, cut_off, unreadable

EVENNESS = 0.2
"""Share of the slice distance by which a slice may be off an even spacing. Rounded positions stay under it; a missing
slice puts one next to the gap off by at least half a step."""
SAME = 0.01
"""Share of the slice distance under which two slices lie at one position."""
_SERIES = "0020|000e"


def open_file(path: Path) -> Stored:
    """Reads the headers of all slices of a series; the third axis follows their positions, sheared by a tilted gantry.

    Raises:
        DataError: no series or several, slices that don't fit together, or a gap between them.
    """
    files = _series(path)
    sitk = simpleitk(path)
    readers = [_open_slice(sitk, file) for file in files]
    shape, matrix, origin = _stack(path, files, readers)
    order = [file for _, file in sorted(zip(_heights(readers), files))]
    components = readers[0].GetNumberOfComponents()
    # Slices may each have a scale of their own (PET), which only floating point can hold together.
    pixel = sitk.sitkVectorFloat32 if components > 1 else sitk.sitkFloat32

    def voxels() -> np.ndarray:
        try:
            image = sitk.ReadImage([str(file) for file in order] if len(order) > 1 else str(order[0]), pixel)
        except RuntimeError as error:
            raise cut_off(path, reason(error)) from error
        return in_file_order(sitk.GetArrayFromImage(image), 3)

    return Stored(path, shape, components, make_affine(matrix, origin), voxels)


def _series(path: Path) -> list[Path]:
    """The files of the only series in a folder, or of the series that a slice belongs to."""
    sitk = simpleitk(path)
    folder = path if path.is_dir() else path.parent
    try:
        if path.is_dir():
            uids = sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(folder))
        else:
            reader = _open_slice(sitk, path)
            uids = [reader.GetMetaData(_SERIES).strip().strip("\0")] if reader.HasMetaDataKey(_SERIES) else [""]
        series = {uid: sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), uid) for uid in uids}
    except (RuntimeError, TypeError) as error:  # TypeError: a damaged number of the series is no text
        raise unreadable(path, "DICOM", reason(error)) from error
    if not any(series.values()):
        names = sorted(file.name for file in folder.iterdir()) if path.is_dir() else []
        raise DataError(
            f"{path}: no DICOM series found (it holds: {', '.join(names[:5]) or 'nothing'}). "
            "Name the folder that directly holds the slices of one scan."
        )
    if len(series) > 1:
        found = "".join(f"\n    {uid}: {len(files)} slices, for example {Path(files[0]).name}" for uid, files in series.items())
        raise DataError(
            f"{path}: expected one DICOM series, found {len(series)}:{found}\n"
            "Name one slice file of the series that you mean, or move each series into a folder of its "
            "own."
        )
    return [Path(file) for file in next(iter(series.values()))]


def _open_slice(sitk, file: Path):
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(file))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise unreadable(file, "DICOM", reason(error)) from error
    return reader


def _heights(readers: Sequence) -> np.ndarray:
    """Position of every slice along the first one's normal, mm."""
    normal = np.reshape(readers[0].GetDirection(), (3, 3))[:, 2]
    return np.array([reader.GetOrigin() for reader in readers]) @ normal


def _stack(path: Path, files: Sequence[Path], readers: Sequence) -> tuple[tuple[int, int, int], np.ndarray, np.ndarray]:
    """Shape, direction times spacing [3, 3] and origin [3] (LPS, mm) of slices that make one volume."""
    first = readers[0]
    matrix = np.reshape(first.GetDirection(), (3, 3)) * first.GetSpacing()
    if len(readers) == 1:
        return first.GetSize(), matrix, np.array(first.GetOrigin())
    width, height, _ = first.GetSize()
    for file, reader in zip(files, readers):
        other = np.reshape(reader.GetDirection(), (3, 3)) * reader.GetSpacing()
        turned = affine_distance(
            make_affine(matrix[:, :2] @ np.eye(2, 3), np.zeros(3)),
            make_affine(other[:, :2] @ np.eye(2, 3), np.zeros(3)),
            (width, height, 1),
        )
        if reader.GetSize() != (width, height, 1) or turned > 0.5 * min(first.GetSpacing()[:2]):
            raise DataError(
                f"{path}: the slices of the series don't make one volume: {files[0].name} is "
                f"{width}x{height} pixels, {file.name} {'x'.join(map(str, reader.GetSize()))}, turned or "
                f"scaled by up to {turned:.3g} mm. Move slices that don't belong to the scan, such as "
                "localizers, out of the folder."
            )
    order = np.argsort(_heights(readers))
    positions = np.array([reader.GetOrigin() for reader in readers])[order]
    step = (positions[-1] - positions[0]) / (len(positions) - 1)
    distance = np.linalg.norm(step)
    gaps = np.diff(np.sort(_heights(readers)))
    if gaps.min() <= SAME * np.median(gaps):
        first_two = [files[order[i]].name for i in (gaps.argmin(), gaps.argmin() + 1)]
        raise DataError(
            f"{path}: {first_two[0]} and {first_two[1]} lie at the same position. Several time points, "
            "echoes or copies in one series are not one scan; move each into a folder of its own."
        )
    off = np.linalg.norm(positions - (positions[0] + np.arange(len(positions))[:, None] * step), axis=1).max()
    if off > EVENNESS * distance:
        widest = gaps.argmax()
        raise DataError(
            f"{path}: the slices are not evenly spaced: {np.median(gaps):.4g} mm apart on the whole, but "
            f"{gaps[widest]:.4g} mm between {files[order[widest]].name} and "
            f"{files[order[widest + 1]].name}. A slice may be missing: copy the series again. If it was "
            "scanned so, resample it to even slices, for example with dcm2niix."
        )
    matrix[:, 2] = step
    return (width, height, len(readers)), matrix, positions[0]
