"""Spellings of a dataset.json that can mean only one thing, brought to the usual one."""

import re
from collections.abc import Mapping
from typing import Any

_NUMBER = re.compile(r"\s*(\d{1,9})(\.0*)?\s*")


def usual(content: Any) -> Any:
    """A parsed dataset.json as its type expects it; what isn't certain stays as it is, and is refused there.

    - labels: numbers as text ({"tumour": "1"}, {"1.0": "tumour"}), or a list of names from 0 on
    - channels: a list of names, a single name, or {"T1": 0}
    - numbers of cases as text; file_ending in capitals or without its dot
    """
    if not isinstance(content, dict):
        return content
    changes = {
        "labels": _labels,
        "modality": _channels,
        "channel_names": _channels,
        "regions_class_order": _listed,
        "numTraining": _number,
        "numTest": _number,
        "file_ending": _ending,
    }
    return content | {key: change(content[key]) for key, change in changes.items() if key in content}


def _labels(found: Any) -> Any:
    if isinstance(found, list) and all(isinstance(name, str) for name in found):
        return {str(value): name for value, name in enumerate(found)}
    if not isinstance(found, dict):
        return found
    numbered = [key for key in found if _NUMBER.fullmatch(key)]
    if len(numbered) == len(found) and all(isinstance(name, str) for name in found.values()):
        return _renamed(found)
    return found if numbered else {name: _numbers(value) for name, value in found.items()}


def _channels(found: Any) -> Any:
    if isinstance(found, str):
        return {"0": found}
    if isinstance(found, list) and all(isinstance(name, str) for name in found):
        return {str(index): name for index, name in enumerate(found)}
    if not isinstance(found, dict) or not found:
        return found
    if all(_NUMBER.fullmatch(key) for key in found):
        return _renamed(found)
    numbers = {name: _number(index) for name, index in found.items()}
    turned = {str(index): name for name, index in numbers.items() if type(index) is int}
    return turned if len(turned) == len(found) and not any(map(_NUMBER.fullmatch, found)) else found


def _renamed(found: Mapping[str, Any]) -> Mapping[str, Any]:
    """Keys "1.0" and "01" as "1", unless two would become one."""
    renamed = {str(_number(key)): value for key, value in found.items()}
    return renamed if len(renamed) == len(found) else found


def _numbers(value: Any) -> Any:
    return [_number(one) for one in value] if isinstance(value, list) else _number(value)


def _listed(value: Any) -> Any:
    return _numbers(value) if isinstance(value, list) else value


def _number(value: Any) -> Any:
    match = _NUMBER.fullmatch(value) if isinstance(value, str) else None
    return int(match[1]) if match else value


def _ending(value: Any) -> Any:
    return f".{value.strip().lower().removeprefix('.')}" if isinstance(value, str) else value
