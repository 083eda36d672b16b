"""Which cases train the weights, which the architecture, and which are only ever looked at to validate."""

import dataclasses
import os
from collections.abc import Sequence
from typing import Final, Literal

import numpy as np
from absl import logging

from scnas_keras.errors import ConfigError, DataError, some_of
from scnas_keras.tasks.holdout import held_out_parts, parse_protocol
from scnas_keras.tasks.names import ARCHITECTURE_SHARE, BY_PATIENT, KFOLD, SPLIT_METHODS
from scnas_keras.tasks.patients import group_by_patient, guess_pattern, in_patient_order, shuffled
from scnas_keras.tasks.split_files import FoldNames, Groups, read_splits, warn_of_divided_patients

FOLDS = 5
"""Unless --num_folds says otherwise."""
FEWEST = 3
"""Cases, or patients: one each for the weights, the architecture and the validation."""
_NNUNET_SEED = 12345


@dataclasses.dataclass(frozen=True)
class Split:
    """The case names of one fold.

    Attributes:
        train: of its training cases, those on which a search trains the network's weights.
        held_out: the others, on which a search trains the architecture; a fixed network is trained on both, or judged on these.
        validation: cases that nothing is trained on.
    """

    train: tuple[str, ...]
    held_out: tuple[str, ...]
    validation: tuple[str, ...]


def find_folds(
    names: Sequence[str],
    num_folds: int = FOLDS,
    seed: int = 0,
    method: str = BY_PATIENT,
    pattern: str | None = None,
    file: str | os.PathLike | None = None,
    protocol: str = KFOLD,
) -> tuple[list[FoldNames], Groups]:
    """All folds, of `make_splits` or of a file, and the cases of each patient.

    The result depends on nothing but the arguments, not on the names' order either.

    Args:
        pattern: tells the patient by a case's name (`group_by_patient`). Without it, names that look as if patients
            owned several cases cause a warning.
        file: splits to read (`read_splits`); then `num_folds`, `method` and `protocol` don't count.

    Raises:
        ConfigError: flags that don't go together or with the names.
        DataError: too few cases or patients, a file that doesn't fit.
    """
    groups = group_by_patient(names, pattern)
    if pattern is None:
        _warn_of_likely_patients(names)
    folds = read_splits(file, names, groups) if file else make_splits(names, num_folds, seed, groups, method, protocol)
    return folds, groups


def make_splits(
    names: Sequence[str],
    num_folds: int = FOLDS,
    seed: int = 0,
    groups: Groups | None = None,
    method: str = BY_PATIENT,
    protocol: str = KFOLD,
) -> list[FoldNames]:
    """Folds for cross-validation; every case is validated in exactly one. Or the repeats of a holdout, which may share cases.

    Args:
        groups: patient -> names of their cases, of all cases. Default: every case is a patient of its own.
        method: "by_patient" keeps a patient's cases in one fold, and folds within one patient's cases of each other's
            size. "nnunet" repeats nnU-Net's folds, scikit-learn's KFold(num_folds, shuffle=True, random_state=12345)
            over the sorted names. That knows no patients: a warning names those that it divides.
        protocol: "kfold", or like "holdout:0.3x4", which has repeats instead of `num_folds` folds (`held_out_parts`).

    Raises:
        ConfigError: an unknown method or protocol, `num_folds` under 2.
        DataError: too few cases or patients.
    """
    groups = groups or group_by_patient(names)
    if method not in SPLIT_METHODS:
        raise ConfigError(f"--split={method}: unknown. Choose one of {', '.join(SPLIT_METHODS)}.")
    holdout = parse_protocol(protocol, method)
    if holdout is None and num_folds < 2:
        raise ConfigError(f"--num_folds={num_folds}: cross-validation needs at least 2 folds.")
    least = FEWEST if holdout else num_folds
    _check_count(len(names), least, "labelled cases", "Label more cases.")
    if method == BY_PATIENT:
        _check_count(
            len(groups),
            least,
            f"patients ({len(names)} labelled cases by --group_pattern)",
            "Label more patients, or fix --group_pattern if they are more.",
        )
        parts = held_out_parts(names, groups, holdout, seed) if holdout else _parts_by_patient(names, num_folds, seed, groups)
    else:
        parts = _parts_of_nnunet(names, num_folds)
    folds = [FoldNames(tuple(sorted(set(names) - set(part))), tuple(sorted(part))) for part in parts]
    warn_of_divided_patients(folds, groups, f"--split={method}")
    return folds


