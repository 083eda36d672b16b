"""--fix=header: labels get the header of their image, where both have the same voxels under different headers."""

import functools
from pathlib import Path

import nibabel as nib
import numpy as np

from scnas_keras.checks.across import millimetres
from scnas_keras.checks.scan import memory, read_headers
from scnas_keras.errors import ConfigError, DataError
from scnas_keras.formats.volumes import read_header, read_image, read_label, write_label
from scnas_keras.machine.workers import map_cases
from scnas_keras.tasks.cases import Case
from scnas_keras.tasks.loading import load_task
from scnas_keras.verify.fixed_copy import check_fixable, fixed_copy

SPACING_TOLERANCE = 0.01


def fix_headers(source: Path, target: Path, processes: int | None = None) -> str:
    """Writes a copy of a dataset whose labels lie where their images do.

    Args:
        source: the dataset's folder, which isn't changed.
        target: the copy's folder, which must not exist.
        processes: number of workers; by default as many as cores and free memory allow.

    Returns:
        A sentence that says what was done.

    Raises:
        ConfigError: nothing is to be fixed, or `target` can't be used.
        DataError: a pair can't be fixed safely; all of them are named with the reason, and nothing is written.
    """
    task = load_task(source)
    check_fixable(task.root, task.cases)
    scans = [read_headers(case, task) for case in task.cases]
    differing = [
        scan for scan in scans if any(finding.key in ("shapes", "affines") and finding.file == scan.case.label for finding in scan.findings)
    ]
    if not differing:
        raise ConfigError(f"--fix=header: no label of {task.root} wants its image's header; there is nothing to fix.")
    refused = [(scan.case, reason) for scan in differing if (reason := _unsafe(scan.case))]
    if refused:
        lines = [
            f"{task.root}: --fix=header can't fix {len(refused)} of {len(differing)} labels, so nothing was "
            "written. Resample these labels to their images with nearest-neighbour, or take them out of "
            "dataset.json:"
        ]
        raise DataError("\n".join(lines + [f"  {case.label}: {reason}" for case, reason in refused]))
    with fixed_copy(task.root, target) as folder:
        work = functools.partial(_rewrite, root=task.root, folder=folder)
        map_cases(work, [scan.case for scan in differing], "Fixing headers", memory(differing), processes)
    return f"{target}: copy of {task.root} with the image's header in {len(differing)} of {len(task.cases)} labels"


def _unsafe(case: Case) -> str | None:
    """Why it can't be trusted that image and label have the same voxels in the same order."""
    image, label = read_header(case.images[0], own_series=case.own_series), read_header(case.label)
    if image.shape != label.shape:
        return f"its shape is {label.shape}, its image's {image.shape}"
    axes = ["".join(nib.aff2axcodes(header.affine)) for header in (label, image)]
    if axes[0] != axes[1]:
        return f"its axes point {axes[0]}, its image's {axes[1]}; it could come out mirrored"
    sizes = [nib.affines.voxel_sizes(header.affine) for header in (label, image)]
    if np.abs(sizes[0] / sizes[1] - 1).max() > SPACING_TOLERANCE:
        return f"its spacing is {millimetres(sizes[0])}, its image's {millimetres(sizes[1])}, more than {SPACING_TOLERANCE:.0%} apart"
    return None


def _rewrite(case: Case, root: Path, folder: Path) -> None:
    array, _ = read_label(case.label)
    if array.min() < 0:
        raise DataError(f"{case.label}: holds negative values. Correct them first.")
    write_label(folder / case.label.relative_to(root), array, read_image(case.images).geometry)
