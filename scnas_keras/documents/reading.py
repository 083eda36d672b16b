"""JSON documents: read into typed values, or refused in one line that says file, place, what was found, what was expected.

A document's type is a frozen dataclass or `msgspec.Struct`, with ranges as `Annotated[float, Meta(gt=0, le=1e4)]`; what concerns
several fields is checked in `__post_init__`, which raises `Misfit`. The package msgspec compares the two.
"""

import dataclasses
import json
import math
import os
from collections import Counter
from collections.abc import Collection, Iterator
from typing import Any, TypeVar

import msgspec

from scnas_keras.documents.places import Place, expectation, find_place, join, value_at, written
from scnas_keras.errors import ConfigError, DataError, UserError
from scnas_keras.files import decoded, user_path

_T = TypeVar("_T")
_LONGEST = 80  # letters of a wrong value that a message shows


class Misfit(DataError, ValueError):
    """A value of a document, or several together, can't be what they are.

    A type's `__post_init__` raises it; `decode` puts the file and the place of the object in front.

    Args:
        place: of the value in the object, such as "patch_size" or "strides[2]"; "" for the object itself.
        found: the value, shown as JSON.
        expected: in words.
    """

    def __init__(self, place: str, found: Any, expected: str):
        self.place, self.complaint = place, f"found {shown(found)}, expected {expected}"
        super().__init__(f"{place}: {self.complaint}" if place else self.complaint)


def load(path: str | os.PathLike, kind: type[_T], remedy: str = "", error: type[UserError] = DataError, other_keys: bool = False) -> _T:
    """The document in a file as a typed value: `parse` and `decode`."""
    return decode(parse(path, remedy, error), kind, path, remedy, error, other_keys)


def parse(path: str | os.PathLike, remedy: str = "", error: type[UserError] = DataError) -> Any:
    """What a JSON file holds, of whatever type. Whole numbers are ints, also where they're written 3.0.

    Args:
        path: the file.
        remedy: the last sentence of the message.
        error: the class of the error.

    Raises:
        UserError: of the given class. It can't be read, isn't JSON in UTF-8 or in UTF-16 with its mark, has a number that isn't finite,
            or an object with a key twice.
    """
    try:
        path = user_path(path)
        text = decoded(path.read_bytes())
    except ConfigError as reason:  # no file can be called so
        raise error(str(reason)) from reason
    except PermissionError as reason:
        raise error(_line(path, f"can't be read ({reason.strerror})", "Ask for the right to read it.")) from reason
    except OSError as reason:
        raise error(_line(path, f"can't be read ({reason.strerror})", remedy)) from reason
    except UnicodeDecodeError as reason:
        form = reason.encoding.upper()
        message = f"byte {reason.start}: found no text in {form} ({reason.reason}), expected a JSON document saved as UTF-8"
        raise error(_line(path, message, remedy)) from reason
    return parse_text(text, path, remedy, error)


def parse_text(text: str, where: str | os.PathLike, remedy: str = "", error: type[UserError] = DataError) -> Any:
    """What a JSON text holds; see `parse`. `where` names it in messages."""
    try:
        return _plain(json.loads(text, object_pairs_hook=_object), ())
    except json.JSONDecodeError as reason:
        if not reason.doc.strip():
            message = "found an empty file, expected a JSON document"
        else:
            end = " (the file ends here: was it cut off?)" if reason.pos >= len(reason.doc.rstrip()) else ""
            message = f"line {reason.lineno}, column {reason.colno}: found broken JSON{end}, expected a JSON document: {reason.msg}"
    except RecursionError:
        message = "found lists or objects nested too deeply, expected a JSON document"
    except ValueError as reason:  # a Misfit, or a number of thousands of digits
        message = str(reason)
    raise error(_line(where, message, remedy))


def decode(
    content: Any, kind: type[_T], where: str | os.PathLike, remedy: str = "", error: type[UserError] = DataError, other_keys: bool = False
) -> _T:
    """Parsed JSON as a typed value.

    Args:
        content: as `parse` gives it.
        kind: the type: a dataclass or Struct, or tuples, dicts, unions and Literals of them.
        where: the file, and a place in it if `content` isn't all of it; for the message.
        remedy: the last sentence of the message.
        error: the class of the error.
        other_keys: whether objects may have keys that the type doesn't know, as in documents of other programs.

    Raises:
        UserError: of the given class; the content is anything else.
    """
    try:
        value = msgspec.convert(content, kind, str_keys=True)
    except msgspec.ValidationError as reason:
        raise error(_line(where, _told(content, kind, reason), remedy)) from reason
    except UserError as reason:  # of a type whose checks know nothing of documents
        raise error(_line(where, str(reason), remedy)) from reason
    if not other_keys and (wrong := next(_unknown_keys(content, value, ()), None)):
        raise error(_line(where, wrong, remedy))
    return value


