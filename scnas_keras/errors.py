"""Errors meant for the person who runs a command: shown as one message, without a traceback; and how messages list things."""

from collections.abc import Iterable, Sequence


class UserError(Exception):
    """Something the user can fix. The message names what was found, where, and what to do."""


class DataError(UserError):
    """A dataset folder, volume or label that can't be used as it is."""


class ConfigError(UserError):
    """Flags or settings that don't go together."""


class Finished(ConfigError):
    """What is asked for was done before: no failure, but nothing is left to do."""


class OutputError(UserError):
    """A file that can't be written: the disk is full, the folder is closed, the name too long."""


class GenotypeError(UserError):
    """A genotype document that is damaged or doesn't fit its search space."""


def some_of(names: Sequence[str], limit: int = 5) -> str:
    """The first names of a list and how many more there are."""
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")


def counted(number: int, noun: str) -> str:
    """A number of things: 1 channel, 2 channels."""
    return f"{number} {noun}{'s' * (number != 1)}"


def times(sizes: Iterable[object]) -> str:
    """Sizes along axes: 12x10x8."""
    return "x".join(map(str, sizes))
