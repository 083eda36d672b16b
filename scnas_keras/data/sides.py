"""Classes that come in left and right: mirroring patches from left to right would swap them."""

import re
from collections.abc import Iterable, Sequence

from scnas_keras.errors import ConfigError

MAX_LISTED = 5
_AXES = "xyz"
_SIDES = {"left": 0, "l": 0, "lt": 0, "lh": 0, "right": 1, "r": 1, "rt": 1, "rh": 1}
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")
_WORD = re.compile(r"[^\W_]+")


def side_pairs(names: Iterable[str]) -> list[tuple[str, str]]:
    """Finds the classes that come in pairs, such as "Left kidney" and "Right kidney", or "lung_L" and "lung_R".

    A side is a word of its own (left, l, lt, lh; right, r, rt, rh; any case; "kidneyLeft" has two words). A name
    without its counterpart makes no pair.

    Returns:
        The names of each pair, left first, in the order of the left ones.
    """
    found = {}
    for name in names:
        words = _words(name)
        sides = {_SIDES[word] for word in words if word in _SIDES}
        if len(sides) == 1:
            rest = tuple(word for word in words if word not in _SIDES)
            found.setdefault(rest, {})[sides.pop()] = name
    return [(pair[0], pair[1]) for pair in found.values() if len(pair) == 2]


def mirror_axes(names: Iterable[str], axes: Sequence[str], choice: str) -> tuple[tuple[int, ...], str | None]:
    """Along which axes patches may be flipped.

    Args:
        names: of the classes.
        axes: what the plan's axes are called: x, y and z in some order, of which x goes from left to right; other names
            don't say where they go.
        choice: "auto" for all axes, but when classes come in left and right only for those that surely aren't x; or what
            to take: "none", or some of the axes separated by commas.

    Returns:
        The plan axes, ascending, and for a decision that the user should know of, a message.

    Raises:
        ConfigError: another choice.
    """
    message, known = None, sorted(axes) == list(_AXES)
    if choice == "auto":
        pairs, letters = side_pairs(names), list(axes)
        if pairs:
            letters = [axis for axis in axes if known and axis != "x"]
            listed = ", ".join(f"{left}/{right}" for left, right in pairs[:MAX_LISTED])
            more = f" and {len(pairs) - MAX_LISTED} more" if len(pairs) > MAX_LISTED else ""
            where = "from left to right" if known else f"along any of the axes {', '.join(axes)}, one of which goes from left to right"
            message = (f"Patches aren't mirrored {where}, which would swap the classes {listed}{more}. "
                       f"To mirror along all axes nevertheless: --mirror_axes={','.join(sorted(axes))}")
    else:
        letters = [] if choice == "none" else choice.split(",")
        if len(set(letters)) != len(letters) or not set(letters) <= set(axes):
            raise ConfigError(f"--mirror_axes={choice}: expected auto, none, or some of {', '.join(sorted(axes))} separated by commas, "
                              f"such as --mirror_axes={','.join(sorted(axes)[1:])}.")
    return tuple(sorted(list(axes).index(letter) for letter in letters)), message


def _words(name: str) -> list[str]:
    return [word.casefold() for word in _WORD.findall(_HUMP.sub(" ", name))]
