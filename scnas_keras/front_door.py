"""The program `scnas`: `scnas NAME --flag=value` is `python -m scnas_keras.NAME --flag=value`, and `scnas` alone lists the commands."""

import runpy
import sys
import textwrap
from collections.abc import Sequence

from scnas_keras import __version__
from scnas_keras.commands import STEPS, WHOLE_WAY, commands, nearest
from scnas_keras.console import while_read
from scnas_keras.errors import OutputError

_HELP = ("-h", "--help", "-help", "help")


def main() -> None:
    """Runs the command that the first word names."""
    name, *words = sys.argv[1:] or ["help"]
    if name in _HELP and words[:1] and words[0] in commands():
        name, words = words[0], ["--help"]
    if name in commands():
        sys.argv[1:] = words
        # As `python -m` does it, so that worker processes and what a summary calls its command are the same.
        runpy.run_module(f"scnas_keras.{name}", run_name="__main__", alter_sys=True)
        return
    try:
        _answer(name, words)
    except OutputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.code)


def _answer(name: str, words: Sequence[str]) -> None:
    """What is said without a command."""
    with while_read():
        if name in _HELP and words:
            name = words[0]
        if name in _HELP:
            print(overview())
        elif name == "--version":
            print(f"scnas_keras {__version__}")
        else:
            told = f"scnas {name}: a command comes first, then its flags." if name.startswith("-") else f"scnas {name}: no such command."
            print(f"error: {told}{nearest(name, commands())} The commands are {', '.join(commands())}.", file=sys.stderr)
            sys.exit(2)


def overview() -> str:
    """What `scnas` alone says: each command with a line."""
    lines = ["scnas COMMAND --flag=value ...      (the same as python -m scnas_keras.COMMAND)"]
    others = [name for name in commands() if name not in WHOLE_WAY + STEPS]
    for title, names in (("The whole way", WHOLE_WAY), ("Step by step", STEPS), ("Besides", others)):
        lines += ["", f"{title}:"]
        for name in names:
            lines.append(textwrap.fill(commands()[name], 110, initial_indent=f"  {name:10} ", subsequent_indent=" " * 13))
    lines += ["", "scnas COMMAND --help describes a command and its flags; scnas --version says which version this is."]
    return "\n".join(lines)
