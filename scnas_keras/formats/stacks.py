"""Slices that make one volume: all alike, evenly spaced, none missing or repeated, whatever files they are in."""

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from scnas_keras.errors import DataError
from scnas_keras.formats.frames import Frame
from scnas_keras.formats.geometry import NO_SPACING, TOLERANCE, TWO_PLACES, Doubt
from scnas_keras.formats.instances import Instance

EVENNESS = 0.2
"""Share of the slice distance by which a slice may be off an even spacing. Rounded positions stay under it; a missing
slice puts one next to the gap off by at least half a step."""
SAME = 0.01
"""Share of the slice distance under which two slices lie at one position."""
FAR = 1.5
"""SpacingBetweenSlices from which slices between two must be missing; twice as many in SliceThickness, which may leave gaps."""
_TOLD = 0.05
"""Share by which the header's distance of slices may be off that of their positions: it is often rounded."""
_UNNUMBERED = " If it was scanned so, which no InstanceNumber tells, convert it to .nii.gz, for example with dcm2niix."


def check_alike(path: Path, instances: Sequence[Instance], frames: Sequence[Frame]) -> None:
    """Raises DataError unless all frames have one size, kind and orientation, and lie in one frame of reference."""
    first, axes = instances[0], frames[0].axes
    corners = np.array([(1, 0), (0, 1), (1, 1)]) * (np.array(first.size) - 1)
    for instance in instances:
        if (instance.size, instance.samples, instance.indexed) != (first.size, first.samples, first.indexed):
            sizes = [f"{each.path.name} is {each.size[0]}x{each.size[1]} pixels with {each.samples} numbers" for each in (first, instance)]
            raise _no_volume(path, ", ".join(sizes))
        for frame in instance.frames:
            off = np.linalg.norm(corners @ (frame.axes - axes).T, axis=1).max()
            if off > TOLERANCE * np.linalg.norm(axes, axis=0).min():
                raise _no_volume(path, f"{frame.name} is turned or scaled by up to {off:.3g} mm against {frames[0].name}")


def _no_volume(path: Path, found: str) -> DataError:
    return DataError(
        f"{path}: the slices of the series don't make one volume: {found}. Move slices that don't belong to the scan, such as "
        "localizers, out of the folder; of one file with all frames, have dcm2niix write a file a volume."
    )


def find_step(
    path: Path, frames: Sequence[Frame], instances: Sequence[Instance], normal: np.ndarray
) -> tuple[np.ndarray, tuple[Doubt, ...]]:
    """The step [3] in mm from each of the frames, sorted along their normal, to the next, and what of it is doubtful."""
    told = frames[0].between or frames[0].thickness
    if len(frames) == 1:
        doubts = () if told else (Doubt(NO_SPACING, "no thickness of its only slice; 1 mm was assumed"),)
        return normal * (told or 1.0), doubts
    positions = np.array([frame.position for frame in frames])
    step = (positions[-1] - positions[0]) / (len(positions) - 1)
    gaps = np.diff(positions @ normal)
    distance = float(np.linalg.norm(step))
    if gaps.min() <= SAME * np.median(gaps) or gaps.max() <= 0:
        raise _repeated(path, frames[gaps.argmin()], frames[gaps.argmin() + 1])
    references = {instance.reference: instance.path.name for instance in instances}
    if len(references) > 1:
        names = " and ".join(list(references.values())[:2])
        raise _no_volume(path, f"{names} lie in different frames of reference, so that their positions can't be compared")
    off = np.linalg.norm(positions - (positions[0] + np.arange(len(positions))[:, None] * step), axis=1).max()
    if off > EVENNESS * distance:
        widest = gaps.argmax()
        raise DataError(
            f"{path}: the slices are not evenly spaced: {np.median(gaps):.4g} mm apart on the whole, but "
            f"{gaps[widest]:.4g} mm between {frames[widest].name} and "
            f"{frames[widest + 1].name}. A slice may be missing: copy the series again. If it was "
            "scanned so, resample it to even slices, for example with dcm2niix."
        )
    return step, _doubts_of_distance(path, frames, distance)


def _repeated(path: Path, first: Frame, second: Frame) -> DataError:
    differ = [words for words, value in first.differences.items() if second.differences.get(words, value) != value]
    if "image number" not in differ and first.file != second.file:
        found = "They are copies of one image"
    else:
        kinds = [f"{words} ({first.differences[words]}, {second.differences[words]})" for words in differ if words != "image number"]
        found = f"They differ in {', '.join(kinds)}" if kinds else "Their headers tell no difference"
    return DataError(
        f"{path}: {first.name} and {second.name} lie at the same position. {found}. Several time points, "
        "echoes or copies in one series are not one scan; move each into a folder of its own (of one file with all frames, "
        "have dcm2niix write a file each)."
    )


def _doubts_of_distance(path: Path, frames: Sequence[Frame], distance: float) -> tuple[Doubt, ...]:
    """Compares the distance of even slices with what the headers tell: few that are left of many may be even, too.

    Programs write distances that nothing is known of, so that it takes the slices' own numbers to believe that some are missing, or that
    slices in files of their own have none. Two slices are even whatever there was between them.
    """
    between, thickness = frames[0].between, frames[0].thickness
    told = between or thickness or np.inf
    numbers = [frame.order for frame in frames if frame.order is not None]
    numbered = len(set(numbers)) == len(frames)
    if numbered:
        strides = {abs(second - first) for first, second in itertools.pairwise(numbers)}
        stride = strides.pop() if len(strides) == 1 else 1
    else:
        stride = round(distance / told) if frames[0].alone else 1
    counted = stride > 1 and abs(distance - stride * told) < EVENNESS * distance
    if counted or (len(frames) == 2 and distance > (FAR if between else 2 * FAR) * told):
        words = "SpacingBetweenSlices" if between else "SliceThickness"
        raise DataError(
            f"{path}: {len(frames)} slices lie {distance:.4g} mm apart ({frames[0].name}, {frames[1].name}), but {words} is {told:g} mm: "
            f"those between are missing. Copy the series again.{'' if numbered else _UNNUMBERED}"
        )
    if between and abs(between - distance) > _TOLD * distance:
        text = f"slices {distance:.4g} mm apart by their positions and {between:.4g} mm by SpacingBetweenSlices; the positions were used"
        return (Doubt(TWO_PLACES, text),)
    return ()