ALL: Final = "all"
"""Instead of a fold's number: every case is trained on."""


def parse_fold(text: str) -> int | Literal["all"]:
    """A fold's number, or `ALL`; ConfigError for anything else."""
    if text == ALL:
        return ALL
    if not text.isdecimal():
        raise ConfigError(f"--fold={text}: expected a fold's number, from 0, or {ALL}.")
    return int(text)


def split_fold(
    folds: Sequence[FoldNames],
    fold: int | Literal["all"],
    seed: int = 0,
    groups: Groups | None = None,
    architecture_share: float = ARCHITECTURE_SHARE,
    protocol: str = KFOLD,
) -> Split:
    """Divides a fold's training cases for weights and architecture, 4:1 as SCNAS does or by another share, patients as a whole.

    Of `ALL`, every case is for the weights. Repeats of a holdout are divided by seeds of their own, `seed + fold`: they share most of their
    training cases, and by one seed would also share those for the architecture.

    Args:
        protocol: of the run's flags; also where the folds are of a file, so that a run's own splits.json divides as the run did.

    Raises:
        ConfigError: there is no such fold.
        DataError: the training cases belong to one patient, so that they can't be divided.
    """
    if fold == ALL:
        return Split(tuple(sorted({name for one in folds for name in one.training + one.validation})), (), ())
    if not 0 <= fold < len(folds):
        raise ConfigError(
            f"--fold={fold}: with {len(folds)} fold{'s' * (len(folds) > 1)} the folds are 0 to {len(folds) - 1}. Choose one of these."
        )
    training, validation = folds[fold].training, folds[fold].validation
    groups, set_aside = groups or group_by_patient(training + validation), set(validation)
    own_seed = seed if protocol == KFOLD else seed + fold
    ordered = [name for name in shuffled(training + validation, own_seed) if name not in set_aside]
    patients = in_patient_order(ordered, groups)
    if len(patients) < 2:
        remedy = f"Use --num_folds={len(groups)}" if len(groups) > 2 else "Label more patients"
        raise DataError(
            f"--fold={fold} of {len(folds)}: the cases to train on are all of one patient: "
            f"{some_of(training)}. Weights and architecture need one each. {remedy}, or have the "
            "--splits file train on more."
        )
    held_out, wanted = [], max(1, round(len(training) * architecture_share))
    for cases in patients:
        if len(held_out) + len(cases) <= wanted:
            held_out += cases
    held_out = held_out or min(patients, key=len)
    return Split(tuple(sorted(set(training) - set(held_out))), tuple(sorted(held_out)), tuple(sorted(validation)))


def _check_count(count: int, num_folds: int, what: str, remedy: str) -> None:
    if count < FEWEST:
        raise DataError(
            f"Found {count} {what}; at least {FEWEST} are needed: one each for the weights, the architecture and the validation. {remedy}"
        )
    if count < num_folds:
        raise DataError(f"--num_folds={num_folds} needs at least as many, found {count} {what}. Use --num_folds={count} or fewer.")


def _parts_by_patient(names: Sequence[str], num_folds: int, seed: int, groups: Groups) -> list[list[str]]:
    ordered = shuffled(names, seed)
    patients = in_patient_order(ordered, groups)
    if len(patients) == len(names):  # dealing them out would balance as well, but these are the folds of earlier runs
        return [part.tolist() for part in np.array_split(ordered, num_folds)]
    parts: list[list[str]] = [[] for _ in range(num_folds)]
    for cases in sorted(patients, key=len, reverse=True):
        min(parts, key=len).extend(cases)
    return parts


def _parts_of_nnunet(names: Sequence[str], num_folds: int) -> list[list[str]]:
    order = np.arange(len(names))
    np.random.RandomState(_NNUNET_SEED).shuffle(order)
    return [np.array(sorted(names))[part].tolist() for part in np.array_split(order, num_folds)]


def _warn_of_likely_patients(names: Sequence[str]) -> None:
    pattern = guess_pattern(names)
    if pattern:
        logging.warning(
            "By their names the %d cases seem to come from %d patients. If so, keep each in one fold with "
            "--group_pattern='%s', or else scores are too good. If not, --group_pattern='.+' ends this warning",
            len(names),
            len(group_by_patient(names, pattern)),
            pattern,
        )
