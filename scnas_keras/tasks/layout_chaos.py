"""The CT scans of CHAOS (chaos.grand-challenge.org): a folder a patient, with slices in DICOM_anon/ and their masks in Ground/."""

from pathlib import Path

from scnas_keras.errors import DataError, some_of
from scnas_keras.formats.endings import MASKS, SLICES
from scnas_keras.tasks.cases import Case, Task

_PLACES = "", "CT", "Train_Sets/CT"
"""Where the patients are in a folder that may be CT/, Train_Sets/ or CHAOS_Train_Sets/."""
_SEQUENCES = "T1DUAL", "T2SPIR"
"""Folders of a patient's MR scans, whose masks hold several organs."""


def is_chaos(root: Path) -> bool:
    """Whether a folder holds such patients."""
    return any(_seems_patient(folder) for place in _PLACES for folder in _folders(root / place))


def load_chaos(root: Path) -> Task:
    """Reads such a folder, whose cases are the patients; DataError names those of whom slices or masks are missing."""
    patients = next(found for place in _PLACES if (found := [folder for folder in _folders(root / place) if _is_patient(folder)]))
    empty = [folder for folder in _folders(patients[0].parent) if folder.name.isdecimal() and folder not in patients]
    folders = sorted({*patients, *empty})
    lacking = [f"{folder.name} (no {name}/)" for folder in folders for name in (SLICES, MASKS) if not (folder / name).is_dir()]
    if lacking:
        raise DataError(
            f"{patients[0].parent}: {len(lacking)} folders of {len(folders)} patients are missing: {some_of(lacking)}. Each needs slices "
            f"in {SLICES}/ and masks in {MASKS}/: unpack the training sets again, or move these folders elsewhere."
        )
    cases = tuple(Case(patient.name, (patient / SLICES,), patient / MASKS, own_series=True) for patient in patients)
    return Task("CHAOS_CT", root, ("CT",), {0: "background", 1: "liver"}, cases)


def are_slices(folder: Path) -> bool:
    """Whether a folder holds the slices of a patient, each made anonymous by itself: of the training sets, or of the test sets' CT."""
    patient = folder.absolute().parent
    return folder.name == SLICES and ((patient / MASKS).is_dir() or patient.parent.name == "CT")


def _folders(around: Path) -> list[Path]:
    return [path for path in sorted(around.iterdir()) if path.is_dir()] if around.is_dir() else []


def _is_patient(folder: Path) -> bool:
    return folder.name not in _SEQUENCES and ((folder / SLICES).is_dir() or (folder / MASKS).is_dir())


def _seems_patient(folder: Path) -> bool:
    try:
        return _is_patient(folder)
    except PermissionError:  # as of lost+found, which is at the top of many disks
        return False
