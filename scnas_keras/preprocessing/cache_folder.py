"""Folders of the cache, which may be another user's: what can't be read or written there is told once, before any case."""

import os
from collections.abc import Iterable
from pathlib import Path

from scnas_keras.errors import ConfigError, OutputError
from scnas_keras.files import unwritable


def open_folder(cache_dir: str | Path, folder: Path) -> None:
    """Makes a folder of the cache, if it isn't there.

    Raises:
        OutputError: it can't be made.
        ConfigError: it can't be listed.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        place = unwritable(folder) or folder
        raise OutputError(_closed(cache_dir, place, f"can't be written ({error.strerror})")) from error
    if not os.access(folder, os.R_OK | os.X_OK):
        raise ConfigError(_closed(cache_dir, folder, "can't be entered (Permission denied)"))


def check_readable(cache_dir: str | Path, places: Iterable[Path]) -> None:
    """Raises ConfigError for the first file or folder that is there and may not be read: it isn't damaged, and can't be made again."""
    for place in places:
        if os.access(place, os.F_OK) and not os.access(place, os.R_OK):
            raise ConfigError(_closed(cache_dir, place, "can't be read (Permission denied)"))


def check_writable(cache_dir: str | Path, folder: Path, needed: str) -> None:
    """Raises ConfigError if nothing can be put into a folder where something is needed."""
    if not os.access(folder, os.W_OK):
        raise ConfigError(_closed(cache_dir, folder, f"can't be written, and {needed}"))


def _closed(cache_dir: str | Path, place: Path, complaint: str) -> str:
    owner = _owner(place)
    whose = f"; it belongs to {owner}" if owner else ""
    of_own = " of your own" if owner else ""
    return f"--cache_dir={cache_dir}: {place} {complaint}{whose}. Choose another folder{of_own} with --cache_dir=DIR."


def _owner(place: Path) -> str | None:
    """Whose a file or folder is, if it is another user's."""
    try:
        user = place.stat().st_uid
        return None if user == os.geteuid() else place.owner()
    except KeyError:
        return f"user {user}"
    except (OSError, AttributeError, NotImplementedError):  # gone, or a system without such users
        return None
