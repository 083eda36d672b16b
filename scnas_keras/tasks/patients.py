"""Which cases belong to one patient, told by their names: no patient may be both trained on and validated."""

import os
import re
from collections.abc import Mapping, Sequence

import numpy as np

from scnas_keras.errors import ConfigError, some_of

_DATE = re.compile(r"(?<!\d)(19|20)\d\d[-_]?[01]\d[-_]?[0-3]\d(?!\d)")
_MOST_DISTINCT_RESTS = 0.75  # share of the cases


def patient_of(name: str, pattern: str) -> str:
    """The patient's key in a case's name: the pattern's first group, or its whole match if it has no group.

    The pattern is a regular expression and is searched for anywhere in the name.

    Raises:
        ConfigError: the pattern is invalid, or it isn't found in the name, or found with an empty key.
    """
    key = _key(name, _compiled(pattern))
    if not key:
        raise _unmatched([name], 1, pattern)
    return key


def group_by_patient(names: Sequence[str], pattern: str | None = None) -> dict[str, tuple[str, ...]]:
    """Patient -> names of their cases, both sorted. Without a pattern every case is a patient of its own.

    Raises:
        ConfigError: as `patient_of`, naming up to 5 of the cases that don't match.
    """
    if pattern is None:
        return {name: (name,) for name in sorted(names)}
    expression = _compiled(pattern)
    keys = {name: _key(name, expression) for name in sorted(names)}
    unmatched = [name for name, key in keys.items() if not key]
    if unmatched:
        raise _unmatched(unmatched, len(keys), pattern)
    groups: dict[str, list[str]] = {patient: [] for patient in sorted(set(keys.values()))}
    for name, patient in keys.items():
        groups[patient].append(name)
    return {patient: tuple(cases) for patient, cases in groups.items()}


def guess_pattern(names: Sequence[str]) -> str | None:
    """A pattern by which some of several patients own more than one case, or None if the names don't look so.

    Names are taken as fields between "_" and "-". The first few fields are believed to name patients if they hold a
    number, are shared by some but not by all cases, and what follows them (R_1, frame01, ses-02, a date) repeats from
    patient to patient. The last condition tells patients from the hospitals in names like TCGA-02-0003, whose numbers
    go on instead of starting afresh. Whether they do is something only the data's source can tell for sure.
    """
    most_fields = max((len(re.findall("[_-]+", name)) for name in names), default=0)
    for fields in range(1, most_fields + 1):
        pattern = "^[^_-]+" + (f"(?:[_-]+[^_-]+){{0,{fields - 1}}}" if fields > 1 else "")
        found = {name: match.group() for name in names if (match := re.search(pattern, name))}
        keys, rests = set(found.values()), {_DATE.sub("date", name[len(key) :]) for name, key in found.items()}
        if (
            len(found) == len(names)
            and 1 < len(keys) < len(names)
            and all(re.search(r"\d", key) for key in keys)
            and len(rests) <= _MOST_DISTINCT_RESTS * len(names)
        ):
            return _readable(keys) or pattern
    return None


def shared_patients(groups: Mapping[str, Sequence[str]], first: Sequence[str], second: Sequence[str]) -> list[str]:
    """Patients with cases in both of two lists of names."""
    one, other = set(first), set(second)
    return [patient for patient, cases in groups.items() if one.intersection(cases) and other.intersection(cases)]


def shuffled(names: Sequence[str], seed: int) -> list[str]:
    """The names in an order that depends on nothing but them and the seed."""
    return np.random.Generator(np.random.PCG64(seed)).permutation(sorted(names)).tolist()


def in_patient_order(names: Sequence[str], groups: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """The names gathered by patient, in the order in which the patients come first."""
    owner = {name: patient for patient, cases in groups.items() for name in cases}
    patients: dict[str, list[str]] = {}
    for name in names:
        patients.setdefault(owner[name], []).append(name)
    return list(patients.values())


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        place = "" if error.pos is None else f" at its character {error.pos + 1}"
        raise ConfigError(
            f"--group_pattern={pattern}: not a regular expression: {error.msg}{place}. Write one whose "
            r"first group is the patient, like --group_pattern='^(patient\d+)_'."
        ) from error


def _key(name: str, expression: re.Pattern[str]) -> str:
    """The patient in a case's name; "" if there is none."""
    match = expression.search(name)
    return (match and match.group(1 if expression.groups else 0)) or ""


def _unmatched(names: Sequence[str], num_cases: int, pattern: str) -> ConfigError:
    return ConfigError(
        f"--group_pattern={pattern}: finds no patient in {len(names)} of {num_cases} case names: "
        f"{some_of(names)}. It must name the patient of every case; fix it, or rename these cases."
    )


def _readable(keys: set[str]) -> str | None:
    """A pattern that spells out what all keys begin with, where only a number follows."""
    prefix = os.path.commonprefix(sorted(keys)).rstrip("0123456789")
    pattern = re.escape(prefix).replace(r"\-", "-") + r"\d+"
    return f"^{pattern}" if all(re.fullmatch(pattern, key) for key in keys) else None
