"""JSON documents that people edit: read with every value of its declared type, or refused with the place that is wrong."""

import dataclasses
import json
import math
import types
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from scnas_keras.errors import DataError

_NAMES = {float: "a number", int: "a whole number", bool: "true or false", str: "a word in quotes", dict: "an object {...}"}
_LONGEST = 80  # letters of a wrong value that a message shows


def read_document(path: str | Path, remedy: str) -> dict[str, Any]:
    """The JSON object in a file.

    Args:
        path: the file.
        remedy: for the message, what to do where there is no such file.

    Raises:
        DataError: it can't be read, or isn't a JSON object; the message names line and column.
    """
    path = Path(path).expanduser()
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))  # Windows' editor begins files with a mark
    except OSError as error:
        raise DataError(f"{path}: can't be read ({error.strerror}). {remedy}") from error
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path}: broken JSON in line {error.lineno}, column {error.colno}: {error.msg}. Mend this place. {remedy}"
        ) from error
    except ValueError as error:
        raise DataError(f"{path}: not a JSON document in UTF-8 ({error}). {remedy}") from error
    if not isinstance(content, dict):
        raise DataError(f"{path}: expected a JSON object {{...}}, found {_shown(content)}. {remedy}")
    return content


def entry(content: Mapping[str, Any], key: str, kind: Any, place: str = "") -> Any:
    """What stands under a key of an object, as `typed`; `place` is where the object stands. DataError if it's missing."""
    if key not in content:
        raise DataError(f"the key '{key}' is missing" + (f" in {place}" if place else ""))
    return typed(content[key], kind, f"{place}.{key}" if place else key)


def typed(value: Any, kind: Any, place: str) -> Any:
    """A value of a JSON document as a type that a field declares.

    Args:
        value: as JSON has it.
        kind: float, int, bool, str, dict, a dataclass, a tuple of these (with `...` or of a fixed length), or one of
            these or None. Numbers are finite; a whole number may be written 3.0.
        place: name for the message.

    Raises:
        DataError: another type.
    """
    args = typing.get_args(kind)
    if isinstance(kind, types.UnionType):
        return None if value is None else typed(value, args[0], place)
    if dataclasses.is_dataclass(kind):
        return kind(**typed_fields(value, kind, place))
    if typing.get_origin(kind) is tuple:
        count = None if Ellipsis in args else len(args)
        if not isinstance(value, list) or (count and len(value) != count):
            raise DataError(f"{place} must be a list{f' of {count}' if count else ''}, found {_shown(value)}")
        return tuple(typed(item, args[0], f"{place}[{index}]") for index, item in enumerate(value))
    if kind is int and isinstance(value, float) and value.is_integer():
        value = int(value)
    fits = type(value) is kind or (kind is float and type(value) is int)
    if not fits or (kind in (int, float) and not _is_finite(value)):
        raise DataError(f"{place} must be {_NAMES[kind]}, found {_shown(value)}")
    return kind(value)


def typed_fields(values: Any, kind: type, place: str, readers: Mapping[str, Callable[[Any], Any]] | None = None) -> dict[str, Any]:
    """The entries of a JSON object that are fields of a dataclass, each of its type; fields with defaults may be absent.

    Args:
        values: the object.
        kind: the dataclass.
        place: name for messages.
        readers: what makes of an entry its field's value, for fields that `typed` can't tell.

    Raises:
        DataError: no object, unknown or missing keys, a value of another type.
    """
    prefix = f"{place}: " if place else ""
    if not isinstance(values, Mapping):
        raise DataError(f"{prefix}expected an object {{...}}, found {_shown(values)}")
    fields = {field.name: field for field in dataclasses.fields(kind)}
    if unknown := sorted(set(values) - set(fields)):
        raise DataError(f"{prefix}unknown keys {unknown}; known are {sorted(fields)}")
    if missing := sorted(name for name, field in fields.items() if name not in values and field.default is dataclasses.MISSING):
        raise DataError(f"{prefix}the keys {missing} are missing")
    readers = readers or {}
    return {
        name: readers[name](value) if name in readers else typed(value, fields[name].type, f"{place}.{name}" if place else name)
        for name, value in values.items()
    }


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number of over 300 digits
        return False


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
