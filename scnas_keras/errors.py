"""Errors meant for the person who runs a command: shown as one message, without a traceback; and how messages list things."""

from collections.abc import Iterable, Sequence

CRASHED, CANT_WRITE = 70, 74
"""Exit codes as sysexits.h has them, of a crash and of a file that can't be written; `verify` ends with 1 where it finds errors."""


class UserError(Exception):
    """Something the user can fix. The message names what was found, where, and what to do.

    Attributes:
        code: that the command ends with.
    """

    code = 2


class DataError(UserError):
    """A dataset folder, volume or label that can't be used as it is."""


class ConfigError(UserError):
    """Flags or settings that don't go together."""


class Finished(ConfigError):
    """What is asked for was done before: no failure, but nothing is left to do."""


class OutputError(UserError):
    """A file that can't be written: the disk is full, the folder is closed, the name too long."""

    code = CANT_WRITE


class ChildError(UserError):
    """A process that this one began failed; it ends with the same code, or as a shell has it for a signal that killed it."""

    def __init__(self, message: str, code: int):
        super().__init__(message)
        self.code = code if code > 0 else 128 - code


class GenotypeError(UserError):
    """A genotype document that is damaged or doesn't fit its search space."""


def missing(flags: Iterable[str]) -> ConfigError:
    """What says that flags, written as on a command line, are needed and not there."""
    return ConfigError(f"Missing: {', '.join(flags)}; see --help.")


def some_of(names: Sequence[str], limit: int = 5) -> str:
    """The first names of a list and how many more there are."""
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")


def counted(number: int, noun: str) -> str:
    """A number of things: 1 channel, 2 channels."""
    return f"{number} {noun}{'s' * (number != 1)}"


def times(sizes: Iterable[object]) -> str:
    """Sizes along axes: 12x10x8."""
    return "x".join(map(str, sizes))
