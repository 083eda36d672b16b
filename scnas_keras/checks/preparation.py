"""The check of a case's voxels that is made while scans are prepared, when they are read anyway."""

import numpy as np

from scnas_keras.checks.findings import ERROR
from scnas_keras.checks.voxels import image_findings, label_findings
from scnas_keras.tasks.cases import Case, Task


def verify_voxels(case: Case, image: np.ndarray, label: np.ndarray, task: Task) -> list[str]:
    """Checks the voxels of one case: `image` [x, y, z, channels], `label` [x, y, z] from `load_label`.

    Returns:
        One sentence per problem, with the file it's in; an empty list if all is well.
    """
    findings = image_findings(case, image, task) + label_findings(case, label, image, task)
    return [f"{finding.text()}. {finding.kind.remedy}" for finding in findings if finding.kind.severity == ERROR]
