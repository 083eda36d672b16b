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


def mirror_axes(names: Iterable[str], transpose: Sequence[int], choice: str) -> tuple[tuple[int, ...], str | None]:
    """Along which axes patches may be flipped.

    Args:
        names: of the classes.
        transpose: axis i of the plan is axis `transpose[i]` of the canonical x, y, z; x goes from left to right.
        choice: "auto" for all axes, but x only when no classes come in left and right; or what to take: "none", or some
            of x, y, z separated by commas.

    Returns:
        The plan axes, ascending, and for a decision that the user should know of, a message.

    Raises:
        ConfigError: another choice.
    """
    message = None
    if choice == "auto":
        pairs, letters = side_pairs(names), _AXES
        if pairs:
            letters = "yz"
            listed = ", ".join(f"{left}/{right}" for left, right in pairs[:MAX_LISTED])
            more = f" and {len(pairs) - MAX_LISTED} more" if len(pairs) > MAX_LISTED else ""
            message = (f"Patches aren't mirrored from left to right, which would swap the classes {listed}{more}. "
                       "To mirror along all axes nevertheless: --mirror_axes=x,y,z")
    else:
        letters = [] if choice == "none" else choice.split(",")
        if len(set(letters)) != len(letters) or not set(letters) <= set(_AXES):
            raise ConfigError(f"--mirror_axes={choice}: expected auto, none, or some of x, y, z separated by commas, "
                              "such as --mirror_axes=y,z.")
    return tuple(sorted(list(transpose).index(_AXES.index(letter)) for letter in letters)), message


def _words(name: str) -> list[str]:
    return [word.casefold() for word in _WORD.findall(_HUMP.sub(" ", name))]
