"""Comparing the segmentation of a case with its label, in a worker process."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from scnas_keras.errors import DataError, some_of
from scnas_keras.formats.geometry import canonical_spacing
from scnas_keras.formats.regrid import onto_grid
from scnas_keras.formats.volumes import read_header, read_label
from scnas_keras.metrics.structure import StructureMetrics, structure_metrics
from scnas_keras.tasks.cases import Case, Task
from scnas_keras.tasks.loading import load_label

BYTES_PER_VOXEL = 40
"""That comparing takes at its peak: both label maps, masks, and the distances in the box around the largest structure."""


def compare(case: Case, task: Task | None, structures: Mapping[str, Sequence[int]], tolerance: float) -> dict[str, StructureMetrics]:
    """Structure -> how well it was segmented.

    Args:
        case: its image is the segmentation.
        task: says what values in the label mean; None if they are the classes.
        structures: name -> values of its classes.
        tolerance: mm, of NSD.

    Raises:
        DataError: a file can't be read, lies elsewhere, or holds other values than classes.
    """
    path = case.images[0]
    label, wanted = read_label(case.label_file)
    if task is not None:
        label = load_label(task, case)
    found, geometry = read_label(path)
    found = onto_grid(found, geometry, wanted)
    ignored = None if task is None else task.ignore_label
    if task is not None:
        _check_values(path, found, [*task.labels, *([] if ignored is None else [ignored])])
        _check_values(case.label_file, label, [*task.labels, *([] if ignored is None else [ignored])])
    counted = None if ignored is None else label != ignored
    spacing = canonical_spacing(wanted.affine)
    results = {}
    for name, values in structures.items():
        own, predicted = (_mask(array, values, counted) for array in (label, found))
        results[name] = structure_metrics(own, predicted, spacing, tolerance)
    return results


def values_in(case: Case) -> tuple[set[int], set[int]]:
    """Values other than 0 in a label, and in its segmentation."""
    label, *images = (set(map(int, np.unique(read_label(path)[0]))) - {0} for path in (case.label_file, *case.images))
    return label, set().union(*images)


def voxels(case: Case) -> int:
    """Of the label."""
    return int(np.prod(read_header(case.label_file).shape, dtype=float))


def _mask(array: np.ndarray, values: Sequence[int], counted: np.ndarray | None) -> np.ndarray:
    mask = array == values[0]
    for value in values[1:]:
        mask |= array == value
    if counted is not None:
        mask &= counted
    return mask


def _check_values(path: Path, array: np.ndarray, known: Sequence[int]) -> None:
    others = sorted({int(value) for value in np.unique(array)} - {*known})
    if others:
        declared = some_of([str(value) for value in known], 9)
        raise DataError(f"{path}: holds {some_of([str(value) for value in others])}, and the dataset declares {declared}.")
