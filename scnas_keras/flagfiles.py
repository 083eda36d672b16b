"""Flagfiles: flags from a file, one a line. A line that would be read as another value than was meant is refused."""

import os
import pathlib
import re
from collections.abc import Callable, Sequence

from scnas_keras.errors import ConfigError
from scnas_keras.files import decoded, user_path

OF_PRESETS = ("light_paper",)
SECTIONS = ("search", "retrain", *OF_PRESETS)
"""Before a flag's name in a flagfile, whom it is for: commands, of which a config class says whether it is one, or a preset of theirs."""
BEGIN, END = "# a run's flags, up to the line that says end; without it the file was cut off", "# end"
"""First and last line of a flagfile that a run writes; between them a person may change what is to be changed."""
_REMARKS = ("#", "//")
_QUOTES = "\"'`\u2018\u2019\u201c\u201d"
_LINE = re.compile(rf"(?P<dashes>\W*)(?P<name>(?:(?:{'|'.join(SECTIONS)}):)?[A-Za-z]\w*)(?P<between>\s*=\s*|\s*:\s+|\s+|$)(?P<value>.*)")
_REMARK = re.compile(r"(?:^|\s)(?:#|//)")
_REMARK_BEHIND_TEXT = re.compile(r"(?:^|\s)(?:#|//)\s|\s\s(?:#|//)")
"""Of a value that may hold blanks and #, as paths do: runs/patient #3."""
_NEXT_FLAG = re.compile(r"\s+--?[A-Za-z][\w:]*=")


def flag_lines(file: str | os.PathLike, takes_text: Callable[[str], bool | None], around: Sequence[pathlib.Path] = ()) -> list[str]:
    """The flags of a flagfile, and of those that it names where it names them.

    Args:
        file: the flagfile.
        takes_text: whether the flag of a name takes any text, so that blanks and # may belong to its value; None if no command has it.
        around: the files that name this one, the outermost first.

    Raises:
        ConfigError: it can't be read, isn't text, was cut off or names itself, or a line is written otherwise than a flag is.
    """
    if not os.fspath(file):
        raise ConfigError("--flagfile= names no file. Name one, or leave the flag out.")
    path = user_path(file)
    if path in around:
        raise ConfigError(f"{around[-1]}: --flagfile={file} leads back to the file itself. Leave the line out.")
    try:
        text = decoded(path.read_bytes())
    except UnicodeDecodeError as error:
        form, reason = error.encoding.upper(), error.reason
        raise ConfigError(f"--flagfile={file}: byte {error.start} is no text in {form} ({reason}). Save the file as UTF-8.") from error
    except OSError as error:
        raise ConfigError(f"--flagfile={file}: can't be read ({error.strerror}). Name a file of flags, one a line.") from error
    if "\0" in text:
        raise ConfigError(f"--flagfile={file}: holds bytes of 0, as UTF-16 without a mark does. Save the file as UTF-8.")
    if reason := _cut_off(text):
        raise ConfigError(f"--flagfile={file}: the file was cut off: {reason}. Restore it from a copy, or write the flags yourself.")
    found = []
    for number, line in enumerate(map(str.strip, text.splitlines()), start=1):
        if not line or line.startswith(_REMARKS):
            continue
        name, _, value = line.lstrip("-").partition("=")
        if fault := fault_of(line, takes_text):
            raise ConfigError(f"{file}, line {number}: {line if line.isprintable() else ascii(line)}: {fault}")
        found += flag_lines(value, takes_text, (*around, path)) if name == "flagfile" else [line]
    return found


def cut_off(flagfile: str | os.PathLike, of_run: bool = False) -> str | None:
    """What shows that the end of a flagfile is missing; None if nothing does.

    Args:
        flagfile: the file; one that can't be read is another's to name.
        of_run: a run wrote it, older ones without the line `END`.
    """
    try:
        return _cut_off(decoded(pathlib.Path(flagfile).expanduser().read_bytes(), errors="replace"), of_run)
    except OSError:
        return None


def _cut_off(text: str, of_run: bool = False) -> str | None:
    lines = [*map(str.strip, text.splitlines())]
    if BEGIN in lines:
        return None if END in lines else f"its last line, {END}, is missing"
    if of_run and not text.strip():
        return "it is empty"
    return "its last line has no end" if of_run and not text.endswith(("\n", "\r")) else None


def fault_of(line: str, takes_text: Callable[[str], bool | None]) -> str | None:
    """In what a line isn't --NAME=VALUE, and how it should read; None if it is, or if what reads flags tells more."""
    match = _LINE.fullmatch(line)
    flag = match["name"].rpartition(":")[2] if match else ""
    kind = takes_text(flag)
    known = kind is not None or flag == "flagfile" or takes_text(flag.removeprefix("no")) is False
    if match is None or not known:
        return None if line.startswith("-") else "found no flag. Write --NAME=VALUE, and # before what is for people."
    dashes, name, between, value = match.groups()
    if kind and "=" not in between and not value:
        return f"found no value. Write --{name}=VALUE."
    text = "=" in between and (kind or name == "flagfile")
    quoted, faults = {*dashes} & {*_QUOTES}, []
    if dashes.strip(_QUOTES) not in ("-", "--"):
        faults.append("no -- right before the flag")
    if not (text and os.path.exists(os.path.expanduser(value))):
        behind = {"a comment behind the value": _REMARK_BEHIND_TEXT if text else _REMARK, "another flag behind it": _NEXT_FLAG}
        for what, pattern in behind.items():
            if start := pattern.search(value):
                faults.append(what)
                value = value[: start.start()].rstrip()
        if value.endswith("\\"):
            faults.append("a backslash at the end")
            value = value[:-1].rstrip()
        quoted = quoted or (_is_quoted(value) if text else value[:1] in tuple(_QUOTES))
    if quoted:
        faults.append("quotes, which only a shell takes off")
        value = value.strip(_QUOTES).strip()
    if "=" in between and between != "=":
        faults.append("blanks around =")
    if "=" not in between and value:
        faults.append("no = behind the flag's name")
    if not faults:
        return None
    there = " A path that is so named is taken where it exists." if text and value else ""
    return f"found {' and '.join(faults)}. Write --{name}{f'={value}' if '=' in between or value else ''} and nothing else.{there}"


def _is_quoted(value: str) -> bool:
    """Whether quotes stand around all of a text, and none in it."""
    return len(value) > 1 and value[0] in _QUOTES and value[-1] in _QUOTES and not {*value[1:-1]} & {*_QUOTES}
