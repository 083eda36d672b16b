"""The check of a case's voxels that is made whenever scans are measured or prepared, when they are read anyway."""

import numpy as np

from scnas_keras.checks.findings import ERROR
from scnas_keras.checks.voxels import image_findings, label_findings, labelled_findings
from scnas_keras.errors import DataError, counted
from scnas_keras.tasks.cases import Case, Task


def check_voxels(case: Case, image: np.ndarray, label: np.ndarray, task: Task) -> None:
    """Raises DataError for a case that can't be trained on: `image` [x, y, z, channels], `label` [x, y, z] from `load_label`."""
    if image.shape[3] != len(task.channel_names) or image.shape[:3] != label.shape:
        raise DataError(
            f"{case.label}: the label has shape {label.shape}, its image {image.shape}, and dataset.json declares "
            f"{counted(len(task.channel_names), 'channel')}. A label needs its image's voxel grid, and the image the declared channels."
        )
    if problems := verify_voxels(case, image, label, task):
        raise DataError("\n    ".join(problems))


def verify_voxels(case: Case, image: np.ndarray, label: np.ndarray, task: Task) -> list[str]:
    """One sentence per problem with the voxels of a case, with the file it's in; an empty list if all is well."""
    findings = image_findings(case, image, task) + label_findings(case, label, image, task) + labelled_findings(case, label, image, task)
    return [f"{finding.text()}. {finding.kind.remedy}" for finding in findings if finding.kind.severity == ERROR]
