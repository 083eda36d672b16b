"""Everything that can be told of one case by itself: its headers and, in one pass, its voxels."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from scnas_keras.checks.findings import Finding
from scnas_keras.checks.grids import Grid, read_grid, without_path
from scnas_keras.checks.voxels import (
    ImageFacts,
    Structure,
    image_facts,
    image_findings,
    label_findings,
    labelled_findings,
    outside_findings,
    padding_findings,
    structures,
)
from scnas_keras.errors import DataError
from scnas_keras.formats.volumes import Geometry, read_image, read_label, read_values
from scnas_keras.tasks.cases import Case, Task
from scnas_keras.tasks.loading import load_image, load_label


@dataclasses.dataclass(frozen=True)
class Scan:
    """What is kept of a case once its files are read.

    Attributes:
        case: the case.
        findings: what is wrong with it.
        grid: from its headers, None if they can't be read.
        image: from its image's voxels, None if they can't be read.
        structures: the classes in its label, by value; None if that can't be read or has no label.
    """

    case: Case
    findings: tuple[Finding, ...]
    grid: Grid | None = None
    image: ImageFacts | None = None
    structures: dict[int, Structure] | None = None

    def finding(self, key: str, detail: str) -> Finding:
        """A finding about the case's image, in the first of its files."""
        return Finding(key, self.case.name, self.case.images[0], detail)


def read_headers(case: Case, task: Task) -> Scan:
    """The part of a scan that the headers tell."""
    grid, findings = read_grid(case, task)
    return Scan(case, tuple(findings), grid)


def read_voxels(case: Case, task: Task, broken: frozenset[Path] = frozenset()) -> Scan:
    """The part of a scan that the voxels tell.

    Args:
        case: the case; without a label for a test image.
        task: its task (of which `cases` aren't needed).
        broken: files that aren't opened, since their headers told enough.

    Raises MemoryError: then the case is read again with nothing beside it, or told to be too big.
    """
    findings, label, volume = [], None, None
    # The label comes first: reading it takes several times the memory it needs afterwards.
    if case.label and case.label not in broken:
        label, findings = _read_label(case, task)
    if not broken.intersection(case.images):
        try:
            volume = load_image(task, case)
        except (DataError, OSError) as error:
            findings.append(_unreadable(case, case.images[0], error))
    image = None if volume is None else volume.array
    if label is not None:
        findings += label_findings(case, label, image, task)
    elif findings and image is not None and _is_copy(case.label, image):
        findings = [Finding("label_is_image", case.name, case.label, "equal to its image in every voxel")]
    if image is None:
        return Scan(case, tuple(findings))
    found = None
    no_classes = {"fractional", "label_is_image", "not_finite"} & {finding.key for finding in findings}
    if label is not None and label.shape == image.shape[:3] and not no_classes:
        findings += outside_findings(case, label, image, task)
        found = structures(label, volume.spacing, task)
    of_image = image_findings(case, image, task)
    sound = all(finding.key != "not_finite" for finding in of_image)
    if found is not None:
        findings += labelled_findings(case, label, image, task)
    findings += of_image + (padding_findings(case, volume, task) if sound else [])
    return Scan(case, tuple(findings), image=image_facts(image) if sound else None, structures=found)


def memory(scans: Sequence[Scan]) -> int:
    """Bytes at the peak of `read_voxels` for the largest of these cases."""
    return max((scan.grid.voxels * (12 * scan.grid.channels + 8) for scan in scans if scan.grid), default=0)


def stored_label(path: Path) -> tuple[np.ndarray, Geometry]:
    """A label file's own values [x, y, z], as float64 where they aren't whole numbers.

    Raises DataError if the file can't be read as a label for another reason.
    """
    try:
        return read_label(path)
    except DataError as error:
        try:
            array, geometry = read_values(path)
        except DataError:
            raise error from None
        if (array == np.round(array)).all() and np.isfinite(array).all():  # fractions weren't the reason
            raise
        return array, geometry


def _read_label(case: Case, task: Task) -> tuple[np.ndarray | None, list[Finding]]:
    """The label in the task's values; in its own as float64 where these aren't whole numbers, for them to be told."""
    try:
        return load_label(task, case), []
    except (DataError, OSError) as error:
        problem = error
    try:
        return stored_label(case.label)[0], []
    except (DataError, OSError):
        return None, [_unreadable(case, case.label, problem)]


def _is_copy(path: Path, image: np.ndarray) -> bool:
    """Whether a file that can't be read as a label, for its channels, holds the image."""
    try:
        return np.array_equal(read_image(path).array, image)
    except (DataError, OSError):
        return False


def _unreadable(case: Case, path: Path, error: Exception) -> Finding:
    return Finding("unreadable", case.name, path, without_path(error, path) or type(error).__name__)