def check_version(
    content: Any,
    name: str | None,
    versions: Collection[int],
    where: str | os.PathLike,
    remedy: str = "",
    error: type[UserError] = DataError,
) -> int:
    """The "version" of a document whose "format" is `name`, or has none; the error, if that or the version differs."""
    if not isinstance(content, dict):
        raise error(_line(where, f"found {shown(content)}, expected an object {{...}}", remedy))
    if content.get("format") != name:
        raise error(_line(where, f"format: found {shown(content.get('format'))}, expected {shown(name)}", remedy))
    version = content.get("version")
    if type(version) is not int or version not in versions:
        known = " and ".join(map(str, sorted(versions)))
        raise error(_line(where, f"version {shown(version)} can't be read; this release reads version {known}", remedy))
    return version


def shown(value: Any) -> str:
    """A value of a document as JSON on one line, cut short."""
    text = json.dumps(msgspec.to_builtins(value, str_keys=True), ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _line(where: str | os.PathLike, message: str, remedy: str) -> str:
    return f"{where}: {message.rstrip('.')}.{f' {remedy}' if remedy else ''}"


def _told(content: Any, kind: Any, reason: msgspec.ValidationError) -> str:
    """Place, what was found, what was expected."""
    place, misfit = find_place(content, kind, str(reason)), reason.__context__
    if isinstance(misfit, Misfit):
        return f"{join(written(place), misfit.place)}: {misfit.complaint}".removeprefix(": ")
    complaint = _compared(content, kind, place, str(reason))
    return f"{written(place)}: {complaint}" if place else complaint


def _compared(content: Any, kind: Any, place: Place, reason: str) -> str:
    found = value_at(content, place)
    if "`key` in" in reason:
        return f"found the key {shown(place[-1])}, expected {expectation(kind, place, reason, found)} as key"
    expected = expectation(kind, place, reason, found)
    if expected is None:  # a ValueError of the type's own
        return reason.split(" - at `$")[0]
    if reason.startswith("Object missing"):
        return f"found {f'the keys {shown(list(found))[1:-1]}' if found else 'no keys'}, expected {expected}"
    return f"found {shown(found)}, expected {expected}"


@dataclasses.dataclass(frozen=True)
class _Repeated:
    """Stands where an object has a key more than once."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        content |= {key: _Repeated() for key, count in Counter(key for key, _ in pairs).items() if count > 1}
    return content


def _plain(value: Any, place: Place) -> Any:
    """The value with whole numbers as ints; Misfit at a number that isn't finite and at a repeated key."""
    if isinstance(value, dict):
        return {_text(key, place): _plain(item, (*place, key)) for key, item in value.items()}
    if isinstance(value, str):
        return _text(value, place)
    if isinstance(value, list):
        return [_plain(item, (*place, index)) for index, item in enumerate(value)]
    if isinstance(value, _Repeated):
        raise ValueError(f"{written(place)}: found this key more than once, expected once")
    if isinstance(value, float):
        if not math.isfinite(value):
            raise Misfit(written(place), value, "a finite number")
        return int(value) if value.is_integer() else value
    return value


def _text(value: str, place: Place) -> str:
    """The text itself; ValueError for one that no file can hold."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{written(place)}: found {ascii(value)}, half of a character, expected text".removeprefix(": ")) from error
    return value


def _unknown_keys(content: Any, value: Any, place: Place) -> Iterator[str]:
    """The keys that the types don't have; msgspec passes over those that aren't a dataclass' fields."""
    if isinstance(content, list) and isinstance(value, list | tuple):
        children = zip(range(len(content)), content, value)
    elif not isinstance(content, dict):
        return
    elif isinstance(value, dict):
        children = zip(content, content.values(), value.values())
    else:
        fields = _fields(value)
        for key in content:
            if key not in fields:
                yield f"{written((*place, key))}: found this key, expected one of {', '.join(fields)}"
        children = ((key, content[key], getattr(value, field)) for key, field in fields.items() if field and key in content)
    for step, inner, item in children:
        yield from _unknown_keys(inner, item, (*place, step))


def _fields(value: Any) -> dict[str, str]:
    """Key in the document to attribute; the key that tells a Struct's type has none."""
    if isinstance(value, msgspec.Struct):
        tag = value.__struct_config__.tag_field
        return ({tag: ""} if tag else {}) | dict(zip(value.__struct_encode_fields__, value.__struct_fields__))
    return {field.name: field.name for field in dataclasses.fields(value)}
