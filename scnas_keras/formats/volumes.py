"""NIfTI files in and out.

Everything behind this module sees arrays whose axes run left to right, posterior to anterior and inferior to
superior (closest canonical orientation, RAS+), whatever the file's own order. A `Geometry` remembers that order, so
that a segmentation is written back on the very voxel grid of the scan it belongs to.
"""

import dataclasses
import gzip
import zlib
from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np

from scnas_keras.errors import ConfigError, DataError
from scnas_keras.files import write_bytes

CANONICAL = np.array([[0, 1], [1, 1], [2, 1]])
_READ_ERRORS = (nib.filebasedimages.ImageFileError, nib.spatialimages.HeaderDataError, OSError, EOFError, ValueError, OverflowError,
                zlib.error)


@dataclasses.dataclass(frozen=True, eq=False)
class Geometry:
    """A file's own voxel grid.

    Attributes:
        path: the file that it was read from.
        affine: [4, 4], voxel index in the file's axis order to millimetres.
        shape: the three spatial sizes in the file's axis order.
        orientation: [3, 2], the axis permutation and flips from the file's order to the canonical one.
        header: the file's NIfTI header (units, qform and sform codes).
    """

    path: Path
    affine: np.ndarray
    shape: tuple[int, int, int]
    orientation: np.ndarray
    header: nib.Nifti1Header

    @property
    def canonical_shape(self) -> tuple[int, int, int]:
        """The spatial sizes in canonical axis order."""
        order = np.argsort(self.orientation[:, 0])
        return tuple(self.shape[axis] for axis in order)


@dataclasses.dataclass(frozen=True, eq=False)
class Volume:
    """An image: `array` float32 [x, y, z, channels] in canonical axes, `spacing` in mm, and where it came from."""

    array: np.ndarray
    spacing: tuple[float, float, float]
    geometry: Geometry


@dataclasses.dataclass(frozen=True, eq=False)
class Header:
    """What a NIfTI file says about itself without its voxels.

    Attributes:
        shape: the three spatial sizes in the file's axis order.
        channels: size of the fourth axis, 1 for a 3D file.
        affine: [4, 4], voxel index in the file's axis order to millimetres.
        spacing: mm along the canonical axes; along the file's own axes where the affine is singular.
    """

    shape: tuple[int, int, int]
    channels: int
    affine: np.ndarray
    spacing: tuple[float, float, float]


Paths = str | Path | Sequence[Path]


def read_header(paths: Paths) -> Header:
    """Reads shape, affine and spacing; raises DataError if the file isn't a NIfTI volume."""
    image = _load(_only(paths))
    shape = image.shape + (1,) * (4 - len(image.shape))
    return Header(shape[:3], shape[3], image.affine, _spacing(image.affine))


def read_image(paths: Paths) -> Volume:
    """Reads an image; the fourth axis of a 4D file becomes the channels, a 3D file gets one.

    Raises DataError if the file isn't NIfTI, is cut off, or has an affine that maps the volume to a plane.
    """
    path = _only(paths)
    image = _load(path)
    geometry = _geometry(path, image)
    array = _voxels(path, image, np.float32)
    array = nib.apply_orientation(array.reshape(geometry.shape + (-1,)), geometry.orientation)
    return Volume(np.ascontiguousarray(array), _spacing(image.affine), geometry)


def read_label(path: str | Path) -> tuple[np.ndarray, Geometry]:
    """Reads a segmentation as integers [x, y, z] (uint8 where the values fit, int32 otherwise).

    Raises DataError for the reasons of `read_image`, for a fourth axis, and for values that aren't whole numbers.
    """
    path = Path(path)
    image = _load(path)
    geometry = _geometry(path, image)
    if len(image.shape) > 3 and image.shape[3] > 1:
        raise DataError(f"{path}: a label needs three axes, but this file has shape {image.shape}. "
                        "Store one class number per voxel, not one channel per class.")
    values = _voxels(path, image, np.float64).reshape(geometry.shape)
    broken = ~(np.isfinite(values) & (values == np.round(values)))
    if broken.any():
        raise DataError(f"{path}: labels must be whole numbers, but {np.count_nonzero(broken)} voxels are not, for "
                        f"example {values[broken][0]:g}. Was the label resampled with interpolation? "
                        "Resample it with nearest-neighbour, or export it again.")
    kind = np.uint8 if values.min() >= 0 and values.max() <= 255 else np.int32
    array = nib.apply_orientation(values.astype(kind), geometry.orientation)
    return np.ascontiguousarray(array), geometry


