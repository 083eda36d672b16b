"""Of a file that isn't there, the nearest one that is, and in what they differ."""

import difflib
import os
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path

from scnas_keras.formats.endings import strip_ending

_CUTOFF = 0.75
CHANNEL = re.compile(r"_\d{4}$")
"""The end of a name without its ending that numbers a channel's file."""


def nearest(path: Path) -> str:
    """A sentence " There is FILE: how it differs.", or "" where nothing is like it."""
    folder = path.parent
    if not os.path.isdir(folder):
        missing = next((part for part in (folder, *folder.parents) if os.path.isdir(part.parent)), folder)
        return f" There is no folder {missing}.{nearest(missing)}"
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        return f" {folder} can't be looked into ({error.strerror})."
    for same, difference in _LIKENESSES:
        wanted = same(path.name)
        for name in names:
            if name != path.name and wanted and same(name) == wanted:
                return f" There is {folder / name}: {difference}."
    beside = _beside(path)
    if beside:
        return f" There is {beside}: in another folder."
    close = difflib.get_close_matches(path.name, names, 1, _CUTOFF)
    return f" There is {folder / close[0]}: a name that is like it." if close else ""


def closed_folder(path: Path) -> Path | None:
    """The folder on the way to a file in which this user may not look for it."""
    there = [folder for folder in reversed(path.parents) if os.path.isdir(folder)]
    return next((folder for folder in there if not os.access(folder, os.X_OK | os.R_OK)), None)


def _beside(path: Path) -> Path | None:
    """A file of the same name in the folder around, or in one beside."""
    around = path.parent.parent
    if not os.access(around, os.R_OK):
        return None
    folders = [around, *(place for place in sorted(around.iterdir()) if place.is_dir())]
    return next((folder / path.name for folder in folders if os.path.lexists(folder / path.name)), None)


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _stem(name: str) -> str:
    return strip_ending(_composed(name)).casefold()


_LIKENESSES: tuple[tuple[Callable[[str], str], str], ...] = (
    (_composed, "the same letters in another Unicode form"),
    (lambda name: _composed(name).casefold(), "capitals and small letters differ"),
    (lambda name: "".join(_composed(name).casefold().split()), "spaces differ"),
    (_stem, "the ending differs"),
    (lambda name: CHANNEL.sub("", _stem(name)), "the number of the channel differs"),
    (lambda name: re.sub(r"0*(\d+)", r"\1", _stem(name)), "the zeros before a number differ"),
    (lambda name: re.sub(r"[\W_]+", "", _stem(name)), "the signs between words differ"),
)
