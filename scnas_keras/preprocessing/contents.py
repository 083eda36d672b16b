"""What the files of cases hold, told by digests: the same wherever they lie and whenever they were copied.

Bytes are read once: digests are kept in CACHE_DIR/contents, a file for each state (place, size and time of change) of a case's files.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from scnas_keras.errors import DataError, OutputError
from scnas_keras.files import write_text
from scnas_keras.machine.memory import usable_cpus
from scnas_keras.progress import each
from scnas_keras.tasks.cases import Case
from scnas_keras.tasks.sources import files_of, source_digest

CONTENTS = "contents"
"""The folder of the cache that holds them."""
_LETTERS = 16


def read_contents(cases: Sequence[Case], cache_dir: str | Path) -> dict[str, dict[str, str]]:
    """What each case holds, by its name: its files, or folders of slices, by their paths in the folder around them all, with digests.

    Raises:
        DataError: a file can't be read, or changes meanwhile.
    """
    with ThreadPoolExecutor(usable_cpus()) as threads:
        found = threads.map(lambda case: contents(case, cache_dir), cases)
        return {case.name: own for case, own in zip(cases, each(found, "Digests", len(cases)))}


def contents(case: Case, cache_dir: str | Path) -> dict[str, str]:
    """`read_contents` of one case."""
    try:
        state = source_digest(case)
        kept = Path(cache_dir) / CONTENTS / f"{state}.json"
        found = _kept(kept)
        if found is None:
            root = os.path.commonpath([path.absolute().parent for path in case.files])
            found = {os.path.relpath(path.absolute(), root): digest_of(path) for path in case.files}
            if source_digest(case) != state:
                raise DataError(changed(case))
            with contextlib.suppress(OutputError):  # a cache that may only be read serves what it holds
                write_text(kept, json.dumps(found) + "\n")
    except OSError as error:
        raise DataError(f"{error.filename}: can't be read ({error.strerror}).") from error
    return found


def digest(found: Mapping[str, str]) -> str:
    """16 letters that change with what the files of a case hold."""
    return hashlib.sha256(json.dumps(list(found.values())).encode()).hexdigest()[:_LETTERS]


def changed(case: Case) -> str:
    """What is wrong with a case whose files don't stay as they are."""
    return f"{case.images[0]}: its files changed while they were read. Start again when nothing writes to the folder any more."


def _kept(file: Path) -> dict[str, str] | None:
    """What was kept; None if it is not there or damaged."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and all(isinstance(value, str) for value in found.values()) else None


def digest_of(path: Path) -> str:
    """Of a file's bytes, or of those of all files that belong to it."""
    total = hashlib.sha256()
    for file in files_of(path):
        with file.open("rb") as stream:
            total.update(hashlib.file_digest(stream, "sha256").digest())
    return total.hexdigest()[:_LETTERS]
