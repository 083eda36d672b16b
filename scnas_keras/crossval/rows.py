"""The rows of a cross-validation's table: which networks, by what names, in which widths."""

import dataclasses
import re
from collections.abc import Iterator, Sequence

from scnas_keras.architectures.registry import AUTO, DEFAULT_WIDTHS, GENOTYPE, HANDMADE, MATCH, MATCHABLE
from scnas_keras.crossval.config import FILES, NAMES, TRANSFER, CrossvalConfig
from scnas_keras.errors import ConfigError
from scnas_keras.files import full_path, user_path
from scnas_keras.spaces.genotype import GENOTYPE_FILE
from scnas_keras.spaces.published import PUBLISHED, PUBLISHED_NAMES

FOLD = "{fold}"
"""In an architecture's path: the fold's number."""
_NAMED = re.compile(r"([\w-][\w.-]*)\s*=\s*(.+)")
_LONGEST = 100
_FOLD_IN_NAME = re.compile(r"[-_.]?\{fold\}")


@dataclasses.dataclass(frozen=True)
class Row:
    """A network of the comparison.

    Attributes:
        name: in the table, and of its folder.
        network: one of `NAMES`.
        width: channels, or a word of --width.
        architecture: of a searched one the path that names it, with `FOLD` where every fold has its own; None if none is named.
    """

    name: str
    network: str
    width: str = ""
    architecture: str | None = None

    @property
    def flag(self) -> str:
        """That which names the architecture."""
        return "transfer_from" if self.network == TRANSFER else "genotype"

    def of_fold(self, fold: int) -> str | None:
        """The architecture's path for a fold."""
        return self.architecture and self.architecture.replace(FOLD, str(fold))


def rows_of(config: CrossvalConfig) -> list[Row]:
    """The rows that flags ask for, in their order; several architectures of --genotype stand where --networks has genotype.

    Raises:
        ConfigError: unknown networks, names that can't be those of rows, one name for two of them, or other than one width for each.
    """
    chosen = config.network_names
    if not {*chosen} <= {*NAMES} or len({*chosen}) < len(chosen):
        shipped = [f"{PUBLISHED}{name}" for name in chosen if f"{PUBLISHED}{name}" in PUBLISHED_NAMES]
        hint = f" For {shipped[0]} name {GENOTYPE}, with --genotype={shipped[0]}." if shipped else ""
        raise ConfigError(f"--networks={config.networks}: expected some of {', '.join(NAMES)}, once each, with commas between.{hint}")
    rows = [row for network in chosen for row in _of_network(config, network)]
    widths = _widths(config, [row.name for row in rows if row.network not in HANDMADE])
    return [row if row.network in HANDMADE else dataclasses.replace(row, width=next(widths)) for row in rows]


def baseline_width(config: CrossvalConfig, network: str) -> int:
    """Of a hand-made network."""
    given, networks = config.baseline_width or (), [name for name in config.network_names if name in HANDMADE]
    if len(given) < 2:
        return given[0] if given else DEFAULT_WIDTHS[network]
    if len(given) != len(networks):
        text = f"--baseline_width={','.join(map(str, given))}"
        raise ConfigError(f"{text}: expected one, or one for each of {', '.join(networks) or 'those named'}, with commas between.")
    return given[networks.index(network)] if network in networks else DEFAULT_WIDTHS[network]


def _of_network(config: CrossvalConfig, network: str) -> list[Row]:
    """The rows of one of --networks; searched ones still without their width."""
    if network in HANDMADE:
        return [Row(network, network, str(baseline_width(config, network)))]
    if network == TRANSFER:
        return [Row(network, network, architecture=config.transfer_from or None)]
    if not config.genotype:
        return [Row(network, network)]
    given = _split(config.genotype)
    rows = [Row(name or _called(path), network, architecture=path) for name, path in given]
    if len(given) == 1 and not given[0][0]:
        return [dataclasses.replace(rows[0], name=network)]
    _check_names(config.genotype, rows)
    return rows


def _split(flag: str) -> list[tuple[str | None, str]]:
    """The name, if one is written, and the path of each architecture; a path may have commas in it."""
    parts = [part.strip() for part in flag.split(",")]
    if len(parts) > 1 and not all(map(_is_there, parts)) and _is_there(flag):
        parts = [flag]
    if not all(parts):
        raise ConfigError(f"--genotype={flag}: nothing stands beside a comma. Write architectures with commas between.")
    matches = [None if _is_there(part) else _NAMED.fullmatch(part) for part in parts]
    return [(match[1], match[2]) if match else (None, part) for match, part in zip(matches, parts)]


def _is_there(path: str) -> bool:
    """Whether a part of --genotype is a path as a whole, where a fold's number may stand in it."""
    try:
        return path in PUBLISHED_NAMES or user_path(path.replace(FOLD, "0")).exists()
    except (ConfigError, OSError):  # a list is longer than names can be
        return False


def _called(path: str) -> str:
    """What a row is called by its path: the folder's name, without a fold's number, or that of a file which isn't genotype.json."""
    if path in PUBLISHED_NAMES:
        return path.removeprefix(PUBLISHED)
    parts = full_path(path).removesuffix(f"/{GENOTYPE_FILE}").split("/")
    return next((name for part in reversed(parts) if (name := _FOLD_IN_NAME.sub("", part.removesuffix(".json")))), "")


def _check_names(flag: str, rows: Sequence[Row]) -> None:
    """Refuses names that are other networks', that two rows would have, also where capitals don't count, or that are none."""
    folded = [row.name.casefold() for row in rows]
    for row in rows:
        twice = folded.count(row.name.casefold()) > 1
        taken = row.name.casefold() in NAMES
        unfit = not row.name.strip(".") or len(row.name) > _LONGEST
        if twice or taken or unfit or row.name.casefold() in FILES:
            why = "is there twice" if twice else "is a network's name" if taken else "is no name" if unfit else "is a file of the table"
            raise ConfigError(
                f"--genotype={flag}: a row is called as its architecture's folder, and {row.name!r}, of {row.architecture}, {why}. Give "
                "names of your own: --genotype=NAME=PATH,NAME=PATH."
            )


def _widths(config: CrossvalConfig, names: Sequence[str]) -> Iterator[str]:
    """For each searched network; matched to hand-made ones as wide as they are here."""
    widths = [width.strip() for width in (config.width or AUTO).split(",")]
    if names and len(widths) not in (1, len(names)):
        raise ConfigError(f"--width={config.width}: expected one, or one for each of {', '.join(names)}, with commas between.")
    for width in widths * len(names) if len(widths) == 1 else widths:
        other = width.removeprefix(MATCH)
        yield f"{width}:{baseline_width(config, other)}" if other in MATCHABLE else width
