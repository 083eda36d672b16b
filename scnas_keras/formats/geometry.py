"""Where voxels lie: affines, orientations, and scans in canonical axes.

Everything behind `scnas_keras.formats` sees arrays whose axes run left to right, posterior to anterior and inferior to
superior (closest canonical orientation, RAS+), whatever the file's own order. A `Geometry` remembers that order, so
that a segmentation is written back on the very voxel grid of the scan it belongs to.
"""

import dataclasses
import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.affines import voxel_sizes

from scnas_keras.formats.shear import straight_sizes

CANONICAL = np.array([[0, 1], [1, 1], [2, 1]])
TOLERANCE = 0.25
"""Voxels by which files of one case may lie apart, at the corner where it's worst: each voxel's nearest is still its own. Programs that
round direction cosines to four digits put the far corner of a scan of 512 voxels off by 0.03, those of three digits by 0.3."""
PIXELS = (1.0, 1.0, 999.0)
"""mm; voxels of a picture that doesn't tell the size of its pixels. The third makes z the coarse axis, along which nothing is resampled."""
MILLIMETRES, PIXEL_UNIT = "mm", "pixels"
_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def length_unit(spacings: Iterable[Sequence[float]]) -> str:
    """What distances between voxels of these sizes are measured in: "pixels" if all are of pictures that don't tell theirs, else "mm"."""
    return PIXEL_UNIT if {tuple(spacing) for spacing in spacings} == {PIXELS} else MILLIMETRES


@dataclasses.dataclass(frozen=True, eq=False)
class Geometry:
    """A file's own voxel grid.

    Attributes:
        path: the file that it was read from, the first of several.
        affine: [4, 4], voxel index in the file's axis order to millimetres, RAS+.
        shape: the three spatial sizes in the file's axis order.
        orientation: [3, 2], the axis permutation and flips from the file's order to the canonical one.
        header: a NIfTI file's header (units, qform and sform codes), None for other formats.
        doubts: what of it had to be assumed.
    """

    path: Path
    affine: np.ndarray
    shape: tuple[int, int, int]
    orientation: np.ndarray
    header: nib.Nifti1Header | None
    doubts: tuple["Doubt", ...] = ()

    @property
    def canonical_shape(self) -> tuple[int, int, int]:
        """The spatial sizes in canonical axis order."""
        return canonical_grid(self.affine, self.shape)[1]


@dataclasses.dataclass(frozen=True, eq=False)
class Volume:
    """An image in canonical axes.

    Attributes:
        array: float32 [x, y, z, channels].
        spacing: mm.
        geometry: where it came from.
        padding: of each channel the values, from one to another, that its file declares to be padding; they are in `array` as stored.
        white: what a picture's brightest number would be, by the bits of its file.
    """

    array: np.ndarray
    spacing: tuple[float, float, float]
    geometry: Geometry
    padding: tuple[tuple[tuple[float, float], ...], ...] = ()
    white: int = 255


@dataclasses.dataclass(frozen=True, eq=False)
class Header:
    """What a case's image files, or its label file, say about themselves without their voxels.

    Attributes:
        shape: the three spatial sizes in the file's axis order.
        channels: numbers per voxel.
        affine: [4, 4], voxel index in the file's axis order to millimetres, RAS+.
        spacing: mm along the canonical axes; along the file's own axes where the affine is singular.
        doubts: what of it had to be assumed.
    """

    shape: tuple[int, int, int]
    channels: int
    affine: np.ndarray
    spacing: tuple[float, float, float]
    doubts: tuple["Doubt", ...] = ()


NO_UNIT, OTHER_UNIT, NO_ORIENTATION, NO_SPACING = "no_unit", "other_unit", "no_orientation", "no_spacing"
TWO_PLACES, REPAIRED, UNFINISHED, GRAY = "two_places", "repaired", "unfinished", "gray"


@dataclasses.dataclass(frozen=True)
class Doubt:
    """What a header leaves open or says twice, or what beside the file was left out.

    Attributes:
        kind: one of the names above.
        text: what was found and assumed.
        other: the affine [4][4] (mm, RAS+) that was not used, where the header has two.
    """

    kind: str
    text: str
    other: tuple[tuple[float, ...], ...] | None = None


