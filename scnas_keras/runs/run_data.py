"""The files and folds that a run was begun with, as its folder tells: what differs later is named."""

import json
import pathlib
from collections.abc import Iterator, Mapping, Sequence

from scnas_keras.documents import load
from scnas_keras.errors import DataError
from scnas_keras.files import write_text
from scnas_keras.tasks.names import SPLITS
from scnas_keras.tasks.patients import some_of
from scnas_keras.tasks.split_files import FoldNames, load_folds

DATA = "data.json"
_REMEDY = "Restore it from a copy, or name another --workdir."
_LISTED = 10
Digests = Mapping[str, Mapping[str, str]]
"""Case to its files to their digests, as `preprocessing.contents.read_contents` gives them."""


def check_data_files(folder: pathlib.Path, now: Digests) -> None:
    """Raises DataError if a run's folder tells that it was begun with other files; where they lie doesn't count."""
    file = folder / DATA
    if not file.is_file():
        return
    differing = list(_differing_files(load(file, dict[str, dict[str, str]], _REMEDY), now))
    if differing:
        raise DataError(
            f"{file}: this run was begun with other data: {some_of(differing, _LISTED)}. A case that trained might now validate. "
            "Restore the files, or name another --workdir. Nothing was changed."
        )


def check_folds(folder: pathlib.Path, now: Sequence[FoldNames]) -> None:
    """Raises DataError if a run's folder tells that it was begun with other folds, or its splits.json was edited."""
    file = folder / SPLITS
    if not file.is_file():
        return
    differing = list(_differing_folds(load_folds(file, _REMEDY), now))
    if differing:
        raise DataError(
            f"{file}: this run was begun with another split, or the file was edited: {some_of(differing, _LISTED)}. A case that trained "
            "might now validate. Restore the cases, or the folds that --splits names, of which this file is a copy; or name another "
            "--workdir. Nothing was changed."
        )


def write_data_files(folder: pathlib.Path, now: Digests) -> None:
    """Writes data.json."""
    write_text(folder / DATA, json.dumps(now, indent=1) + "\n")


def _differing_folds(before: Sequence[FoldNames], now: Sequence[FoldNames]) -> Iterator[str]:
    if len(before) != len(now):
        yield f"there are {len(now)} folds instead of {len(before)}"
        return
    for index, (old, new) in enumerate(zip(before, now)):
        for verb, was, names in (("trains on", old.training, new.training), ("validates", old.validation, new.validation)):
            for how, some in (("now", {*names} - {*was}), ("no longer", {*was} - {*names})):
                if some:
                    yield f"fold {index} {how} {verb} {some_of(sorted(some))}"


def _differing_files(before: Digests, now: Digests) -> Iterator[str]:
    for name in sorted({*before, *now}):
        if name not in now or name not in before:
            yield f"the case {name} is {'new' if name in now else 'gone'}"
        elif list(before[name].values()) != list(now[name].values()):
            old = list(before[name].values())
            changed = [file for place, (file, own) in enumerate(now[name].items()) if old[place : place + 1] != [own]]
            yield from (f"{file} has changed" for file in changed or [f"the number of files of {name}"])
