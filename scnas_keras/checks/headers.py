"""The check that every command makes before anything else: quick, since no voxel is read."""

from absl import logging

from scnas_keras.checks.across import header_comparisons
from scnas_keras.checks.findings import ERROR, WARNING, by_kind, grouped_lines
from scnas_keras.checks.scan import read_headers
from scnas_keras.errors import DataError
from scnas_keras.formats.geometry import NO_UNIT
from scnas_keras.tasks.cases import Task


def verify_headers(task: Task) -> None:
    """Checks the headers of all images and labels of a task; logs what is doubtful, one line a kind.

    Raises:
        DataError: one error with all problems, grouped by kind, with the cases and the remedy of each.
    """
    scans = [read_headers(case, task) for case in task.cases]
    findings = [finding for scan in scans for finding in scan.findings] + header_comparisons(scans, task)
    errors = by_kind(findings, ERROR)
    if errors:
        raise DataError("\n".join([f"{task.root}: the headers of the images and labels have problems:", *grouped_lines(errors, task.root)]))
    for kind, group in by_kind(findings, WARNING).items():
        if kind.key == NO_UNIT:  # said once, by scnas verify
            continue
        logging.warning(
            "%s: %s (%d), for example %s; scnas verify tells more", task.name, kind.heading, len(group), group[0].text(task.root)
        )
