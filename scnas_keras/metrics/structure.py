"""How well one structure of one scan was segmented: overlap, distances between surfaces, volumes, single lesions.

Surfaces are those of DeepMind's surface-distance (Nikolov et al., arXiv 1809.04430): elements between eight voxels, each with its area.
Where a number isn't defined it is None: all but the volumes and the lesions of a structure that neither reference nor prediction has;
distances where one of both hasn't. Overlap and surface Dice are 0 there.
"""

import dataclasses
import warnings
from collections.abc import Sequence

import numpy as np
import scipy
import surface_distance

_PERCENT = 95
_ML = 1e-3
"""Of a mm^3."""


@dataclasses.dataclass(frozen=True)
class StructureMetrics:
    """Of one structure in one scan.

    Attributes:
        dice, jaccard: overlap, 0 to 1.
        precision: share of the predicted voxels that are right; None where nothing was predicted.
        recall: share of the reference's voxels that were found; None where there are none.
        nsd: share of both surfaces that lies within the tolerance of the other (normalised surface Dice).
        hd95: mm; the greater of the two directions' 95th percentiles of distances, by area.
        assd: mm; mean of the two directions' mean distances (average symmetric surface distance).
        reference_ml, predicted_ml: volumes; None of pictures that don't tell the size of their pixels.
        lesions: connected components (26 neighbours; in a picture 8) of the reference.
        lesions_found: those of which a voxel was predicted.
        false_positives: predicted components without a voxel of the reference.
    """

    dice: float | None
    jaccard: float | None
    precision: float | None
    recall: float | None
    nsd: float | None
    hd95: float | None
    assd: float | None
    reference_ml: float | None
    predicted_ml: float | None
    lesions: int
    lesions_found: int
    false_positives: int


MEASURES = ("dice", "nsd", "hd95", "assd", "jaccard", "precision", "recall")
"""Those that are summarised over cases."""


@dataclasses.dataclass(frozen=True)
class Surfaces:
    """Those of `StructureMetrics` that are of surfaces."""

    nsd: float | None
    hd95: float | None
    assd: float | None


def class_surfaces(
    label: np.ndarray, prediction: np.ndarray, num_classes: int, spacing: Sequence[float], tolerance: float
) -> list[Surfaces]:
    """Distances between the surfaces of every foreground class.

    Args:
        label, prediction: whole numbers [x, y, z]; one voxel along an axis makes them pictures.
        num_classes: background included.
        spacing, tolerance: as of `structure_metrics`.

    Raises:
        ValueError: shapes that differ.
    """
    _check_shapes(label, prediction)
    both, found = [np.asarray(array, np.uint8) for array in (label, prediction)], []
    for value, boxes in enumerate(zip(*(scipy.ndimage.find_objects(array, num_classes - 1) for array in both)), start=1):
        if not any(boxes):
            found.append(Surfaces(None, None, None))
            continue
        masks = [array[_around([own for own in boxes if own])] == value for array in both]
        reference, predicted, steps, _ = _cropped(*masks, spacing, label.shape)
        found.append(_surfaces(reference, predicted, steps, tolerance))
    return found


def structure_metrics(reference: np.ndarray, predicted: np.ndarray, spacing: Sequence[float], tolerance: float) -> StructureMetrics:
    """Compares two segmentations of one structure.

    Args:
        reference, predicted: bool [x, y, z]; one voxel along an axis makes it a picture.
        spacing: mm.
        tolerance: mm; distances up to it count as none in `nsd`.

    Raises:
        ValueError: shapes that differ.
    """
    _check_shapes(reference, predicted)
    reference, predicted, spacing, voxel = _cropped(reference, predicted, spacing, reference.shape)
    own, found, both = (int(np.count_nonzero(mask)) for mask in (reference, predicted, reference & predicted))
    lesions, lesions_found, false_positives = _lesions(reference, predicted)
    surfaces = _surfaces(reference, predicted, spacing, tolerance)
    return StructureMetrics(
        dice=2 * both / (own + found) if own + found else None,
        jaccard=both / (own + found - both) if own + found else None,
        precision=both / found if found else None,
        recall=both / own if own else None,
        **dataclasses.asdict(surfaces),
        reference_ml=own * voxel * _ML,
        predicted_ml=found * voxel * _ML,
        lesions=lesions,
        lesions_found=lesions_found,
        false_positives=false_positives,
    )


def _check_shapes(reference: np.ndarray, predicted: np.ndarray) -> None:
    if reference.shape != predicted.shape:
        raise ValueError(f"The reference has shape {reference.shape} and the prediction {predicted.shape}; expected the same.")


def _around(boxes: Sequence[tuple[slice, ...]]) -> tuple[slice, ...]:
    """The box around boxes."""
    return tuple(slice(min(own.start for own in axis), max(own.stop for own in axis)) for axis in zip(*boxes))


def _cropped(
    reference: np.ndarray, predicted: np.ndarray, spacing: Sequence[float], shape: Sequence[int]
) -> tuple[np.ndarray, np.ndarray, tuple[float, ...], float]:
    """Both in the box around them, without axes of one voxel of the scan's shape, with the spacing of the others, and a voxel's mm^3."""
    boxes = scipy.ndimage.find_objects((reference | predicted).view(np.uint8))
    box = boxes[0] if boxes else tuple(slice(0, 0) for _ in reference.shape)
    flat = tuple(axis for axis, size in enumerate(shape) if size == 1)[: max(0, len(shape) - 2)]
    kept = tuple(step for axis, step in enumerate(spacing) if axis not in flat)
    one, other = (np.ascontiguousarray(mask[box].squeeze(axis=flat) if boxes else mask[box]) for mask in (reference, predicted))
    return one, other, kept, float(np.prod(spacing))


def _surfaces(reference: np.ndarray, predicted: np.ndarray, spacing: Sequence[float], tolerance: float) -> Surfaces:
    """Normalised surface Dice, 95th percentile and mean of the distances of two masks."""
    own, found = reference.any(), predicted.any()
    if not (own and found):
        return Surfaces(0.0 if own or found else None, None, None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the library calls scipy's functions by their former places
        distances = surface_distance.compute_surface_distances(reference, predicted, spacing)
    nsd = surface_distance.compute_surface_dice_at_tolerance(distances, tolerance)
    hd95 = surface_distance.compute_robust_hausdorff(distances, _PERCENT)
    one, other = surface_distance.compute_average_surface_distance(distances)
    return Surfaces(float(nsd), float(hd95), float(one + other) / 2)


def _lesions(reference: np.ndarray, predicted: np.ndarray) -> tuple[int, int, int]:
    """Connected components of the reference, those found, and predicted ones where there is none."""
    touching = np.ones((3,) * reference.ndim)
    own, lesions = scipy.ndimage.label(reference, touching)
    found, components = scipy.ndimage.label(predicted, touching)
    return lesions, len(np.unique(own[predicted & reference])), components - len(np.unique(found[predicted & reference]))
