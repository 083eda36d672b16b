"""PROMISE12 (promise12.grand-challenge.org): CaseNN.mhd with CaseNN_segmentation.mhd beside it, in one folder or that of each part."""

import re
from pathlib import Path

from scnas_keras.errors import DataError, some_of
from scnas_keras.tasks.cases import Case, Task
from scnas_keras.tasks.dataset_json import check_cases

_PARTS = "TrainingData_Part*"
_SCAN = re.compile(r"(Case\d+)\.mhd")
_MASK = re.compile(r"(Case\d+)_segmentation\.mhd")


def is_promise12(root: Path) -> bool:
    """Whether a folder holds such scans."""
    return bool(_found(root, _MASK))


def load_promise12(root: Path) -> Task:
    """Reads such a folder, in which each case is a patient; DataError names scans and masks without each other."""
    scans, masks = _found(root, _SCAN), _found(root, _MASK)
    alone = [str(scans[name]) for name in scans if name not in masks] + [str(masks[name]) for name in masks if name not in scans]
    if alone:
        raise DataError(
            f"{root}: {len(alone)} files lack their partner: {some_of(alone)}. CaseNN.mhd and CaseNN_segmentation.mhd belong together: "
            "unpack the training data again, or move these files elsewhere."
        )
    cases = check_cases(root, [Case(name, (scans[name],), masks[name]) for name in scans])
    return Task("PROMISE12", root, ("T2",), {0: "background", 1: "prostate"}, cases)


def _found(root: Path, pattern: re.Pattern[str]) -> dict[str, Path]:
    """The number of a case in each name that the pattern fits, to the file."""
    files = [file for folder in (root, *sorted(root.glob(_PARTS))) if folder.is_dir() for file in sorted(folder.iterdir())]
    return {match[1]: file for file in files if (match := pattern.fullmatch(file.name))}
