"""The flags of all commands, by which one command knows another's."""

import collections
import dataclasses
import functools
import importlib
from collections.abc import Mapping, Sequence

from absl import flags

from scnas_keras.commands import commands, nearest
from scnas_keras.errors import ConfigError
from scnas_keras.flag_values import define


def config_of(command: str) -> type:
    """The dataclass that holds a command's flags: `NameConfig` of its config.py."""
    return getattr(importlib.import_module(f"scnas_keras.{command}.config"), f"{command.capitalize()}Config")


@functools.cache
def declarations() -> Mapping[str, Sequence[tuple[str, dataclasses.Field]]]:
    """The flags of all commands: of each name, which commands have it, and how they declare it."""
    found = collections.defaultdict(list)
    for command in commands():
        for field in dataclasses.fields(config_of(command)):
            found[field.name].append((command, field))
    return found


def unknown_flag(config_class: type, name: str) -> str:
    """What is said of a flag that the command doesn't have: which it may have been, and which commands have it."""
    own = [field.name for field in dataclasses.fields(config_class)] + ["flagfile", "quiet"]
    told = f"--{name} is no flag of this command.{nearest(name, own).replace('mean ', 'mean --')}"
    owners = [command for command, _ in declarations().get(name, ())]
    return f"{told} It is a flag of scnas {', '.join(owners)}." if owners else f"{told} See --help."


def check_of_others(place: str, flag: str, section: str | None = None) -> None:
    """Raises ConfigError for a flag that none of the commands takes that have it: those of a section, or all if none of these has it.

    `place` is where it was found, and `flag` what stands there, without dashes.
    """
    name = flag.partition("=")[0]
    found = declarations().get(name) or declarations().get(name.removeprefix("no"))
    if not found:
        raise ConfigError(f"{place}: {name or 'nothing'} is a flag of no command; see --help of those that it is for.")
    refused = []
    of_section = [field for command, field in found if section and getattr(config_of(command), "section", None) == section]
    for field in of_section or [field for _, field in found]:
        values = flags.FlagValues()
        define(values, field)
        try:
            values(["", f"--{flag}"])
        except flags.Error as error:
            refused.append(str(error).removeprefix(f"flag --{flag}: "))
        else:
            return
    raise ConfigError(f"{place}: {refused[0]}; see --help of the commands that it is for.")
