"""Repeated holdout: a share of the cases is held out, several times, each drawn anew, so that a case may be held out twice or never."""

import dataclasses
import re
from collections.abc import Mapping, Sequence

from scnas_keras.errors import ConfigError, DataError
from scnas_keras.tasks.names import BY_PATIENT, KFOLD
from scnas_keras.tasks.patients import in_patient_order, shuffled

MOST_REPEATS = 1000
_TRIES = 50  # a repeat
_FORMAT = re.compile(r"holdout:(\d*\.?\d+)x(\d{1,9})")


@dataclasses.dataclass(frozen=True)
class Holdout:
    """The protocol.

    Attributes:
        share: of the cases that is held out to validate on, between 0 and 1.
        repeats: how often.
    """

    share: float
    repeats: int

    def __str__(self) -> str:
        return f"holdout:{self.share:g}x{self.repeats}"

    @property
    def words(self) -> str:
        """As a table says it."""
        return f"{self.repeats} repeat{'s' * (self.repeats > 1)} with a share of {self.share:g} held out"


def parse_protocol(text: str, method: str = BY_PATIENT) -> Holdout | None:
    """What `--protocol` says; None for k-fold cross-validation.

    Args:
        text: "kfold", or like "holdout:0.3x4".
        method: how `--split` deals cases out.

    Raises:
        ConfigError: it says neither, a share or number that can't be, or repeats are asked to be nnU-Net's folds.
    """
    if text == KFOLD:
        return None
    match = _FORMAT.fullmatch(text)
    if match is None:
        raise ConfigError(f"--protocol={text}: expected {KFOLD}, or like holdout:0.3x4, the share that is held out and how often.")
    holdout = Holdout(float(match[1]), int(match[2]))
    if not 0 < holdout.share < 1:
        raise ConfigError(f"--protocol={text}: holds out a share of {match[1]}; expected one above 0 and below 1, like 0.3.")
    if not 1 <= holdout.repeats <= MOST_REPEATS:
        raise ConfigError(f"--protocol={text}: expected 1 to {MOST_REPEATS} repeats, found {match[2]}.")
    if method != BY_PATIENT:
        raise ConfigError(
            f"--split={method} deals cases out to folds, which --protocol={text} doesn't have. Add --protocol={KFOLD}, or "
            f"--split={BY_PATIENT}."
        )
    return holdout


def held_out_parts(names: Sequence[str], groups: Mapping[str, Sequence[str]], holdout: Holdout, seed: int) -> list[list[str]]:
    """The cases that each repeat holds out: whole patients, as near to the share as they allow.

    Repeats are drawn by the seeds `seed`, `seed + 1`, ...; a draw that holds out what another does, where cases are few, is passed over,
    and so is one that leaves fewer than two patients to train on, where some of them have many cases.

    Args:
        groups: patient -> names of their cases, of all cases.

    Raises:
        DataError: the share is of no case, leaves fewer than two patients to train on however it is drawn, or isn't drawn in so many ways.
    """
    parts: dict[frozenset[str], list[str]] = {}
    for tried in range(_TRIES * holdout.repeats):
        part = _part(names, groups, holdout.share, seed + tried)
        if refusal := _refusal(part, names, groups, holdout):
            if not parts and tried + 1 >= _TRIES:
                raise DataError(refusal)
            continue
        parts.setdefault(frozenset(part), part)
        if len(parts) == holdout.repeats:
            return [*parts.values()]
    raise DataError(
        f"--protocol={holdout}: there are so few cases, {len(names)}, that only {len(parts)} different ways to hold out a share of "
        f"{holdout.share:g} were found. Ask for fewer repeats, or for --protocol={KFOLD}."
    )


def _refusal(part: Sequence[str], names: Sequence[str], groups: Mapping[str, Sequence[str]], holdout: Holdout) -> str | None:
    """Why such a draw can't be a repeat; None if it can."""
    of_all = f"of {len(groups)} patients ({len(names)} labelled cases)" if len(groups) < len(names) else f"of {len(names)} labelled cases"
    if not part:
        return f"--protocol={holdout}: {holdout.share:g} {of_all} is nearer to none than to one. Hold out a larger share."
    left = sum(not {*cases} <= {*part} for cases in groups.values())
    if left >= 2:
        return None
    return (
        f"--protocol={holdout}: {left} {of_all} would be left to train on; at least 2 are needed, one each for the weights and the "
        "architecture. Hold out a smaller share."
    )


def _part(names: Sequence[str], groups: Mapping[str, Sequence[str]], share: float, seed: int) -> list[str]:
    part, wanted = [], share * len(names)
    for cases in in_patient_order(shuffled(names, seed), groups):
        if abs(len(part) + len(cases) - wanted) < abs(len(part) - wanted):
            part += cases
    return part