@dataclasses.dataclass(frozen=True)
class Difference:
    """How a file's voxel grid differs from another's.

    Attributes:
        shapes: whether it has other sizes, else it lies elsewhere.
        text: words that the other file's name follows.
    """

    shapes: bool
    text: str


def grid_difference(first: Header, second: Header) -> Difference | None:
    """How the second file's voxels don't cover the places of the first one's, in whatever order of axes each is stored; None if they do.

    Both affines must be invertible, else files that differ at all count as different. A picture that tells no size lies where the
    other file does.
    """
    if not (is_invertible(first.affine) and is_invertible(second.affine)):
        equal = first.shape == second.shape and np.array_equal(first.affine, second.affine, equal_nan=True)
        return None if equal else Difference(False, "has an affine that gives no volume, unlike")
    (affine, shape), (other, other_shape) = (canonical_grid(header.affine, header.shape) for header in (first, second))
    if shape != other_shape:
        return Difference(True, f"{'x'.join(map(str, second.shape))}, not {'x'.join(map(str, first.shape))} like")
    distance = grid_distance(affine, other, shape)
    if distance <= TOLERANCE or any(np.array_equal(grid, np.diag([*PIXELS, 1.0])) for grid in (affine, other)):
        return None
    return Difference(False, f"{distance:.3g} voxels ({affine_distance(affine, other, shape):.3g} mm) off")


def ras(affine_lps: np.ndarray) -> np.ndarray:
    """An affine [4, 4] to millimetres left, posterior, superior (DICOM, ITK) as one to right, anterior, superior."""
    return _TO_RAS @ affine_lps


def make_affine(matrix_lps: np.ndarray, origin_lps: np.ndarray) -> np.ndarray:
    """The RAS+ affine [4, 4] of the steps along the axes [3, 3] and the origin [3] in LPS millimetres."""
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = matrix_lps, origin_lps
    return ras(affine)


def canonical_spacing(affine: np.ndarray) -> tuple[float, float, float]:
    """Voxel sizes in mm along the canonical axes (`shear.straight_sizes`); along the file's own axes where the affine is singular."""
    spacing = voxel_sizes(affine)
    if is_invertible(affine):
        spacing = straight_sizes(affine)[np.argsort(nib.io_orientation(affine)[:, 0])]
    first, second, third = map(float, spacing)
    return first, second, third


def is_invertible(affine: np.ndarray) -> bool:
    """Whether an affine maps voxels to a volume: finite, no zero spacing, axes that don't lie in one plane."""
    spacing = voxel_sizes(affine)
    if not (np.isfinite(affine).all() and spacing.all()):
        return False
    return bool(abs(np.linalg.det(affine[:3, :3] / spacing)) > 1e-6)


def canonical_grid(affine: np.ndarray, shape: Sequence[int]) -> tuple[np.ndarray, tuple[int, int, int]]:
    """The affine and the spatial sizes of a file once its axes are turned to the canonical ones."""
    orientation = nib.io_orientation(affine)
    i, j, k = (int(shape[axis]) for axis in np.argsort(orientation[:, 0]))
    return affine @ nib.orientations.inv_ornt_aff(orientation, shape), (i, j, k)


def grid_distance(first: np.ndarray, second: np.ndarray, shape: Sequence[int]) -> float:
    """How many of the first one's voxels apart two affines [4, 4] put the same voxel, at the corner where it's worst."""
    corners = np.array([(*corner, 1) for corner in itertools.product(*((0, size - 1) for size in shape))])
    return float(np.abs(np.linalg.solve(first, (first - second) @ corners.T)).max())


def affine_distance(first: np.ndarray, second: np.ndarray, shape: Sequence[int]) -> float:
    """How far apart, in mm, two affines [4, 4] put the same voxel, at the corner of the volume where it's worst."""
    corners = np.array([(*corner, 1) for corner in itertools.product(*((0, size - 1) for size in shape))])
    return float(np.linalg.norm(corners @ (first - second).T, axis=1).max())
