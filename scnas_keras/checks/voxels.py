"""What the voxels of one case say, and what is wrong with them."""

import dataclasses
import hashlib
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import scipy

from scnas_keras.checks.findings import Finding
from scnas_keras.checks.intensities import declared_padding, padding
from scnas_keras.checks.ranges import intensity_ranges
from scnas_keras.errors import counted
from scnas_keras.formats.geometry import Volume
from scnas_keras.tasks.cases import Case, Task

MAX_LISTED = 10
MAX_OUTSIDE = 0.01
MOST_HU = 1e5
"""Hounsfield units beyond all that is measured: metal has some 30000."""
PIECEWISE = 0.5
"""Share of neighbours with one value: of a scan's few, of a segmentation's nearly all."""
_SLAB_VOXELS = 1 << 20
_MAX_VALUES = 10_000


@dataclasses.dataclass(frozen=True)
class Structure:
    """A class in a case: its number of voxels, and its largest connected extent along each axis in mm.

    The extent is infinite along an axis of a single voxel, which no spacing can resolve.
    """

    voxels: int
    extent: tuple[float, float, float]


@dataclasses.dataclass(frozen=True)
class ImageFacts:
    """What is kept of an image: a digest of its voxels (None if constant); per channel, 0.5th and 99.5th percentile."""

    digest: str | None
    ranges: tuple[tuple[float, float], ...]


def image_findings(case: Case, image: np.ndarray, task: Task) -> list[Finding]:
    """NaN, infinite, constant and wrongly padded channels of `image` [x, y, z, channels]."""
    findings, constant = [], []
    for channel in range(image.shape[3]):
        values, name = image[..., channel], _channel_name(task, channel)
        low, high = values.min(), values.max()
        if not (np.isfinite(low) and np.isfinite(high)):
            broken = values.size - np.count_nonzero(np.isfinite(values))
            findings.append(
                Finding(
                    "not_finite",
                    case.name,
                    _file(case, channel, image.shape[3]),
                    f"channel {channel} ({name}) has {broken} voxels that are NaN or infinite",
                )
            )
        elif low == high:
            constant.append((channel, f"channel {channel} ({name}) is {low:g} everywhere"))
        elif not _is_ct(task, channel) and (found := padding(values)):
            findings.append(Finding("padding", case.name, _file(case, channel, image.shape[3]), f"channel {channel} ({name}): {found}"))
    if len(constant) == image.shape[3]:
        return [Finding("constant", case.name, case.images[0], "; ".join(text for _, text in constant))]
    return findings + [Finding("constant_channel", case.name, _file(case, channel, image.shape[3]), text) for channel, text in constant]


def labelled_findings(case: Case, label: np.ndarray, image: np.ndarray, task: Task) -> list[Finding]:
    """CT channels of `image` with labelled voxels that no scanner measures; the labelled voxels' mean and deviation scale all scans."""
    findings = []
    for channel in filter(lambda channel: _is_ct(task, channel), range(image.shape[3])):
        values = image[..., channel][label > 0]
        values = values[np.isfinite(values)]  # others are told of the whole channel
        if beyond := np.count_nonzero(np.abs(values) > MOST_HU):
            farthest = values[np.abs(values).argmax()]
            beyond = f"{beyond} labelled voxels are beyond {MOST_HU:g} HU, up to {farthest:.4g}"
            text = f"channel {channel} ({_channel_name(task, channel)}): {beyond}"
            findings.append(Finding("padding", case.name, _file(case, channel, image.shape[3]), text))
    return findings


def padding_findings(case: Case, volume: Volume, task: Task) -> list[Finding]:
    """Voxels of `volume`, which are finite, that its files declare to be padding."""
    channels = len(volume.padding)
    found = [
        declared_padding(volume.array[..., channel], declared) if declared else None for channel, declared in enumerate(volume.padding)
    ]
    return [
        Finding(
            "declared_padding", case.name, _file(case, channel, channels), f"channel {channel} ({_channel_name(task, channel)}): {text}"
        )
        for channel, text in enumerate(found)
        if text
    ]


def label_findings(case: Case, label: np.ndarray, image: np.ndarray | None, task: Task) -> list[Finding]:
    """Values of `label` [x, y, z] that no label should have; `image` [x, y, z, channels] is None if unreadable."""
    broken = label.size - np.count_nonzero(np.isfinite(label)) if label.dtype.kind == "f" else 0
    if broken:
        return [Finding("not_finite", case.name, case.label, f"the label has {broken} voxels that are NaN or infinite")]
    values, counts = value_counts(label)
    if image is not None and image.shape[:3] != label.shape:
        image = None
    doubt = _like_an_image(values, label, image, task)
    if doubt:
        return [Finding("label_is_image", case.name, case.label, doubt)]
    broken = values != np.round(values)
    if broken.any():
        off = np.abs(values - np.round(values)).max()
        return [
            Finding(
                "fractional",
                case.name,
                case.label,
                f"{_listed(values[broken], counts[broken])}; the farthest is {off:.3g} from a whole number",
            )
        ]
    findings = []
    unknown = ~np.isin(values, task.declared_values)
    if unknown.any():
        findings.append(
            Finding(
                "undeclared",
                case.name,
                case.label,
                f"{_listed(values[unknown], counts[unknown])}; declared are {', '.join(map(str, task.declared_values))}",
            )
        )
    if not values.any():
        findings.append(Finding("all_background", case.name, case.label, "every voxel is background"))
    elif task.ignore_label is not None and values.tolist() == [task.ignore_label]:
        findings.append(Finding("all_ignored", case.name, case.label, f"every voxel is {task.ignore_label} (ignore)"))
    return findings


