"""What the cache holds, and clearing it. Only what this package made is listed or removed, whatever else lies in the folder."""

import contextlib
import datetime
import os
import pathlib
import re
import shutil
from collections.abc import Iterator

from scnas_keras.cache.config import CacheConfig
from scnas_keras.errors import ConfigError, OutputError
from scnas_keras.preprocessing.contents import CONTENTS
from scnas_keras.preprocessing.measure import FINGERPRINTS
from scnas_keras.reporting.text_table import table
from scnas_keras.runs.data_config import cache_folder
from scnas_keras.timing.records import FOLDER as MILLISECONDS

ALL = "all"
_KINDS = {
    CONTENTS: "digests of scans",
    FINGERPRINTS: "measured scans",
    MILLISECONDS: "times of layers on this machine",
}
_PREPARED = re.compile(r".+-[0-9a-f]{16}")
_PHANTOMS = re.compile(r"Phantom-\d+")


def run_cache(config: CacheConfig) -> str:
    """The list, after what is to be cleared is gone.

    Raises:
        ConfigError: there is no such entry; nothing is cleared then.
        OutputError: something can't be removed.
    """
    folder = cache_folder(config.cache_dir)
    entries = {path.name: kind for path, kind in _entries(folder)}
    lines = []
    if config.clear:
        wanted = list(entries) if config.clear == ALL else [*dict.fromkeys(name for name in config.clear.split(",") if name)]
        if unknown := [name for name in wanted if name not in entries]:
            there = f"It has {', '.join(entries)}." if entries else "It is empty."
            raise ConfigError(f"--clear={','.join(unknown)}: {folder} has no such entry. {there} Nothing was cleared.")
        freed = sum(_size(folder / name) for name in wanted)
        for name in wanted:
            _remove(folder / name)
            del entries[name]
        lines.append(f"cleared {', '.join(wanted) or 'nothing'}: {_megabytes(freed)} MB")
    if not entries:
        return "\n".join([*lines, f"{folder}: nothing is kept."])
    rows = [("name", "MB", "cases", "made", "what")]
    for name, kind in entries.items():
        path = folder / name
        made = datetime.date.fromtimestamp(path.stat().st_mtime).isoformat()
        rows.append((name, _megabytes(_size(path)), str(_cases(path)) if kind == "prepared scans" else "", made, kind))
    total = sum(_size(folder / name) for name in entries)
    last = f"{_megabytes(total)} MB in all; scnas cache --clear=NAME removes one, --clear={ALL} all"
    return "\n".join([*lines, str(folder), *table(rows), last])


def _entries(folder: pathlib.Path) -> Iterator[tuple[pathlib.Path, str]]:
    """What this package made in a folder, and of which kind it is."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if not path.is_dir() or path.is_symlink():
            continue
        if path.name in _KINDS:
            yield path, _KINDS[path.name]
        elif _PHANTOMS.fullmatch(path.name) and (path / "dataset.json").is_file():
            yield path, "generated scans"
        elif _PREPARED.fullmatch(path.name) and (path / "plan.json").is_file():
            yield path, "prepared scans"


def _cases(path: pathlib.Path) -> int:
    return sum((case / "meta.json").is_file() for case in path.iterdir())


def _size(path: pathlib.Path) -> int:
    size = 0
    for place, _, names in os.walk(path):
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # a run that goes on replaces some
                size += os.lstat(os.path.join(place, name)).st_size
    return size


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f}"


def _remove(path: pathlib.Path) -> None:
    try:
        shutil.rmtree(path)
    except OSError as error:
        raise OutputError(f"{error.filename or path}: can't be removed ({error.strerror}).") from error
