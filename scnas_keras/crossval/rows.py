"""The rows of a cross-validation's table: which networks, by what names, in which widths."""

import dataclasses
from collections.abc import Sequence

from scnas_keras.architectures.registry import DEFAULT_WIDTHS, GENOTYPE, HANDMADE, MATCH, MATCHABLE
from scnas_keras.crossval.config import NAMES, TRANSFER, CrossvalConfig
from scnas_keras.errors import ConfigError
from scnas_keras.files import user_path
from scnas_keras.spaces.genotype import GENOTYPE_FILE
from scnas_keras.spaces.published import PUBLISHED, PUBLISHED_NAMES

FOLD = "{fold}"
"""In an architecture's path: the fold's number."""


@dataclasses.dataclass(frozen=True)
class Row:
    """A network of the comparison.

    Attributes:
        name: in the table, and of its folder.
        network: one of `NAMES`.
        width: channels, or the words of --width.
        architecture: of a searched one the path that names it, with `FOLD` where every fold has its own; None if none is named.
    """

    name: str
    network: str
    width: str
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
        ConfigError: unknown networks, one or an architecture twice, or other than one width for each.
    """
    names = config.network_names
    unknown = [name for name in names if name not in NAMES]
    if unknown or len({*names}) < len(names):
        raise ConfigError(f"--networks={config.networks}: expected some of {', '.join(NAMES)}, once each, with commas between.")
    rows = [row for name in names for row in _rows(config, name)]
    widths = iter(_widths(config, [row.name for row in rows if row.network not in HANDMADE]))
    return [row if row.network in HANDMADE else dataclasses.replace(row, width=next(widths)) for row in rows]


def folders_of(config: CrossvalConfig) -> set[str]:
    """What folders of a cross-validation may be called."""
    return {*NAMES} | {row.name for row in rows_of(config)}


def baseline_width(config: CrossvalConfig, name: str) -> int:
    """Of a hand-made network."""
    return DEFAULT_WIDTHS[name] if config.baseline_width is None else config.baseline_width


def _rows(config: CrossvalConfig, network: str) -> list[Row]:
    """Of one of --networks; searched ones still without their width."""
    if network in HANDMADE:
        return [Row(network, network, str(baseline_width(config, network)))]
    if network == TRANSFER or not config.genotype or user_path(config.genotype).exists():
        return [Row(network, network, "", (config.genotype if network == GENOTYPE else config.transfer_from) or None)]
    paths = [path.strip() for path in config.genotype.split(",")]
    names = [network] if len(paths) == 1 else _names(config.genotype, [_parts(path) for path in paths])
    return [Row(name, network, "", path) for name, path in zip(names, paths)]


def _names(flag: str, paths: Sequence[Sequence[str]]) -> list[str]:
    """For each path as much of its end as tells it from the others and from networks."""
    for depth in range(1, max(map(len, paths)) + 1):
        names = ["_".join(parts[-depth:]) for parts in paths]
        if len({*names}) == len(names) and not {*names} & {*NAMES}:
            return names
    raise ConfigError(
        f"--genotype={flag}: expected architectures with commas between, each once, in folders that aren't called as networks are."
    )


def _parts(path: str) -> list[str]:
    """The words of which a row's name can be made."""
    if path in PUBLISHED_NAMES:
        return [path.removeprefix(PUBLISHED)]
    whole = user_path(path).absolute()
    parts = [*whole.parent.parts[1:], whole.name.removesuffix(".json")]
    return [part for part in parts if FOLD not in part and part != GENOTYPE_FILE.removesuffix(".json")]


def _widths(config: CrossvalConfig, names: Sequence[str]) -> list[str]:
    """For each searched network; matched to hand-made ones as wide as they are here."""
    given = str(DEFAULT_WIDTHS[GENOTYPE]) if config.width in (None, "auto") else config.width
    widths = [width.strip() for width in given.split(",")]
    if len(widths) not in (1, len(names)) and names:
        raise ConfigError(f"--width={given}: expected one, or one for each of {', '.join(names)}, with commas between.")
    named = [(width, width.removeprefix(MATCH)) for width in widths * (len(names) if len(widths) == 1 else 1)]
    return [f"{width}:{baseline_width(config, other)}" if other in MATCHABLE else width for width, other in named]
