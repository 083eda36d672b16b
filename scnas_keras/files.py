"""Files that are either whole or absent."""

import json
import os
import pathlib
import re
import tempfile
from typing import Any

from scnas_keras.errors import ConfigError

LONGEST_NAME = 255
"""Bytes of a file's name, on the usual file systems."""


def user_path(path: str | os.PathLike) -> pathlib.Path:
    """A path that a person wrote, with ~ replaced.

    Raises:
        ConfigError: ~ stands for nobody's folder, or no file can be called so.
    """
    try:
        found = pathlib.Path(path).expanduser()
    except RuntimeError as error:
        raise ConfigError(f"{path}: it isn't known which folder ~ stands for here. Write the whole path, or set HOME.") from error
    if "\0" in str(found) or any(len(os.fsencode(part)) > LONGEST_NAME for part in found.parts):
        raise ConfigError(f"{str(path)[:80]!r}: no file can be called so: a name is longer than {LONGEST_NAME} bytes or holds a zero byte.")
    return found


def full_path(path: str | os.PathLike) -> str:
    """A path that a person wrote, from the root on. Links in it are kept, unless .. after one of them leads elsewhere without them."""
    found = user_path(path).absolute()
    plain = os.path.normpath(found)
    return plain if os.path.realpath(plain) == os.path.realpath(found) else os.path.realpath(found)


def same_place(one: str | os.PathLike, other: str | os.PathLike) -> bool:
    """Whether two paths that a person wrote lead to the same file or folder."""
    return os.path.realpath(user_path(one)) == os.path.realpath(user_path(other))


def write_bytes(path: str | os.PathLike, data: bytes) -> None:
    """Writes a file that is seen under its name either whole or not at all, also after a power cut.

    Temporary name in the same folder (made if absent), fsync, rename.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        umask = os.umask(0)  # mkstemp hides the file from other users; give it what open() would have given
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
    except BaseException:
        pathlib.Path(temporary).unlink(missing_ok=True)
        raise


def write_text(path: str | os.PathLike, text: str) -> None:
    """`write_bytes` for text, in UTF-8."""
    write_bytes(path, text.encode("utf-8"))


def readable_json(document: Any) -> str:
    """JSON with an entry a line, but lists of numbers or words, and lists of these, on one line."""
    text = json.dumps(document, indent=2, ensure_ascii=False)
    item = r'(?:"[^"\n]*"|[-+\w.]+)'
    row = rf"\[\s*{item}(?:,\s*{item})*\s*\]"
    return re.sub(rf"\[\s*{row}(?:,\s*{row})*\s*\]|{row}", lambda match: _on_one_line(match.group()), text) + "\n"


def _on_one_line(items: str) -> str:
    return re.sub(r"\s*\n\s*", "", re.sub(r",\s*\n\s*", ", ", items))
