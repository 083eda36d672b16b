"""Files that are either whole or absent."""

import codecs
import contextlib
import errno
import json
import os
import pathlib
import re
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any, BinaryIO

from scnas_keras.errors import ConfigError, OutputError

_FULL = (errno.ENOSPC, errno.EDQUOT)
_MARKS = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16", codecs.BOM_UTF8: "utf-8-sig"}
LONGEST_NAME = 255
"""Bytes of a file's name, on the usual file systems."""


def decoded(data: bytes, errors: str = "strict") -> str:
    """The text of a file that a person may have saved: in UTF-8, or in what the mark at its start tells, as Windows' programs write it.

    Raises:
        UnicodeDecodeError: it's no such text, and errors are strict.
    """
    encoding = next((name for mark, name in _MARKS.items() if data.startswith(mark)), "utf-8")
    return data.decode(encoding, errors)


def file_in(path: str | os.PathLike, name: str) -> pathlib.Path:
    """The file that a person names, or the one of a name in the folder that is named, such as a run's."""
    file = user_path(path)
    return file / name if file.is_dir() else file


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


@contextlib.contextmanager
def writing(path: str | os.PathLike, needed: int | None = None) -> Iterator[None]:
    """Around what writes a file: what the file system refuses is told as an `OutputError`.

    Args:
        path: the file.
        needed: bytes that it will have, if that is known.
    """
    try:
        yield
    except OSError as error:
        reason = no_room(error)
        if reason is None:
            raise OutputError(f"{path}: can't be written ({error.strerror or error}). Name another place, or ask for the right.") from error
        size = "" if needed is None else f" {_megabytes(needed)} are needed"
        if error.errno == errno.EFBIG:
            room, remedy = f"{size}." if size else "", "Raise the limit (ulimit -f unlimited)"
        else:
            room, remedy = f"{size}{',' * bool(size)} {_free(path)} are free.", "Make room"
        raise OutputError(
            f"{path}: can't be written: {reason}.{room} {remedy} and give the same command again; what was written before is whole."
        ) from error


def no_room(error: OSError) -> str | None:
    """What keeps a file from growing, if that is why it couldn't be written."""
    if error.errno == errno.EFBIG:
        return "it would be larger than files may be here (ulimit -f)"
    return "the disk is full" if error.errno in _FULL else None


def check_writable(path: pathlib.Path) -> None:
    """OutputError if a file can't be written under this name, as far as can be told before; its folder need not be there."""
    if len(os.fsencode(path.name)) > LONGEST_NAME:
        raise OutputError(f"{path}: can't be written: the name is longer than {LONGEST_NAME} bytes. Name another one.")
    if path.is_dir():
        raise OutputError(f"{path}: can't be written: a folder has this name. Remove it, or name another place.")
    if closed := unwritable(path.absolute().parent):
        raise OutputError(f"{path}: can't be written: {closed} is no folder that can be written to. Name another place.")


def unwritable(folder: pathlib.Path) -> pathlib.Path | None:
    """Why nothing can be put into a folder, which need not be there: the first of it and those around it that is, if closed or a file."""
    existing = next(place for place in (folder.absolute(), *folder.absolute().parents) if os.path.exists(place))
    return None if existing.is_dir() and os.access(existing, os.W_OK) else existing


def full_path(path: str | os.PathLike) -> str:
    """A path that a person wrote, from the root on. Links in it are kept, unless .. after one of them leads elsewhere without them."""
    found = user_path(path).absolute()
    plain = os.path.normpath(found)
    return plain if os.path.realpath(plain) == os.path.realpath(found) else os.path.realpath(found)


def same_place(one: str | os.PathLike, other: str | os.PathLike) -> bool:
    """Whether two paths that a person wrote lead to the same file or folder."""
    return os.path.realpath(user_path(one)) == os.path.realpath(user_path(other))


def write_bytes(path: str | os.PathLike, data: bytes) -> None:
    """Writes a file that is seen under its name either whole or not at all: `whole_file`."""
    with whole_file(path, len(data)) as stream:
        stream.write(data)


@contextlib.contextmanager
def whole_file(path: str | os.PathLike, needed: int | None = None) -> Iterator[BinaryIO]:
    """A file to write to that is seen under its name only once the block has ended, and then whole, also after a power cut.

    Temporary name in the same folder (made if absent), fsync, rename.

    Args:
        path: its name.
        needed: bytes that it will have, if that is known.

    Raises:
        OutputError: it can't be written; what was there under its name is left.
    """
    path = pathlib.Path(path)
    with writing(path, needed):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=hidden_prefix(path))
        try:
            with os.fdopen(handle, "wb") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            show_to_others(temporary, 0o666)
            os.replace(temporary, path)
        except BaseException:
            pathlib.Path(temporary).unlink(missing_ok=True)
            raise


def show_to_others(path: str | os.PathLike, mode: int) -> None:
    """Gives a temporary file or folder, which its maker hides from other users, the rights that others of this user have."""
    umask = os.umask(0)
    os.umask(umask)
    os.chmod(path, mode & ~umask)


def keep_edited(path: pathlib.Path, new: str) -> pathlib.Path | None:
    """Moves a file that holds something else than its new text, as it may have been edited, to NAME.previous.ENDING; returns its place."""
    if not path.is_file() or path.read_bytes() == new.encode():
        return None
    previous = path.with_stem(f"{path.stem}.previous")
    os.replace(path, previous)
    return previous


def hidden_prefix(path: pathlib.Path) -> str:
    """Of the temporary name of a file that is being written; short enough where the file's own name is as long as may be."""
    return f".{path.name[:40]}."


def write_text(path: str | os.PathLike, text: str) -> None:
    """`write_bytes` for text, in UTF-8."""
    write_bytes(path, text.encode("utf-8"))


def readable_json(document: Any) -> str:
    """JSON with an entry a line, but lists of numbers or words, and lists of these, on one line."""
    text = json.dumps(document, indent=2, ensure_ascii=False)
    item = r'(?:"[^"\n]*"|[-+\w.]+)'
    row = rf"\[\s*{item}(?:,\s*{item})*\s*\]"
    return re.sub(rf"\[\s*{row}(?:,\s*{row})*\s*\]|{row}", lambda match: _on_one_line(match.group()), text) + "\n"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.1f} kB"


def _free(path: str | os.PathLike) -> str:
    """Room on the disk that a file lies on, or would."""
    path = pathlib.Path(path).absolute()
    return _megabytes(shutil.disk_usage(next(folder for folder in (path, *path.parents) if folder.exists())).free)


def _on_one_line(items: str) -> str:
    return re.sub(r"\s*\n\s*", "", re.sub(r",\s*\n\s*", ", ", items))
