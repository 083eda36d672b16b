"""Checks that find a broken dataset before hours of computation do."""

import dataclasses
import itertools
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from scnas_keras.data.tasks import Case, Task
from scnas_keras.formats.volumes import Header, read_header
from scnas_keras.errors import ConfigError, DataError

AFFINE_TOLERANCE = 1e-2
PATCH_MULTIPLE = 8


@dataclasses.dataclass(frozen=True)
class _Kind:
    """A kind of header problem: its heading in the report, and what to do about it."""

    heading: str
    remedy: str


_UNREADABLE = _Kind("not a readable NIfTI file", "Download or export these files again.")
_CHANNELS = _Kind("number of channels differs from dataset.json",
                  'Correct "modality" in dataset.json, or merge the channels into one 4D file.')
_SHAPES = _Kind("image and label have different shapes",
                "A label needs the voxel grid of its image; resample it with nearest-neighbour.")
_AFFINES = _Kind(f"image and label lie in different places (more than {AFFINE_TOLERANCE} mm apart)",
                 "If they look aligned voxel by voxel, copy the image's affine to the label; otherwise resample it.")
_SPACING = _Kind("spacing isn't positive", "Mend the header, for example by converting from DICOM again.")


def verify_headers(task: Task) -> None:
    """Checks the header of every image and label of a task.

    Raises:
        DataError: one error with all problems, grouped by kind, with the cases and the remedy of each.
    """
    found = defaultdict(list)
    for case in task.cases:
        for kind, problem in _header_problems(case, task):
            found[kind].append(problem)
    if not found:
        return
    lines = [f"{task.root}: the headers of the images and labels have problems:"]
    for kind, problems in found.items():
        lines.append(f"  {kind.heading} ({len(problems)}):")
        lines += [f"    {problem}" for problem in problems[:5]]
        if len(problems) > 5:
            lines.append(f"    and {len(problems) - 5} more")
        lines.append(f"    -> {kind.remedy}")
    raise DataError("\n".join(lines))


def verify_voxels(case: Case, image: np.ndarray, label: np.ndarray, task: Task) -> list[str]:
    """Checks the voxels of one case: `image` [x, y, z, channels], `label` [x, y, z].

    Returns:
        One sentence per problem, with the file it's in; an empty list if all is well.
    """
    problems = []
    for channel, name in enumerate(task.channel_names):
        values = image[..., channel]
        broken = values.size - np.count_nonzero(np.isfinite(values))
        if broken:
            problems.append(f"{case.images[0]}: channel {channel} ({name}) has {broken} voxels that are NaN or infinite. "
                            "Replace them, or take the case out of dataset.json.")
        elif values.min() == values.max():
            problems.append(f"{case.images[0]}: channel {channel} ({name}) is {values.flat[0]:g} everywhere. "
                            "Export it again, or take the case out of dataset.json.")
    values, counts = np.unique(label, return_counts=True)
    undeclared = [f"{value} ({count} voxels)" for value, count in zip(values, counts) if value not in task.labels]
    if undeclared:
        declared = ", ".join(map(str, task.labels))
        problems.append(f"{case.label}: has label values that dataset.json doesn't declare: {', '.join(undeclared)}; "
                        f"declared are {declared}. Add them to \"labels\", or correct the file.")
    if not label.any():
        problems.append(f"{case.label}: every voxel is background. Label the case, or take it out of dataset.json.")
    return problems


def check_patch(patch_size: Sequence[int]) -> None:
    """Raises ConfigError unless a patch has three positive sizes that can be halved three times (multiples of 8)."""
    if len(patch_size) != 3:
        raise ConfigError(f"A patch has three sizes, got {list(patch_size)}. Use for example --patch_size=64,64,64.")
    if any(size <= 0 or size % PATCH_MULTIPLE for size in patch_size):
        advice = "; ".join(f"instead of {size} use {' or '.join(map(str, _nearest(size)))}"
                           for size in patch_size if size <= 0 or size % PATCH_MULTIPLE)
        raise ConfigError(f"--patch_size={','.join(map(str, patch_size))}: the network halves a patch three times, so "
                          f"every size must be a positive multiple of {PATCH_MULTIPLE}: {advice}.")


def _nearest(size: int) -> list[int]:
    below = size // PATCH_MULTIPLE * PATCH_MULTIPLE
    return [valid for valid in (below, below + PATCH_MULTIPLE) if valid > 0] or [PATCH_MULTIPLE]


def _header_problems(case: Case, task: Task) -> list[tuple[_Kind, str]]:
    headers, problems = [], []
    for path in (case.images[0], case.label):
        try:
            headers.append(read_header(path))
        except DataError as error:
            problems.append((_UNREADABLE, str(error)))
    if problems:
        return problems
    image, label = headers
    expected = len(task.channel_names)
    if image.channels != expected:
        problems.append((_CHANNELS, f"{case.images[0]}: {image.channels} in the file, {expected} declared"))
    if image.shape != label.shape:
        problems.append((_SHAPES, f"{case.label}: {_times(label.shape)}, its image {_times(image.shape)}"))
    flat = [f"{path}: {header.spacing} mm" for path, header in zip((case.images[0], case.label), headers)
            if not _has_volume(header)]
    problems += [(_SPACING, problem) for problem in flat]
    if not flat and image.shape == label.shape:
        distance = affine_distance(image.affine, label.affine, image.shape)
        if distance > AFFINE_TOLERANCE:
            problems.append((_AFFINES, f"{case.label}: {distance:.3g} mm off its image"))
    return problems


def affine_distance(first: np.ndarray, second: np.ndarray, shape: Sequence[int]) -> float:
    """How far apart, in mm, two affines [4, 4] put the same voxel, at the corner of the volume where it's worst."""
    corners = np.array([(*corner, 1) for corner in itertools.product(*((0, size - 1) for size in shape))])
    return float(np.linalg.norm(corners @ (first - second).T, axis=1).max())


def _has_volume(header: Header) -> bool:
    spacing = np.array(header.spacing)
    return bool(np.isfinite(spacing).all() and (spacing > 0).all())


def _times(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))
