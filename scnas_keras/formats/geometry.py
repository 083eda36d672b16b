"""Where voxels lie: affines, orientations, and scans in canonical axes.

Everything behind `scnas_keras.formats` sees arrays whose axes run left to right, posterior to anterior and inferior to
superior (closest canonical orientation, RAS+), whatever the file's own order. A `Geometry` remembers that order, so
that a segmentation is written back on the very voxel grid of the scan it belongs to.
"""

import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.affines import voxel_sizes

CANONICAL = np.array([[0, 1], [1, 1], [2, 1]])
AFFINE_TOLERANCE = 1e-2
"""mm by which files of one case may lie apart."""
_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclasses.dataclass(frozen=True, eq=False)
class Geometry:
    """A file's own voxel grid.

    Attributes:
        path: the file that it was read from, the first of several.
        affine: [4, 4], voxel index in the file's axis order to millimetres, RAS+.
        shape: the three spatial sizes in the file's axis order.
        orientation: [3, 2], the axis permutation and flips from the file's order to the canonical one.
        header: a NIfTI file's header (units, qform and sform codes), None for other formats.
    """

    path: Path
    affine: np.ndarray
    shape: tuple[int, int, int]
    orientation: np.ndarray
    header: nib.Nifti1Header | None

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
    """What a case's image files, or its label file, say about themselves without their voxels.

    Attributes:
        shape: the three spatial sizes in the file's axis order.
        channels: numbers per voxel.
        affine: [4, 4], voxel index in the file's axis order to millimetres, RAS+.
        spacing: mm along the canonical axes; along the file's own axes where the affine is singular.
    """

    shape: tuple[int, int, int]
    channels: int
    affine: np.ndarray
    spacing: tuple[float, float, float]


def ras(affine_lps: np.ndarray) -> np.ndarray:
    """An affine [4, 4] to millimetres left, posterior, superior (DICOM, ITK) as one to right, anterior, superior."""
    return _TO_RAS @ affine_lps


def canonical_spacing(affine: np.ndarray) -> tuple[float, float, float]:
    """Voxel sizes in mm along the canonical axes; along the file's own axes where the affine is singular."""
    spacing = voxel_sizes(affine)
    if is_invertible(affine):
        spacing = spacing[np.argsort(nib.io_orientation(affine)[:, 0])]
    first, second, third = map(float, spacing)
    return first, second, third


def is_invertible(affine: np.ndarray) -> bool:
    """Whether an affine maps voxels to a volume: finite, no zero spacing, axes that don't lie in one plane."""
    spacing = voxel_sizes(affine)
    if not (np.isfinite(affine).all() and spacing.all()):
        return False
    return bool(abs(np.linalg.det(affine[:3, :3] / spacing)) > 1e-6)


def affine_distance(first: np.ndarray, second: np.ndarray, shape: Sequence[int]) -> float:
    """How far apart, in mm, two affines [4, 4] put the same voxel, at the corner of the volume where it's worst."""
    corners = np.array([(*corner, 1) for corner in itertools.product(*((0, size - 1) for size in shape))])
    return float(np.linalg.norm(corners @ (first - second).T, axis=1).max())
