"""JSON documents that nobody would write: sound ones with places of theirs changed at random, from a seed."""

import copy
import json

import pytest

from scnas_keras.errors import UserError

ODD = (
    *(None, True, False, 0, -1, 1.5, 1e300, 10**400, 255, "", " ", "0", "1", "-1", "\u00fc\u75c5\U0001f9e0", "\\ud800", "a\tb", "nul\0"),
    *("x" * 300, "/" + "y/" * 200, "/etc/passwd", "../../case_0.nii.gz", ".", "..", "~nobody/x", "$HOME/x", "imagesTr", "dataset.json"),
    *([], {}, [[]], [[[1]], {"a": [None]}], {"": ""}, {"0": None}, [0, "1", 2.0], {"a": {"b": {"c": []}}}, ["background", "left"]),
)


def places(value, place=()):
    """All places of a document but the document itself."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in children:
        yield (*place, key)
        yield from places(inner, (*place, key))


def mutated(content, random):
    """The text of a document after one or two changes at random places."""
    content = copy.deepcopy(content)
    for _ in range(random.integers(1, 3)):
        found = list(places(content))
        *way, key = found[random.integers(len(found))]
        holder = content
        for step in way:
            holder = holder[step]
        match random.choice(["replace", "remove", "repeat", "rename"], p=[0.6, 0.15, 0.1, 0.15]):
            case "replace":
                holder[key] = copy.deepcopy(ODD[random.integers(len(ODD))])
            case "remove":
                del holder[key]
            case "repeat" if isinstance(holder, list):
                holder.append(copy.deepcopy(holder[key]))
            case "repeat":
                holder[f"{key}@"] = copy.deepcopy(holder[key])
            case "rename" if isinstance(holder, dict):
                holder[str(ODD[random.integers(len(ODD))])] = holder.pop(key)
        if not content:
            break
    return json.dumps(content, ensure_ascii=False).replace('@": ', '": ').replace("\\\\ud800", "\\ud800")


def outcome(read):
    """What a reader gives: a task, a refusal of one to a few lines, or anything else, which is an error."""
    try:
        return read()
    except UserError as error:
        text = str(error)
        text.encode()
        assert text and "\0" not in text and "Traceback" not in text
        return None


def seeds(whole, by_day):
    """The seeds of a test: `by_day`, and at night all."""
    return [pytest.param(seed, marks=() if seed < by_day else pytest.mark.nightly) for seed in range(whole)]