def outside_findings(case: Case, label: np.ndarray, image: np.ndarray, task: Task) -> list[Finding]:
    """Labelled voxels outside of what the image shows, if they are more than 1 % of the labelled ones.

    Outside are voxels where every channel is 0 and that are connected with the border: a 0 amid a CT scan is tissue.
    """
    labelled = (label > 0) & (label <= max(task.labels))
    empty, total = ~image.any(axis=-1), np.count_nonzero(labelled)
    if np.count_nonzero(labelled & empty) > MAX_OUTSIDE * total:
        outside = np.count_nonzero(labelled & _reaches_border(empty))
        if outside > MAX_OUTSIDE * total:
            return [
                Finding(
                    "foreground_outside",
                    case.name,
                    case.label,
                    f"{outside} of {total} labelled voxels ({outside / total:.1%}) lie where the image is 0",
                )
            ]
    return []


def image_facts(image: np.ndarray) -> ImageFacts:
    """Digest and ranges of an image [x, y, z, channels]."""
    content = hashlib.blake2b(repr(image.shape).encode(), digest_size=16)
    content.update(np.ascontiguousarray(image).data)
    constant = bool((image == image[:1, :1, :1]).all())
    return ImageFacts(None if constant else content.hexdigest(), intensity_ranges(image))


def structures(label: np.ndarray, spacing: Sequence[float], task: Task) -> dict[int, Structure]:
    """The classes that a label [x, y, z] holds, background and ignored voxels left out."""
    found = {}
    largest = max(task.labels)
    boxes = scipy.ndimage.find_objects(np.where((label >= 0) & (label <= largest), label, 0), largest)
    for value, box in enumerate(boxes, start=1):
        if box is None or value not in task.labels:
            continue
        mask = label[box] == value
        components, _ = scipy.ndimage.label(mask, np.ones((3, 3, 3)))
        sizes = np.array([[part.stop - part.start for part in component] for component in scipy.ndimage.find_objects(components)])
        extent = tuple(math.inf if total == 1 else float(size * step) for size, step, total in zip(sizes.max(axis=0), spacing, label.shape))
        found[value] = Structure(int(np.count_nonzero(mask)), extent)
    return found


def value_counts(array: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`np.unique` with counts, in slabs: without a sorted copy of a large volume. Stops beyond 10000 values."""
    flat, totals = array.reshape(-1), {}
    for start in range(0, flat.size, _SLAB_VOXELS):
        values, counts = np.unique(flat[start : start + _SLAB_VOXELS], return_counts=True)
        for value, count in zip(values.tolist(), counts.tolist()):
            totals[value] = totals.get(value, 0) + count
        if len(totals) > _MAX_VALUES:
            break
    values = sorted(totals)
    return np.array(values), np.array([totals[value] for value in values])


def _reaches_border(mask: np.ndarray) -> np.ndarray:
    """Of a mask [x, y, z], the connected parts that touch its border; an axis of one voxel has none."""
    components, _ = scipy.ndimage.label(mask)
    faces = [np.take(components, end, axis) for axis in range(3) if mask.shape[axis] > 1 for end in (0, -1)]
    touching = np.unique(np.concatenate([face.ravel() for face in faces]))
    return np.isin(components, touching[touching > 0])


def _like_an_image(values: np.ndarray, label: np.ndarray, image: np.ndarray | None, task: Task) -> str | None:
    """Why a label's values look like those of a scan, or None."""
    declared = len(task.declared_values)
    if len(values) > max(32, 3 * declared) and not _is_piecewise(label):
        number = f"over {_MAX_VALUES}" if len(values) > _MAX_VALUES else len(values)
        return f"{number} different values, for example {values[0]:g} and {values[-1]:g}; {declared} are declared"
    if values[0] < 0 and len(values) > declared:
        return f"negative values down to {values[0]:g}, and {len(values)} different ones; {declared} are declared"
    if image is not None and len(values) > 1:
        for channel in range(image.shape[3]):
            if np.array_equal(label, image[..., channel]):
                return f"equal to channel {channel} ({_channel_name(task, channel)}) of its image in every voxel"
    return None


def _is_piecewise(label: np.ndarray) -> bool:
    """Whether most neighbours of labelled voxels of `label` [x, y, z] have their value: regions of classes, however many."""
    longest = max(range(3), key=lambda axis: label.shape[axis])
    here, there = (np.take(label, np.arange(start, label.shape[longest] - 1 + start), longest) for start in (0, 1))
    labelled = here != 0
    return np.count_nonzero(labelled) > 0 and float(np.mean(here[labelled] == there[labelled])) > PIECEWISE


def _listed(values: np.ndarray, counts: np.ndarray) -> str:
    text = ", ".join(f"{value:.9g} ({counted(int(count), 'voxel')})" for value, count in zip(values[:MAX_LISTED], counts))
    return text + (f" and {len(values) - MAX_LISTED} more" if len(values) > MAX_LISTED else "")


def _is_ct(task: Task, channel: int) -> bool:
    """Whether a channel's values are clipped to what the labelled voxels have, so that padding doesn't matter."""
    return channel < len(task.is_ct) and task.is_ct[channel]


def _channel_name(task: Task, channel: int) -> str:
    return task.channel_names[channel] if channel < len(task.channel_names) else "undeclared"


def _file(case: Case, channel: int, channels: int) -> Path:
    """The file that holds a channel; the first one if files hold several."""
    return case.images[channel] if len(case.images) == channels else case.images[0]
