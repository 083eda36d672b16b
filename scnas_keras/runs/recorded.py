"""The flags that a run was begun with, maybe by an older version of the program, read back and compared."""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from absl import flags

from scnas_keras.documents import parse
from scnas_keras.errors import ConfigError, DataError
from scnas_keras.files import same_place
from scnas_keras.flag_values import flag_text, plain_type
from scnas_keras.flagfiles import cut_off
from scnas_keras.options import is_preset_of_old, names_path, read_flagfile

_REMEDY = "Restore it from a copy, or move it away."
Config = TypeVar("Config")


@dataclasses.dataclass(frozen=True)
class Recorded(Generic[Config]):
    """Flags of a run.

    Attributes:
        config: where the run has no value for a flag that is newer than it, the flag's default.
        unknown: the text of those that the command doesn't have in this version, by name.
    """

    config: Config
    unknown: Mapping[str, str]

    def differences(self, config: Config, agree: Callable[[str, Any, Any], bool]) -> list[str]:
        """What another config has otherwise, a phrase a flag.

        Args:
            config: the other.
            agree: whether two values of a flag count as the same, given its name, the run's value and the other's. Paths to the same
                place do.
        """
        found = []
        for field in dataclasses.fields(config):
            there, here = getattr(self.config, field.name), getattr(config, field.name)
            same = names_path(field, there) and names_path(field, here) and same_place(there, here)
            if not same and not agree(field.name, there, here):
                found.append(f"--{field.name}: {_shown(field, there)} there, {_shown(field, here)} here")
        return found + [f"--{name}: {text} there, no such flag here" for name, text in self.unknown.items()]


def read_result(file: pathlib.Path) -> dict[str, Any]:
    """The "result" of a run's summary.json.

    Raises:
        DataError: the file can't be read, or holds none.
    """
    result = parse(file, _REMEDY)
    result = result.get("result") if isinstance(result, dict) else None
    if not isinstance(result, dict):
        raise DataError(f'{file}: found no "result", expected what a finished run leaves. {_REMEDY}')
    return result


def recorded(config_class: type[Config], values: Mapping[str, Any]) -> Recorded[Config]:
    """What a run's values of flags by name, as summary.json has them, mean today.

    A flag that is gone since, and that the run had left to the data or to other flags (auto), changed nothing and is left out.
    """
    fields = {field.name for field in dataclasses.fields(config_class)}
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    if is_preset_of_old(values):
        values["preset"] = None
    known = {name: value for name, value in values.items() if name in fields}
    gone = {name: flag_text(value) for name, value in values.items() if name not in fields}
    return Recorded(config_class(**known), {name: text for name, text in gone.items() if text != flag_text(None)})


def read_recorded(config_class: type[Config], file: pathlib.Path) -> Recorded[Config]:
    """The same of a run's flags.cfg.

    Raises:
        ConfigError: its end is missing, or a value is none that this version takes.
    """
    check_whole(file)
    try:
        return recorded(config_class, read_flagfile(config_class, file))
    except ConfigError as error:  # no text
        raise ConfigError(f"{file}: damaged ({error}) Restore it from a copy, or name another --workdir.") from error
    except flags.Error as error:
        raise ConfigError(
            f"{file}: {error}. It is of another command, or another version of scnas_keras: go on with that, or name another --workdir."
        ) from error


def check_whole(file: pathlib.Path) -> None:
    """Raises ConfigError for a run's flags.cfg whose end is missing: what is left would be another run's."""
    if reason := cut_off(file, of_run=True):
        raise ConfigError(f"{file}: was cut off: {reason}. Restore it from a copy, or name another --workdir.")


def _shown(field: dataclasses.Field, value: Any) -> str:
    return "unset" if value is None and plain_type(field.type) is str else flag_text(value)
