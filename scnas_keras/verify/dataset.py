"""Verifies a whole task: every header and, once, every voxel."""

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path

from scnas_keras.checks.across import header_comparisons, median_spacing, shared_patients, voxel_comparisons
from scnas_keras.checks.findings import Finding
from scnas_keras.checks.images import image_comparisons
from scnas_keras.checks.scan import Scan, memory, read_headers, read_voxels
from scnas_keras.errors import DataError
from scnas_keras.machine.workers import map_cases
from scnas_keras.tasks.cases import Case, Task
from scnas_keras.verify.needs import needs
from scnas_keras.verify.present import load_present
from scnas_keras.verify.report import Report


def verify_dataset(
    root: Path,
    spacing: Sequence[float] | None = None,
    group_pattern: str | None = None,
    processes: int | None = None,
    progress: bool = True,
) -> Report:
    """Finds all that is wrong or doubtful in a dataset's folder; arguments and errors as `verify_task`."""
    try:
        task, findings = load_present(root)
    except DataError as error:
        return Report(root, 0, (Finding("dataset", None, None, str(error)),), {})
    report = verify_task(task, spacing, group_pattern, processes, progress)
    return dataclasses.replace(report, findings=(*findings, *report.findings))


def verify_task(
    task: Task,
    spacing: Sequence[float] | None = None,
    group_pattern: str | None = None,
    processes: int | None = None,
    progress: bool = True,
) -> Report:
    """Finds all that is wrong or doubtful in a task.

    Args:
        task: what to verify.
        spacing: mm that its scans will be resampled to; by default their median.
        group_pattern: regular expression that finds the patient in a case's name; by default it's guessed.
        processes: number of workers; by default as many as cores and free memory allow.
        progress: whether to show progress bars on stderr.

    Raises:
        ConfigError: `group_pattern` is invalid or doesn't match all names.
    """
    patients = shared_patients(task, group_pattern)
    scans = _read(task.cases, task, f"Reading {task.name}", processes, progress)
    tests = _read(task.test_cases, task, "Reading test images", processes, progress)
    target = tuple(spacing) if spacing else median_spacing(scans)
    findings = [finding for scan in (*scans, *tests) for finding in scan.findings]
    findings += [
        *header_comparisons(scans, task),
        *image_comparisons(scans, tests, task),
        *voxel_comparisons(scans, task, target),
        *patients,
        *needs(task, scans, spacing, group_pattern),
    ]
    checked = {
        "test_images": len(tests),
        "files": sum(len(scan.case.files) for scan in (*scans, *tests)),
        "voxels": sum(scan.grid.voxels * scan.grid.channels for scan in (*scans, *tests) if scan.grid),
        "target_spacing": target,
    }
    return Report(task.root, len(task.cases), tuple(findings), checked)


def _read(cases: Sequence[Case], task: Task, title: str, processes: int | None, progress: bool) -> list[Scan]:
    headers = [read_headers(case, task) for case in cases]
    broken = frozenset(
        finding.file
        for scan in headers
        for finding in scan.findings
        if finding.key in ("missing", "unreadable", "spacing", "channel_grids")
    )
    work = functools.partial(read_voxels, task=dataclasses.replace(task, cases=(), test_cases=()), broken=broken)
    voxels = map_cases(work, cases, title, memory(headers), processes, progress, on_failure=_unread)
    return [
        dataclasses.replace(found, findings=header.findings + found.findings, grid=header.grid) for header, found in zip(headers, voxels)
    ]


def _unread(case: Case, problem: str) -> Scan:
    """What is kept of a case whose voxels couldn't be read: files at fault are findings already, so memory ran out."""
    return Scan(case, (Finding("memory", case.name, case.images[0], problem.removeprefix(f"{case.images[0]}: ")),))
