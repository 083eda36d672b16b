"""Classes that are told apart by their side, such as left and right: mirroring patches along that axis would swap them."""

import re
from collections.abc import Iterable, Sequence

from scnas_keras.errors import ConfigError

MAX_LISTED = 5
_AXES = "xyz"
_SIDES = {
    "x": {"left": 0, "l": 0, "lt": 0, "lh": 0, "right": 1, "r": 1, "rt": 1, "rh": 1},
    "y": {"anterior": 0, "ventral": 0, "front": 0, "posterior": 1, "dorsal": 1, "back": 1},
    "z": {"superior": 0, "upper": 0, "cranial": 0, "inferior": 1, "lower": 1, "caudal": 1},
}
_DIRECTIONS = {"x": "from left to right", "y": "from front to back", "z": "from top to bottom"}
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")
_WORD = re.compile(r"[^\W_]+")


def side_pairs(names: Iterable[str], axis: str = "x") -> list[tuple[str, str]]:
    """Finds the classes that come in pairs, such as "Left kidney" and "Right kidney", or "lung_L" and "lung_R".

    A side is a word of its own (left, l, lt, lh; right, r, rt, rh; any case; "kidneyLeft" has two words). A name
    without its counterpart makes no pair.

    Args:
        names: of the classes.
        axis: along which the two lie: "x" for left and right, "y" for anterior and posterior, "z" for superior and inferior.

    Returns:
        The names of each pair, left (anterior, superior) first, in the order of these.
    """
    found, sides_of = {}, _SIDES[axis]
    for name in names:
        words = _words(name)
        sides = {sides_of[word] for word in words if word in sides_of}
        if len(sides) == 1:
            rest = tuple(word for word in words if word not in sides_of)
            found.setdefault(rest, {})[sides.pop()] = name
    return [(pair[0], pair[1]) for pair in found.values() if len(pair) == 2]


def mirror_axes(names: Iterable[str], axes: Sequence[str], choice: str) -> tuple[tuple[int, ...], str | None]:
    """Along which axes patches may be flipped.

    Args:
        names: of the classes.
        axes: what the plan's axes are called: x, y and z in some order, of which x goes from left to right; other names
            don't say where they go.
        choice: "auto" for all axes but those along which classes come in pairs; or what to take: "none", or some of the
            axes separated by commas.

    Returns:
        The plan axes, ascending, and for a decision that the user should know of, a message.

    Raises:
        ConfigError: another choice.
    """
    message, known = None, sorted(axes) == list(_AXES)
    if choice == "auto":
        names, letters = list(names), list(axes)
        pairs = {axis: found for axis in _AXES if (found := side_pairs(names, axis))}
        if pairs:
            letters = [axis for axis in axes if known and axis not in pairs]
            listed = [f"{first}/{second}" for found in pairs.values() for first, second in found]
            more = f" and {len(listed) - MAX_LISTED} more" if len(listed) > MAX_LISTED else ""
            where = " or ".join(_DIRECTIONS[axis] for axis in pairs)
            if not known:
                where = f"along any of the axes {', '.join(axes)}, one of which goes {where}"
            message = (
                f"Training patches aren't flipped {where}: that would swap the classes {', '.join(listed[:MAX_LISTED])}{more}. "
                f"To flip along all axes nevertheless: --mirror_axes={','.join(sorted(axes))}"
            )
    else:
        letters = [] if choice == "none" else choice.split(",")
        if len(set(letters)) != len(letters) or not set(letters) <= set(axes):
            raise ConfigError(
                f"--mirror_axes={choice}: expected auto, none, or some of {', '.join(sorted(axes))} separated by commas, "
                f"such as --mirror_axes={','.join(sorted(axes)[1:])}."
            )
    return tuple(sorted(list(axes).index(letter) for letter in letters)), message


def _words(name: str) -> list[str]:
    return [word.casefold() for word in _WORD.findall(_HUMP.sub(" ", name))]
