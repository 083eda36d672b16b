"""NIfTI files (.nii, .nii.gz) in and out, through nibabel."""

import gzip
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np

from scnas_keras.errors import ConfigError, DataError
from scnas_keras.files import write_bytes
from scnas_keras.formats.geometry import Geometry
from scnas_keras.formats.stored import Stored, cut_off, unreadable

_LONGEST_HEADER = 540  # bytes, that of NIfTI-2
_READ_ERRORS = (nib.filebasedimages.ImageFileError, nib.spatialimages.HeaderDataError, nib.wrapstruct.WrapStructError,
                OSError, EOFError, ValueError, OverflowError, zlib.error)


def open_file(path: Path) -> Stored:
    """Reads the header of a 3D file, or of a 4D one whose fourth axis are the channels."""
    try:
        image = _load(path)
    except _READ_ERRORS as error:
        raise unreadable(path, "NIfTI", error) from error
    if image.get_data_dtype().kind not in "biuf":
        raise DataError(f"{path}: expected one number per voxel, found voxels of type {image.get_data_dtype()}. "
                        "Convert colour or complex images to plain channels.")
    if not 3 <= len(image.shape) <= 4 or 0 in image.shape:
        raise DataError(f"{path}: expected a 3D volume, or a 4D one whose fourth axis are the channels, "
                        f"found shape {image.shape}.")
    shape = image.shape + (1,) * (4 - len(image.shape))

    def voxels() -> np.ndarray:
        try:
            return np.asarray(image.dataobj.get_unscaled()).reshape(shape, order="F")
        except _READ_ERRORS as error:
            raise cut_off(path, error) from error

    scale = image.dataobj.slope, image.dataobj.inter
    return Stored(path, shape[:3], shape[3], image.affine, voxels, *scale, image.header)


def write_file(path: Path, array: np.ndarray, geometry: Geometry) -> None:
    """Writes a label [i, j, k] in the geometry's own axis order; a NIfTI scan's header is kept, affine bit for bit."""
    header = nib.Nifti1Header() if geometry.header is None else geometry.header.copy()
    header.extensions.clear()
    header.set_data_dtype(array.dtype)
    header.set_slope_inter(1, 0)
    header["cal_min"] = header["cal_max"] = 0
    image_type = nib.Nifti2Image if isinstance(header, nib.Nifti2Header) else nib.Nifti1Image
    image = image_type(array, geometry.affine, header)
    if geometry.header is None:
        image.header.set_xyzt_units("mm")
        for place in (image.set_sform, image.set_qform):  # readers differ in which of the two they believe
            place(geometry.affine, code="scanner")
    write_nifti(path, image)


def write_nifti(path: str | Path, image: nib.Nifti1Image) -> None:
    """Writes .nii or .nii.gz atomically; equal images give equal bytes (no time stamp inside the gzip)."""
    path = Path(path)
    if not path.name.lower().endswith((".nii", ".nii.gz")):
        raise ConfigError(f"{path}: this volume is written as NIfTI; let the name end in .nii.gz or .nii.")
    content = image.to_bytes()
    if path.suffix.lower() == ".gz":
        content = gzip.compress(content, compresslevel=6, mtime=0)
    write_bytes(path, content)


def _load(path: Path) -> nib.Nifti1Image:
    """nib.load for NIfTI alone; that one wants endings in lower case and takes other formats by their content."""
    with nib.openers.ImageOpener(path) as stream:
        start = stream.read(_LONGEST_HEADER)
    for image_type in (nib.Nifti1Image, nib.Nifti2Image):
        if image_type.header_class.may_contain_header(start):
            return image_type.from_file_map({"image": nib.FileHolder(filename=str(path))})
    raise ValueError(f"it starts with {start[:4]!r}, which is no NIfTI header")
