"""Where in a document a comparison with its type failed, and what the type expects there, in words."""

import bisect
import difflib
import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

Place = tuple[str | int, ...]
"""Keys and list positions that lead to a value of a document."""

_PATH = re.compile(r" - at (?:`key` in )?`\$(?P<path>[^`]*)`$")
_STEP = re.compile(r"\.(?P<name>[^.\[]+)|\[(?P<index>\d+)\]|(?P<any>\[\.\.\.\])")
_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "a word in quotes",
    "null": "null",
    "array": "a list",
    "object": "an object {...}",
}
_WITH_FIELDS = (msgspec.inspect.StructType, msgspec.inspect.DataclassType, msgspec.inspect.TypedDictType, msgspec.inspect.NamedTupleType)


def written(place: Place) -> str:
    """A place in one word: ("configurations", "2d", "spacing", 0) is configurations.2d.spacing[0]."""
    steps = (
        f"[{step}]" if isinstance(step, int) else f".{step}" if re.fullmatch(r"[\w-]+", step) else f"[{json.dumps(step)}]" for step in place
    )
    return "".join(steps).removeprefix(".")


def join(outer: str, inner: str) -> str:
    """A written place inside of another; either may be ""."""
    return f"{outer}{'.' if outer and inner and not inner.startswith('[') else ''}{inner}"


def value_at(content: Any, place: Place) -> Any:
    """What stands at a place."""
    for step in place:
        content = content[step]
    return content


def find_place(content: Any, kind: Any, reason: str) -> Place:
    """The place that a msgspec message tells, with the keys of objects that msgspec leaves out.

    Args:
        content: that was compared.
        kind: with this type.
        reason: the message.
    """
    match = _PATH.search(reason)
    place: Place = ()
    for step in _STEP.finditer(match["path"]) if match else ():
        if step["any"]:
            keys = list(value_at(content, place))
            place = (*place, keys[_failing(content, kind, reason, place, keys) - 1])
        else:
            place = (*place, step["name"] or int(step["index"]))
    if match and "`key` in" in match.group():
        keys = list(value_at(content, place))
        place = (*place, keys[_failing(content, kind, reason, place, keys)])
    return place


def expectation(kind: Any, place: Place, reason: str, found: Any) -> str | None:
    """What a msgspec message expected, in words; None if the message isn't msgspec's own.

    Args:
        kind: the type of the document.
        place: where it wasn't met.
        reason: the message.
        found: what stands there.
    """
    reason = _PATH.sub("", reason)
    if missing := re.fullmatch(r"Object missing required field `(.+)`", reason):
        alike = difflib.get_close_matches(missing[1], found, n=1)
        return f'the key "{missing[1]}"' + (f' (is it "{alike[0]}"?)' if alike else "")
    if reason.startswith("Invalid enum value"):
        return _one_of(value for arm in _arms_at(kind, place) for value in getattr(arm, "values", ()))
    if reason.startswith("Invalid value"):
        return _one_of(arm.tag for arm in _arms_at(kind, place[:-1]) if isinstance(arm, msgspec.inspect.StructType) and arm.tag is not None)
    if reason == "Number out of range":
        return "a number up to 1e308"
    if told := re.fullmatch(r"Expected `([^`]+)`(.*?)(?:, got .+)?", reason):
        condition = " on one line" if "matching regex" in told[2] else told[2]  # the only pattern is that of `ranges.Name`
        return " or ".join(_WORDS.get(word, word) for word in told[1].split(" | ")) + condition
    return None


def _failing(content: Any, kind: Any, reason: str, place: Place, keys: Sequence[str]) -> int:
    """How many keys of the object at a place are looked at before its comparison fails.

    A value of no type at all changes the message as long as it stands before what is wrong.
    """

    def is_unchanged(index: int) -> bool:
        try:
            msgspec.convert(_replaced(content, (*place, keys[index]), _Stranger()), kind, str_keys=True)
        except msgspec.ValidationError as error:
            return str(error) == reason
        return False

    return bisect.bisect_left(range(len(keys)), True, key=is_unchanged)


class _Stranger:
    """Fits no type of a document."""


def _replaced(content: Any, place: Place, value: Any) -> Any:
    if not place:
        return value
    changed = content.copy()
    changed[place[0]] = _replaced(content[place[0]], place[1:], value)
    return changed


def _one_of(values: Iterable[str | int]) -> str:
    return f"one of {', '.join(map(json.dumps, values))}"


def _arms_at(kind: Any, place: Place) -> list[msgspec.inspect.Type]:
    """The types that a value at a place may have."""
    types = [msgspec.inspect.type_info(kind)]
    for step in place:
        types = [inner for one in types for inner in _inner(one, step)]
    return [arm for one in types for arm in _arms(one)]


def _arms(kind: msgspec.inspect.Type) -> Sequence[msgspec.inspect.Type]:
    if isinstance(kind, msgspec.inspect.Metadata):
        return _arms(kind.type)
    return kind.types if isinstance(kind, msgspec.inspect.UnionType) else (kind,)


def _inner(kind: msgspec.inspect.Type, step: str | int) -> list[msgspec.inspect.Type]:
    """The types of what stands under a key or at a position."""
    found = []
    for arm in _arms(kind):
        if isinstance(arm, msgspec.inspect.DictType):
            found.append(arm.value_type)
        elif isinstance(arm, _WITH_FIELDS):
            found += [field.type for field in arm.fields if field.encode_name == step]
        elif isinstance(arm, msgspec.inspect.TupleType) and isinstance(step, int):
            found.append(arm.item_types[step])
        elif isinstance(arm, msgspec.inspect.CollectionType):
            found.append(arm.item_type)
    return found
