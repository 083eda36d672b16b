"""Folds as a file, in the format of nnU-Net's splits_final.json."""

import dataclasses
import difflib
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from absl import logging

from scnas_keras.errors import ConfigError, DataError
from scnas_keras.files import write_text
from scnas_keras.tasks.patients import group_by_patient, shared_patients, some_of

_FORMAT = '[{"train": ["case_1", "case_2", ...], "val": ["case_3", ...]}, ...], an entry a fold'

Groups = Mapping[str, Sequence[str]]


@dataclasses.dataclass(frozen=True)
class FoldNames:
    """The case names of one fold of the cross-validation, each part sorted."""

    training: tuple[str, ...]
    validation: tuple[str, ...]


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
        ConfigError: the file can't be opened.
        DataError: it is no such file, names a case that the task lacks, names one twice in a fold, or leaves too few.
    """
    entries = _read_json(path)
    if not (isinstance(entries, list) and entries):
        raise DataError(f"{path}: expected a list of folds like {_FORMAT}; found {json.dumps(entries)[:60]}.")
    folds = [_fold_names(f"{path}, fold {index}", entry) for index, entry in enumerate(entries)]
    listed = {name for fold in folds for name in fold.training + fold.validation}
    unknown = sorted(listed - set(names))
    if unknown:
        likeness = {name: difflib.get_close_matches(name, names, n=1) for name in unknown[:5]}
        alike = [f" {name} is like {close[0]}." for name, close in likeness.items() if close]
        raise DataError(
            f"{path}: {len(unknown)} of its {len(listed)} cases aren't among the task's {len(names)} "
            f"labelled cases: {some_of(unknown)}.{''.join(alike)} A case's name is its label file's name "
            "without ending. Mend the names, or give the file that belongs to this task."
        )
    times = Counter(name for fold in folds for name in fold.validation)
    for title, cases in (("in no fold", [name for name in sorted(names) if not times[name]]),
                         ("in several folds", [name for name in sorted(names) if times[name] > 1])):  # fmt: skip
        if cases:
            logging.warning("%s: %d of the task's %d cases are validated %s: %s", path, len(cases), len(names), title,
                            some_of(cases))  # fmt: skip
    warn_of_divided_patients(folds, groups or group_by_patient(names), str(path))
    return folds


def warn_of_divided_patients(folds: Sequence[FoldNames], groups: Groups, source: str) -> None:
    divided = {patient: None for fold in folds for patient in shared_patients(groups, fold.training, fold.validation)}
    if divided:
        logging.warning(
            "%s: %d of %d patients are both trained on and validated in the same fold, so that the scores are too "
            "good: %s. --split=by_patient without --splits keeps them together",
            source, len(divided), len(groups), some_of(list(divided)),
        )  # fmt: skip


def _read_json(path: str | os.PathLike) -> object:
    try:
        return json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path}: broken JSON in line {error.lineno}, column {error.colno}: {error.msg}. Mend this place; expected is {_FORMAT}."
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not a text file in UTF-8 ({error}). Expected is JSON: {_FORMAT}.") from error
    except OSError as error:
        raise ConfigError(
            f"{path}: no splits can be read from here: {error.strerror}. Give the path of a file like nnU-Net's splits_final.json."
        ) from error


def _fold_names(where: str, entry: object) -> FoldNames:
    parts = [entry.get(key) for key in ("train", "val")] if isinstance(entry, dict) else []
    if not parts or not all(isinstance(part, list) and all(isinstance(name, str) for name in part) for part in parts):
        found = f"the keys {', '.join(entry) or 'none'}" if isinstance(entry, dict) else json.dumps(entry)[:60]
        raise DataError(f'{where}: expected lists of case names under "train" and "val", found {found}. The format is {_FORMAT}.')
    training, validation = parts
    repeated = [name for name, count in Counter(training + validation).items() if count > 1]
    if repeated:
        both = set(training).intersection(validation)
        raise DataError(
            f"{where}: {len(repeated)} cases are listed more than once, {len(both)} of them in both train "
            f"and val: {some_of(repeated)}. What is validated must not be trained on; "
            "leave each in one place."
        )
    if len(training) < 2 or not validation:
        raise DataError(
            f"{where}: lists {len(training)} cases to train and {len(validation)} to validate; at least 2 "
            "(one each for weights and architecture) and 1 are needed. Add cases."
        )
    return FoldNames(tuple(sorted(training)), tuple(sorted(validation)))