def write_label(path: str | Path, array: np.ndarray, geometry: Geometry) -> None:
    """Writes a segmentation [x, y, z] in canonical axes onto the voxel grid that `geometry` describes.

    The file has the affine and axis order of the scan, bit for bit, and the smallest unsigned type that holds the
    labels. It appears under its name only when it's complete.

    Raises:
        ConfigError: the name doesn't end in .nii or .nii.gz.
        ValueError: `array` isn't an integer array of the geometry's canonical shape.
    """
    if array.shape != geometry.canonical_shape or array.dtype.kind not in "iu":
        raise ValueError(f"write_label needs an integer array of shape {geometry.canonical_shape}, "
                         f"got {array.dtype} {array.shape}")
    back = nib.orientations.ornt_transform(CANONICAL, geometry.orientation)
    array = nib.apply_orientation(array, back).astype(np.min_scalar_type(int(array.max(initial=0))))
    header = geometry.header.copy()
    header.extensions.clear()
    header.set_data_dtype(array.dtype)
    header.set_slope_inter(1, 0)
    header["cal_min"] = header["cal_max"] = 0
    image_type = nib.Nifti2Image if isinstance(header, nib.Nifti2Header) else nib.Nifti1Image
    write_nifti(path, image_type(array, geometry.affine, header))


def write_nifti(path: str | Path, image: nib.Nifti1Image) -> None:
    """Writes .nii or .nii.gz atomically; equal images give equal bytes (no time stamp inside the gzip)."""
    path = Path(path)
    if not path.name.endswith((".nii", ".nii.gz")):
        raise ConfigError(f"{path}: volumes are written as NIfTI; let the name end in .nii.gz or .nii.")
    content = image.to_bytes()
    if path.suffix == ".gz":
        content = gzip.compress(content, compresslevel=6, mtime=0)
    write_bytes(path, content)


def _only(paths: Paths) -> Path:
    if isinstance(paths, (str, Path)):
        return Path(paths)
    (path,) = paths
    return path


def _load(path: Path) -> nib.Nifti1Image:
    if not path.is_file():
        raise DataError(f"{path}: no such file. Check the path, or download the file again.")
    try:
        image = nib.load(path)
    except _READ_ERRORS as error:
        raise DataError(f"{path}: expected a NIfTI file (.nii or .nii.gz), but it can't be read as one ({error}). "
                        "Download or export it again.") from error
    if not isinstance(image, (nib.Nifti1Pair, nib.Nifti2Pair)):
        raise DataError(f"{path}: expected a NIfTI file (.nii or .nii.gz), found {type(image).__name__}. "
                        "Convert it to .nii.gz.")
    if image.get_data_dtype().kind not in "biuf":
        raise DataError(f"{path}: expected one number per voxel, found voxels of type {image.get_data_dtype()}. "
                        "Convert colour or complex images to plain channels.")
    if not 3 <= len(image.shape) <= 4 or 0 in image.shape:
        raise DataError(f"{path}: expected a 3D volume, or a 4D one whose fourth axis are the channels, "
                        f"found shape {image.shape}.")
    return image


def _geometry(path: Path, image: nib.Nifti1Image) -> Geometry:
    if not _is_invertible(image.affine):
        raise DataError(f"{path}: the affine in the header gives no volume (a zero spacing or NaN):\n{image.affine}\n"
                        "Mend the header, for example by converting the scan from DICOM again.")
    return Geometry(path, image.affine, image.shape[:3], nib.io_orientation(image.affine), image.header)


def _spacing(affine: np.ndarray) -> tuple[float, float, float]:
    spacing = nib.affines.voxel_sizes(affine)
    if _is_invertible(affine):
        spacing = spacing[np.argsort(nib.io_orientation(affine)[:, 0])]
    return tuple(float(size) for size in spacing)


def _is_invertible(affine: np.ndarray) -> bool:
    spacing = nib.affines.voxel_sizes(affine)
    if not (np.isfinite(affine).all() and spacing.all()):
        return False
    return bool(abs(np.linalg.det(affine[:3, :3] / spacing)) > 1e-6)


def _voxels(path: Path, image: nib.Nifti1Image, dtype: type) -> np.ndarray:
    try:
        return image.get_fdata(dtype=dtype, caching="unchanged")
    except _READ_ERRORS as error:
        raise DataError(f"{path}: the header is fine, but the voxels can't be read ({error}). The file is cut off or "
                        "damaged; download or export it again.") from error
