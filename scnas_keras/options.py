"""Command-line flags made from a config dataclass, the single place where an option is described.

Importing this module is cheap: `--help` answers before any framework is loaded.
"""

import dataclasses
import functools
import io
import math
import os
import pathlib
import signal
import sys
import textwrap
import traceback
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from absl import flags

from scnas_keras.console import set_up_logging, while_read
from scnas_keras.declarations import check_of_others, declarations, unknown_flag
from scnas_keras.errors import CRASHED, ConfigError, Finished, UserError
from scnas_keras.files import full_path
from scnas_keras.flag_values import define, define_switch, flag_text, plain_type
from scnas_keras.flagfiles import BEGIN, END, OF_PRESETS, SECTIONS, fault_of, flag_lines
from scnas_keras.interruption import PARENT, Stopped, end_with_parent, stopping
from scnas_keras.log_file import collect_lines, note

MANY, MINUTES = 10**9, 10**8
"""The most epochs, steps or patches, whose products are numbers of 64 bits; and the most minutes, 190 years in nanoseconds of 64 bits."""
LAST_SEED, FASTEST = 2**31 - 1, 100
"""The greatest seed, and the highest learning rate, beyond which every network diverges at once."""
WIDEST = 10**5
"""The most channels; the multiply-adds of wider networks are no longer numbers of 64 bits."""
_FLAGS = pathlib.Path(__file__).resolve().parent / "flags"


def option(
    default: Any,
    help: str,
    group: str,
    choices: Sequence[str] | None = None,
    path: bool = False,
    words: Sequence[str] = (),
    least: float = -math.inf,
    most: float = math.inf,
    above: float = -math.inf,
) -> Any:
    """A config dataclass' field that is also a flag.

    Args:
        default: its value if nothing else is said; None for "decided from the data or other options". Runs that were begun before there
            was the flag count as having it, so that of a new flag it is what was done before.
        help: one or two sentences for --help.
        group: heading under which --help lists it.
        choices: allowed values, if they can be listed.
        path: it names a file or folder, and flagfiles of runs hold it in full.
        words: its values that name none.
        least, most: of a number, or of each of several, where something beyond would break or means nothing; what makes sense for the
            data or beside other flags is the command's to say.
        above: a number that it must be greater than.
    """
    metadata = {"help": help, "group": group, "choices": choices, "path": path, "words": words, "range": (least, most, above)}
    return dataclasses.field(default=default, metadata=metadata)


def tasks() -> dict[str, pathlib.Path]:
    """Task name -> its flagfile."""
    return {path.stem: path for path in sorted(_FLAGS.glob("*.cfg"))}


