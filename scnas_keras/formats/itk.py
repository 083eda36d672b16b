"""NRRD and MetaImage files (.nrrd, .mha, .mhd) in and out, through SimpleITK.

ITK's millimetres point left, posterior and superior; affines outside of this module are RAS+.
"""

import os
import re
import tempfile
from pathlib import Path
from types import ModuleType

import numpy as np

from scnas_keras.errors import ConfigError, DataError, OutputError
from scnas_keras.files import hidden_prefix, writing
from scnas_keras.formats.geometry import OTHER_UNIT, Doubt, Geometry, make_affine, ras
from scnas_keras.formats.itk_fields import check_fields, read_text
from scnas_keras.formats.itk_headers import read_notes
from scnas_keras.formats.itk_voxels import check_compressed, check_there, check_voxels
from scnas_keras.formats.itk_written import check_written
from scnas_keras.formats.stored import Allocate, Stored, cut_off, unreadable

_KINDS = {"signed integer": "i", "unsigned integer": "u", "float": "f"}
"""ITK's word for a kind of numbers -> numpy's."""
_OTHERWISE = ", or convert the file to .nii.gz"


def simpleitk(need: str, otherwise: str = "") -> ModuleType:
    """The SimpleITK module, silenced; raises ConfigError, saying what needs it and another way out, where it isn't installed."""
    try:
        import SimpleITK
    except ImportError as error:
        raise ConfigError(
            f"{need} SimpleITK, which is not installed. Run pip install '.[dicom]' in the cloned folder{otherwise}."
        ) from error
    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)  # it would write past the log; what matters is an error here
    return SimpleITK


def reason(error: Exception) -> str:
    """What went wrong, out of a message whose other lines say where in ITK.

    ITK's own "Reason" is left out: the system's last error, often one that was dealt with long ago.
    """
    lines = [line for line in str(error).splitlines() if line.strip() and not line.startswith("Reason:")] or [""]
    return lines[-1].removeprefix("sitk::ERROR: ")


def open_file(path: Path) -> Stored:
    """Reads the header of a 3D file. Channels are several numbers a voxel, or a fourth axis."""
    sitk = simpleitk(f"{path}: NRRD and MetaImage files need", _OTHERWISE)
    try:
        text = read_text(path)
    except OSError as error:
        raise unreadable(path, "MetaImage or NRRD", error) from error
    check_fields(path, text)
    check_there(path, text)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise unreadable(path, "MetaImage or NRRD", reason(error)) from error
    size, components = reader.GetSize(), reader.GetNumberOfComponents()
    called = sitk.GetPixelIDValueAsString(reader.GetPixelID())
    plain = re.fullmatch(rf"(?:vector of )?(\d+)-bit ({'|'.join(_KINDS)})", called)
    if plain is None:
        raise DataError(f"{path}: expected plain numbers, found voxels of type {called}. Convert it to plain channels.")
    if not 3 <= len(size) <= 4 or 0 in size or (len(size) == 4 and components > 1):
        raise DataError(
            f"{path}: expected a 3D volume with one or several numbers per voxel, found shape {size} with "
            f"{components} per voxel. Export it as a 3D volume, or as a picture (.png, .tif) if it is one."
        )
    if min(reader.GetSpacing()[:3]) <= 0:
        raise DataError(f"{path}: the header has a spacing of {reader.GetSpacing()}. Correct it.")
    kind = np.dtype(f"{_KINDS[plain[2]]}{int(plain[1]) // 8}")
    dimension, channels = len(size), size[3] if len(size) == 4 else components
    matrix = np.reshape(reader.GetDirection(), (dimension, dimension)) * reader.GetSpacing()
    affine = make_affine(matrix[:3, :3], np.array(reader.GetOrigin()[:3]))
    try:
        notes = read_notes(path, text, affine)
    except ValueError as error:
        raise unreadable(path, "MetaImage or NRRD", error) from error
    check_voxels(path, text, size, components * kind.itemsize)
    affine = np.diag([notes.to_mm] * 3 + [1.0]) @ affine
    doubts = notes.doubts
    if notes.to_mm != 1:
        doubts += (Doubt(OTHER_UNIT, "another unit than millimetres; it was converted, which ITK's programs don't do"),)

    def voxels(_: Allocate) -> np.ndarray:
        check_compressed(path, text, size, components * kind.itemsize)
        check_written(path, text, size, components, kind)
        try:
            image = reader.Execute()
        except RuntimeError as error:
            raise cut_off(path, reason(error)) from error
        return in_file_order(sitk.GetArrayFromImage(image), dimension)

    return Stored(path, tuple(size[:3]), channels, affine, voxels, notes.slope, notes.inter, doubts=doubts)


def in_file_order(array: np.ndarray, dimension: int) -> np.ndarray:
    """SimpleITK's array [(t,) k, j, i (, components)] as a view [i, j, k, channels]."""
    axes = tuple(range(dimension))[::-1] + tuple(range(dimension, array.ndim))
    array = array.transpose(axes)
    return array if array.ndim == 4 else array[..., None]


def write_file(path: Path, array: np.ndarray, geometry: Geometry) -> None:
    """Writes a label [i, j, k] in the geometry's own axis order, with its spacing, origin and direction."""
    sitk = simpleitk(f"{path}: NRRD and MetaImage files need", _OTHERWISE)
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.T))
    affine = ras(geometry.affine)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    image.SetDirection((affine[:3, :3] / spacing).ravel().tolist())
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=hidden_prefix(path)) as folder, writing(path):
        whole = Path(folder, path.name)  # the final name already: a .mhd names its file of voxels after itself
        try:
            sitk.WriteImage(image, str(whole), useCompression=True)
        except RuntimeError as error:
            raise OutputError(f"{path}: can't be written ({reason(error)}). Is the disk full?") from error
        for file in sorted(Path(folder).iterdir(), key=lambda file: file == whole):  # the header last
            with file.open("rb") as stream:
                os.fsync(stream.fileno())
            os.replace(file, path.parent / file.name)
