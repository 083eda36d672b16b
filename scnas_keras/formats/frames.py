"""One frame of DICOM: where it lies and what its numbers mean, alike for a single slice and for a multi-frame object.

A classic image has position, spacing and scale beside its pixels. A multi-frame object has them in functional groups: those of a frame,
and those that all frames share (PS3.3, C.7.6.16). Lengths are mm, directions left, posterior, superior.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scnas_keras.errors import DataError

DIFFERENCES = {
    "SOPInstanceUID": "image number",
    "SegmentNumber": "segment",
    "EchoTime": "echo time",
    "EffectiveEchoTime": "echo time",
    "DiffusionBValue": "b-value",
    "InversionTime": "inversion time",
    "FlipAngle": "flip angle",
    "TemporalPositionIdentifier": "time point",
    "TemporalPositionIndex": "time point",
    "TriggerTime": "trigger time",
    "NominalCardiacTriggerDelayTime": "trigger delay",
    "AcquisitionNumber": "acquisition",
    "FrameAcquisitionNumber": "acquisition",
    "AcquisitionTime": "time of acquisition",
    "FrameAcquisitionDateTime": "time of acquisition",
    "ImageType": "image type",
    "FrameType": "image type",
    "StackID": "stack",
    "DimensionIndexValues": "dimension index",
}
"""What may tell frames at one position apart, and how people call it."""
_SCALE = ("RescaleSlope", "RescaleIntercept", "RescaleType", "RealWorldValueMappingSequence", "ModalityLUTSequence", "DoseGridScaling")
_PLACE = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "ImagerPixelSpacing", "SpacingBetweenSlices", "SliceThickness")
TAGS = (*DIFFERENCES, *_SCALE, *_PLACE)
"""Keywords of what is read here."""
_RIGHT = 0.02
"""Cosine, and deviation of a length from 1, up to which directions count as such: those rounded to two digits do."""
_AGAIN = "Export the series again from where it was made."


@dataclasses.dataclass(frozen=True, eq=False)
class Frame:
    """One slice.

    Attributes:
        file, number: where its pixels are: the file, and the frame in it, from 0.
        alone: whether it's the only frame of its file.
        position: [3], of its first pixel.
        axes: [3, 2], the steps from column to column and from row to row.
        slope, inter: a stored number n means n * slope + inter.
        between, thickness: SpacingBetweenSlices and SliceThickness; None if not told.
        order: its number in the stack or the series; None if not told.
        differences: what tells it from other frames at its position (`DIFFERENCES`).
    """

    file: Path
    number: int
    alone: bool
    position: np.ndarray
    axes: np.ndarray
    slope: float
    inter: float
    between: float | None
    thickness: float | None
    order: int | None
    differences: Mapping[str, str]

    @property
    def name(self) -> str:
        """For people: the file, with the frame counted from 1."""
        return self.file.name if self.alone else f"frame {self.number + 1} of {self.file.name}"


def read_frame(path: Path, number: int, count: int, groups: Sequence[Mapping[str, Any]]) -> Frame:
    """Reads a frame from what is said of it, by keyword: where to look, nearest first. Raises DataError if something is missing."""

    def value(keyword: str) -> Any:
        return next((group[keyword] for group in groups if keyword in group), None)

    place = str(path) if count == 1 else f"{path}: frame {number + 1}"
    position, spacing = (_numbers(place, keyword, length, value) for keyword, length in (("ImagePositionPatient", 3), ("PixelSpacing", 2)))
    directions = _numbers(place, "ImageOrientationPatient", 6, value).reshape(2, 3)
    lengths = np.linalg.norm(directions, axis=1)
    if np.abs(lengths - 1).max() > _RIGHT or abs(directions[0] @ directions[1]) > _RIGHT:
        raise DataError(f"{place}: ImageOrientationPatient is {directions.tolist()}, no two directions at right angles. {_AGAIN}")
    if spacing.min() <= 0:
        raise DataError(f"{place}: PixelSpacing is {spacing.tolist()} mm. {_AGAIN}")
    slope, inter = _scale(place, value)
    between, thickness = (abs(float(value(keyword) or 0)) or None for keyword in ("SpacingBetweenSlices", "SliceThickness"))
    order = value("InStackPositionNumber" if count > 1 else "InstanceNumber")
    order = None if order is None else int(order)
    differences = {words: str(value(keyword)) for keyword, words in DIFFERENCES.items() if value(keyword) is not None}
    axes = (directions / lengths[:, None]).T * spacing[::-1]  # the first spacing is that of rows
    return Frame(path, number, count == 1, position, axes, slope, inter, between, thickness, order, differences)


def _numbers(place: str, keyword: str, length: int, value) -> np.ndarray:
    found = value(keyword)
    numbers = np.array([] if found is None else found, float).ravel()
    if len(numbers) == length and np.isfinite(numbers).all():
        return numbers
    detector = keyword == "PixelSpacing" and value("ImagerPixelSpacing") is not None
    extra = " (ImagerPixelSpacing is there, but that is measured on the detector, not in the patient)" if detector else ""
    said = "has no" if found is None else f"has {found!s} as"
    raise DataError(f"{place}: the header {said} {keyword}{extra}, so that its place or size in mm isn't known. {_AGAIN}")


def _scale(place: str, value) -> tuple[float, float]:
    """Slope and intercept of a frame."""
    for keyword in ("ModalityLUTSequence", "DoseGridScaling"):
        if value(keyword):
            raise DataError(
                f"{place}: its scale is told by {keyword}, which isn't read. Convert it to .nii.gz with a program that knows its kind."
            )
    slope, inter, mapping = (value(keyword) for keyword in ("RescaleSlope", "RescaleIntercept", "RealWorldValueMappingSequence"))
    if slope is None and inter is None and mapping:
        slope, inter = (mapping[0].get(keyword) for keyword in ("RealWorldValueSlope", "RealWorldValueIntercept"))
        if len(mapping) > 1 or slope is None:
            raise DataError(
                f"{place}: RealWorldValueMappingSequence holds several scales, or one that isn't linear. Convert it to .nii.gz."
            )
    scale = 1.0 if slope is None else float(slope), float(inter or 0)
    if not np.isfinite(scale).all() or not scale[0]:
        raise DataError(f"{place}: RescaleSlope and RescaleIntercept are {scale[0]:g} and {scale[1]:g}, which is no scale. {_AGAIN}")
    return scale