def run(config_class: type, main: Callable[[Any], str | None], doc: str) -> None:
    """The whole of a command: flags to a config, `main(config)`, whose answer is the command to run next, and is shown.

    Errors become a message and their code, crashes code 70.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names that the terminal can't show
    try:
        with stopping(), while_read():
            alone = PARENT not in os.environ
            end_with_parent()
            if {"-h", "--help", "-help", "--h", "-?"} & set(sys.argv[1:]):
                print(help_text(config_class, doc))
                return
            config, quiet = parse_command(config_class, sys.argv)
            set_up_logging(quiet)
            collect_lines()
            following = main(config)
            if following and alone and not quiet:
                print(f"Next: {following}", file=sys.stderr)
    except Finished as done:
        print(done)
    except (UserError, flags.Error) as error:
        note(f"error: {error}")
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.code if isinstance(error, UserError) else UserError.code)
    except Stopped as error:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # another Ctrl-C needn't wait for libraries that tidy up
        note(str(error))
        print(error, file=sys.stderr)
        sys.exit(error.code)
    except Exception:  # noqa: BLE001
        note(traceback.format_exc())
        traceback.print_exc()
        print("error: a fault of scnas_keras, not of your data or flags. Please report the lines above.", file=sys.stderr)
        sys.exit(CRASHED)


def parse(config_class: type, argv: Sequence[str]) -> Any:
    """The config that a command line describes; see `parse_command`."""
    return parse_command(config_class, argv)[0]


def parse_command(config_class: type, argv: Sequence[str]) -> tuple[Any, bool]:
    """The config that a command line describes, and whether that asks for quiet.

    The command line wins over the preset's flagfile, and that over the task's.

    Of these two files every command takes the flags that it has. A line `--search:NAME=VALUE` there, or in any other flagfile, is for the
    search alone, `--retrain:NAME=VALUE` for retrain and crossval, `--light_paper:NAME=VALUE` for commands with that preset. What is for
    other commands is checked as they would check it. A config with a method `check_given` is asked about the flags that stand on the
    command line itself, by their names, and one with `settled` fits those of files to the others; not where these are all that there are,
    which one command gives another.

    Raises:
        ConfigError: an unknown task, a flag for other commands that none has or takes with its value, an argument that is no flag, a
            flag without a value that needs one, an unknown flag.
        flags.Error: a value of the wrong type.
    """
    values = _define_all(config_class)
    arguments = _expand(config_class, list(argv[1:]))
    task, preset = _last_value(arguments, "task"), _last_value(arguments, "preset") or getattr(config_class, "preset", None)
    arguments = _expand(config_class, list(argv[1:]), preset)
    if preset is not None and "preset" in values and (file := _FLAGS / "presets" / f"{preset}.cfg").is_file():
        arguments = _of_command(config_class, values, file, preset) + arguments
    if task is not None and "task" in values:
        arguments = _of_command(config_class, values, _task_file(task), preset) + arguments
    try:
        rest = values([argv[0], *arguments])[1:]
    except flags.UnrecognizedFlagError as error:
        raise ConfigError(unknown_flag(config_class, error.flagname)) from error
    except ValueError as error:  # --noNAME=VALUE
        raise ConfigError(f"{error}. See --help.") from error
    if rest:
        raise ConfigError(f"Not a flag: {' '.join(rest)}. Flags are written --name=value; see --help.")
    config = config_class(**{field.name: _value(values[field.name].value) for field in dataclasses.fields(config_class)})
    for field in dataclasses.fields(config):
        if field.metadata["path"] and field.default and not getattr(config, field.name):
            raise ConfigError(f"--{field.name}= names nothing: name a file, or leave the flag out for {field.default}.")
    given = {argument.lstrip("-").partition("=")[0] for argument in argv[1:] if argument.startswith("-")}
    if (check := getattr(config, "check_given", None)) and not _is_whole(given, config_class):
        check(given)
    if (settle := getattr(config, "settled", None)) and not _is_whole(given, config_class):
        config = settle(given)
    return config, values["quiet"].value


def read_flagfile(config_class: type, flagfile: str | os.PathLike) -> dict[str, Any]:
    """What a flagfile says, without defaults and without a task's flagfile; of flags that the command doesn't have, the text.

    Raises:
        flags.Error: a value of the wrong type, or the file can't be read.
    """
    values = _define_all(config_class)
    rest = values(["", *_expand(config_class, [f"--flagfile={flagfile}"])], known_only=True)[1:]
    known = {field.name: _value(values[field.name].value) for field in dataclasses.fields(config_class) if values[field.name].present}
    return known | dict(argument.lstrip("-").partition("=")[::2] for argument in rest)


def is_preset_of_old(values: Mapping[str, Any]) -> bool:
    """Whether the preset that a run's flags name is what --preset unset is today.

    Before there was --accumulate, scnas was the default, and meant no more than the paper's loss, optimizer and schedule.
    """
    return values.get("preset") == "scnas" and "accumulate" not in values


def to_flagfile(config: Any) -> str:
    """A flagfile that repeats the config, from whatever folder.

    Raises:
        ConfigError: a value can't be a line of it.
    """
    lines = []
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if names_path(field, value):
            value = full_path(value)
        if isinstance(value, str) and not value.isascii() and value.encode("utf-8", "replace").decode() != value:
            raise ConfigError(f"--{field.name}={value!a}: isn't text in UTF-8, so that a flagfile can't hold it. Choose another name.")
        if isinstance(value, str) and (value != value.strip() or len(value.splitlines()) > 1):
            raise ConfigError(
                f"--{field.name}={value!r}: a blank at an end or a line break, which a flagfile can't hold. Choose another name."
            )
        if value is not None or plain_type(field.type) is not str:
            line = f"--{field.name}={flag_text(value)}"
            fault = None if field.metadata["path"] else fault_of(line, functools.partial(_takes_text, type(config)))
            if fault:
                found = fault.partition(".")[0].removeprefix("found ")
                raise ConfigError(
                    f"{line}: a run's flagfile can't keep it ({found}). In a pattern write \\s for a blank, and [#] or [/] for such a sign."
                )
            lines.append(line)
    return "\n".join(lines) + "\n"


def to_run_flagfile(config: Any) -> str:
    """The same, between two lines from which `flagfiles.cut_off` can tell whether all of it is there."""
    return f"{BEGIN}\n{to_flagfile(config)}{END}\n"


def names_path(field: dataclasses.Field, value: Any) -> bool:
    """Whether a flag's value names a file or folder."""
    return field.metadata["path"] and bool(value) and value not in field.metadata["words"]


