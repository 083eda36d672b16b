"""Folds as a file, in the format of nnU-Net's splits_final.json."""

import dataclasses
import difflib
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from absl import logging
from msgspec import Meta

from scnas_keras.documents import load
from scnas_keras.documents.ranges import Name
from scnas_keras.errors import DataError, some_of
from scnas_keras.files import file_in, write_text
from scnas_keras.tasks.names import SPLITS
from scnas_keras.tasks.patients import group_by_patient, shared_patients

_REMEDY = 'The format is [{"train": ["case_1", "case_2", ...], "val": ["case_3", ...]}, ...], an entry a fold.'

Groups = Mapping[str, Sequence[str]]


@dataclasses.dataclass(frozen=True)
class FoldNames:
    """The case names of one fold of the cross-validation, each part sorted."""

    training: tuple[str, ...]
    validation: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class _Entry:
    train: tuple[Name, ...]
    val: tuple[Name, ...]


_Document: Any = Annotated[tuple[_Entry, ...], Meta(min_length=1)]  # which to a type checker is no `type`


def write_splits(path: str | os.PathLike, folds: Sequence[FoldNames]) -> None:
    """Writes folds in the format of nnU-Net's splits_final.json."""
    document = [{"train": fold.training, "val": fold.validation} for fold in folds]
    write_text(path, json.dumps(document, indent=4, ensure_ascii=False) + "\n")


def read_splits(path: str | os.PathLike, names: Sequence[str], groups: Groups | None = None) -> list[FoldNames]:
    """Reads folds as `write_splits` and nnU-Net (splits_final.json) write them.

    Cases that are validated in no fold or in several, and patients in both parts of a fold, are warned of.

    Args:
        names: the task's cases; each is the label file's name without ending.
        groups: patient -> names of their cases. Default: every case is a patient of its own.

    Raises:
        DataError: it can't be read, is no such file, names a case that the task lacks, names one twice in a fold, or leaves too few.
    """
    path = file_in(path, SPLITS)
    folds = load_folds(path)
    listed = {name for fold in folds for name in fold.training + fold.validation}
    unknown = sorted(listed - set(names))
    if unknown:
        likeness = {name: difflib.get_close_matches(name, names, n=1) for name in unknown[:5]}
        alike = [f" {name} is like {close[0]}." for name, close in likeness.items() if close]
        raise DataError(
            f"{path}: found {len(unknown)} of its {len(listed)} cases, {some_of(unknown)}, that aren't among the expected, the task's "
            f"{len(names)} labelled cases.{''.join(alike)} A case's name is its label file's name "
            "without ending. Fix the names, or give the file that belongs to this task."
        )
    times = Counter(name for fold in folds for name in fold.validation)
    for title, cases in (
        ("in no fold", [name for name in sorted(names) if not times[name]]),
        ("in several folds", [name for name in sorted(names) if times[name] > 1]),
    ):
        if cases:
            logging.warning("%s: %d of the task's %d cases are validated %s: %s", path, len(cases), len(names), title, some_of(cases))
    warn_of_divided_patients(folds, groups or group_by_patient(names), str(path))
    return folds


def load_folds(path: str | os.PathLike, remedy: str = _REMEDY) -> list[FoldNames]:
    """Such a file's folds, of whatever cases.

    Raises:
        DataError: it can't be read, is no such file, names a case twice in a fold, or leaves too few.
    """
    return [_fold_names(f"{path}: [{index}]", entry) for index, entry in enumerate(_load(path, remedy))]


def count_folds(path: str | os.PathLike) -> int:
    """Number of folds in such a file; DataError if it is none."""
    return len(_load(file_in(path, SPLITS)))


def warn_of_divided_patients(folds: Sequence[FoldNames], groups: Groups, source: str) -> None:
    divided = {patient: None for fold in folds for patient in shared_patients(groups, fold.training, fold.validation)}
    if divided:
        logging.warning(
            "%s: %d of %d patients are both trained on and validated in the same fold, so that the scores are too "
            "good: %s. --split=by_patient without --splits keeps them together",
            source,
            len(divided),
            len(groups),
            some_of(list(divided)),
        )


def _load(path: str | os.PathLike, remedy: str = _REMEDY) -> tuple[_Entry, ...]:
    return load(path, _Document, remedy, other_keys=True)


def _fold_names(where: str, entry: _Entry) -> FoldNames:
    names = entry.train + entry.val
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        both = set(entry.train).intersection(entry.val)
        raise DataError(
            f"{where}: found {len(repeated)} cases more than once, {len(both)} of them in both train and val: {some_of(repeated)}; "
            "expected each once. What is validated must not be trained on; leave each in one place."
        )
    if len(entry.train) < 2 or not entry.val:
        raise DataError(
            f"{where}: found {len(entry.train)} cases to train and {len(entry.val)} to validate, expected at least 2 "
            "(one each for weights and architecture) and 1. Add cases."
        )
    return FoldNames(tuple(sorted(entry.train)), tuple(sorted(entry.val)))
