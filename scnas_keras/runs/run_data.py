"""The digests of the files that a run was begun with, kept in its folder: what differs later is named."""

import json
import pathlib
from collections.abc import Iterator, Mapping

from scnas_keras.documents import load
from scnas_keras.errors import DataError
from scnas_keras.files import write_text

DATA = "data.json"
_LISTED = 10
Digests = Mapping[str, Mapping[str, str]]
"""Case to its files to their digests, as `preprocessing.contents.read_contents` gives them."""


def check_data_files(folder: pathlib.Path, now: Digests) -> None:
    """Raises DataError if a run's folder tells that it was begun with other files; where they lie doesn't count."""
    file = folder / DATA
    if not file.is_file():
        return
    differing = list(_differing(load(file, dict[str, dict[str, str]], "Restore it from a copy, or name another --workdir."), now))
    if differing:
        more = f" and {len(differing) - _LISTED} more" if len(differing) > _LISTED else ""
        raise DataError(
            f"{file}: this run was begun with other data: {', '.join(differing[:_LISTED])}{more}. A case that trained might now validate. "
            "Restore the files, or name another --workdir. Nothing was changed."
        )


def write_data_files(folder: pathlib.Path, now: Digests) -> None:
    """Writes data.json."""
    write_text(folder / DATA, json.dumps(now, indent=1) + "\n")


def _differing(before: Digests, now: Digests) -> Iterator[str]:
    for name in sorted({*before, *now}):
        if name not in now or name not in before:
            yield f"the case {name} is {'new' if name in now else 'gone'}"
        elif list(before[name].values()) != list(now[name].values()):
            old = list(before[name].values())
            changed = [file for place, (file, own) in enumerate(now[name].items()) if old[place : place + 1] != [own]]
            yield from (f"{file} has changed" for file in changed or [f"the number of files of {name}"])