def help_text(config_class: type, doc: str) -> str:
    """What --help prints: the command's description, then the options by group."""
    lines, group = [doc.strip()], None
    for field in sorted(dataclasses.fields(config_class), key=_group_order(config_class)):
        if field.metadata["group"] != group:
            group = field.metadata["group"]
            lines.append(f"\n{group}:")
        default = "" if field.default is None else f" [{flag_text(field.default)}]"
        choices = field.metadata["choices"] or (list(tasks()) if field.name == "task" else None)
        text = field.metadata["help"] + (f" One of {', '.join(choices)}." if choices else "") + default
        lines.append(textwrap.fill(text, 100, initial_indent=f"  --{field.name:22} ", subsequent_indent=" " * 27))
    lines.append(
        "\n--quiet shows warnings and results only.\n"
        "--flagfile=FILE reads flags from a file, one a line; of a flag given twice the later one counts.\n"
        "Numbers that aren't given are decided from the data or other flags; --name=auto asks for that, over a flagfile too."
    )
    return "\n".join(lines)


def _group_order(config_class: type) -> Callable[[dataclasses.Field], int]:
    groups = list(dict.fromkeys(field.metadata["group"] for field in dataclasses.fields(config_class)))
    return lambda field: groups.index(field.metadata["group"])


def _define_all(config_class: type) -> flags.FlagValues:
    values = flags.FlagValues()
    for field in dataclasses.fields(config_class):
        define(values, field)
    flags.DEFINE_flag(flags.Flag(flags.ArgumentParser(), flags.ArgumentSerializer(), "flagfile", "", ""), values)
    define_switch(values, "quiet", False, "")
    return values


def _expand(config_class: type, arguments: list[str], preset: str | None = None) -> list[str]:
    """Flagfiles replaced by the flags in them, without those for another section of commands, or another preset."""
    found = []
    for argument in _from_files(config_class, arguments):
        if argument.lstrip("-").partition("=")[0] == "undefok":  # which would take the next line, and hide misspelt flags
            raise ConfigError(f"{argument}: every flag has to be known. Leave it out.")
        section, colon, flag = argument.lstrip("-").partition(":")
        if not (colon and argument.startswith("-") and section.isidentifier()):
            found.append(argument)
        elif section not in SECTIONS:
            raise ConfigError(f"{argument}: expected {' or '.join(f'--{name}:' for name in SECTIONS)} before a flag's name, or nothing.")
        elif section in OF_PRESETS and flag.partition("=")[0] in ("task", "preset"):
            name = flag.partition("=")[0]
            raise ConfigError(f"{argument}: --{name} decides which lines count, and can't be for some alone. Leave it out.")
        elif section in (getattr(config_class, "section", None), preset):
            found.append(f"--{flag}")
        else:
            check_of_others(argument, flag, section)
    return found


def _from_files(config_class: type, arguments: Sequence[str]) -> list[str]:
    """Flagfiles replaced by the lines in them; those of runs as they were meant."""
    found, rest = [], list(arguments)
    while rest:
        flag, equals, file = rest.pop(0).partition("=")
        if flag not in ("--flagfile", "-flagfile"):
            found.append(flag + equals + file)
            continue
        lines = flag_lines(file if equals else "".join(rest[:1]), functools.partial(_takes_text, config_class))
        rest = rest if equals else rest[1:]
        named = dict(line.lstrip("-").partition("=")[::2] for line in lines)
        of_run = _is_whole(named, config_class)
        found += [line for line in lines if not (of_run and is_preset_of_old(named) and line.startswith("--preset="))]
    return found


def _is_whole(names: Collection[str], config_class: type) -> bool:
    """Whether flags are those of `to_flagfile`, which names every one that has a value, as nobody does by hand."""
    return 2 * len(names) > len(dataclasses.fields(config_class))


def _takes_text(config_class: type, name: str) -> bool | None:
    """Whether a flag of this or another command takes any text; None if none has it."""
    own = [field for field in dataclasses.fields(config_class) if field.name == name]
    fields = own or [field for _, field in declarations().get(name, ())]
    return any(plain_type(field.type) is str and not field.metadata["choices"] for field in fields) if fields else None


def _last_value(arguments: Sequence[str], name: str) -> str | None:
    found = None
    for i, argument in enumerate(arguments):
        key, equals, value = argument.lstrip("-").partition("=")
        if argument.startswith("-") and key == name:
            found = value if equals else "".join(arguments[i + 1 : i + 2])
    return found


def _task_file(task: str) -> pathlib.Path:
    known = tasks()
    if task not in known:
        raise ConfigError(
            f"--task={task}: unknown task. Known tasks: {', '.join(known)}. Use custom for any other folder in "
            "the layout of the Medical Segmentation Decathlon."
        )
    return known[task]


def _of_command(config_class: type, values: flags.FlagValues, file: pathlib.Path, preset: str | None) -> list[str]:
    """Of a task's or a preset's flags, those that the command has.

    Raises:
        ConfigError: one that no command has, or none takes with its value.
    """
    own = []
    for argument in _expand(config_class, [f"--flagfile={file}"], preset):
        flag = argument.lstrip("-")
        name = flag.partition("=")[0]
        if {name, name.removeprefix("no")} & {*values}:
            own.append(argument)
        else:
            check_of_others(f"{file}: {argument}", flag)
    return own


def _value(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
