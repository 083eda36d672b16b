"""PROMISE12 (promise12.grand-challenge.org): CaseNN.mhd with CaseNN_segmentation.mhd beside it, in one folder or that of each part."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from scnas_keras.errors import DataError, some_of
from scnas_keras.tasks.cases import Case, Task
from scnas_keras.tasks.dataset_json import check_cases

_PARTS = "TrainingData_Part*"
_SCAN = re.compile(r"(Case\d+)\.mhd")
_MASK = re.compile(r"(Case\d+)_segmentation\.mhd")
_VOXELS = re.compile(r"(Case\d+(?:_segmentation)?)\.z?raw")


def is_promise12(root: Path) -> bool:
    """Whether a folder holds such scans: masks alone are but labels."""
    return bool({*_found(root, _SCAN)} & {*_found(root, _MASK)})


def load_promise12(root: Path) -> Task:
    """Reads such a folder, in which each case is a patient; DataError names files without their partner, and cases in two folders."""
    scans, masks = _once(root, _found(root, _SCAN)), _once(root, _found(root, _MASK))
    alone = [str(scans[name]) for name in scans if name not in masks] + [str(masks[name]) for name in masks if name not in scans]
    if alone:
        raise DataError(
            f"{root}: {len(alone)} files lack their partner: {some_of(alone)}. CaseNN.mhd and CaseNN_segmentation.mhd belong together: "
            "unpack the training data again, or move these files elsewhere."
        )
    headless = [str(file) for files in _found(root, _VOXELS).values() for file in files if not file.with_suffix(".mhd").is_file()]
    if headless:
        raise DataError(f"{root}: {len(headless)} files of voxels lack their header: {some_of(headless)}. Unpack the training data again.")
    cases = check_cases(root, [Case(name, (scans[name],), masks[name]) for name in scans])
    return Task("PROMISE12", root, ("T2",), {0: "background", 1: "prostate"}, cases)


def _found(root: Path, pattern: re.Pattern[str]) -> dict[str, list[Path]]:
    """The case in each name that the pattern fits, to the files: several where folders hold the same one."""
    found: dict[str, list[Path]] = {}
    for folder in (root, *sorted(root.glob(_PARTS))):
        for file in sorted(folder.iterdir()) if folder.is_dir() else ():
            if match := pattern.fullmatch(file.name):
                found.setdefault(match[1], []).append(file)
    return found


def _once(root: Path, found: Mapping[str, Sequence[Path]]) -> dict[str, Path]:
    """The only file of each case."""
    repeated = [" and ".join(map(str, files)) for files in found.values() if len(files) > 1]
    if repeated:
        raise DataError(
            f"{root}: {len(repeated)} files are there twice: {some_of(repeated)}. Each case is in one folder: move one of both elsewhere."
        )
    return {name: files[0] for name, files in found.items()}
