"""The training runs that a cross-validation is made of: which there are, and with which settings."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

from absl import logging

from scnas_keras.architectures.registry import AUTO, DEFAULT_WIDTHS, GENOTYPE, HANDMADE, MATCH, footprint
from scnas_keras.crossval.config import NAMES, TRANSFER, CrossvalConfig
from scnas_keras.crossval.rows import Row, rows_of
from scnas_keras.documents import decode, parse
from scnas_keras.errors import ConfigError, GenotypeError, some_of
from scnas_keras.files import user_path
from scnas_keras.machine.hosts import hosts_of_run
from scnas_keras.planning.names import RULES
from scnas_keras.retrain.architecture import choose
from scnas_keras.retrain.config import SCRATCH, SEARCH, RetrainConfig
from scnas_keras.runs.before import check_flags
from scnas_keras.runs.checks import channels_of
from scnas_keras.runs.config import OF_HOST
from scnas_keras.runs.recorded import recorded
from scnas_keras.runs.run_folder import FLAGS, SUMMARY
from scnas_keras.spaces.genotype import Genotype
from scnas_keras.tasks.holdout import Holdout, parse_protocol
from scnas_keras.tasks.split_files import count_folds

_MAY_DIFFER = {*OF_HOST, "devices", "checkpoint_minutes"}
"""Settings that don't change what is compared, or name places that differ between machines."""
_FILES = {"genotype", "transfer_from", "splits", "plan"}
"""Settings that name files: what is in them is compared, here or as the copies that runs keep (`results.collect`), not where they are."""


@dataclasses.dataclass(frozen=True)
class _Result:
    task: str
    dice: dict[str, float | None]
    parameters: float | None = None
    multiply_adds: float | None = None
    seconds_per_step: float | None = None
    seconds_per_epoch: float | None = None
    epochs: float | None = None
    training_peak_bytes: float | None = None
    training_scans: float | None = None
    width: float | None = None
    updates: float | None = None
    seconds_per_scan: float | None = None
    patch_size: tuple[int, ...] | None = None
    tolerance_mm: float | None = None
    length_unit: str | None = None


@dataclasses.dataclass(frozen=True)
class _Summary:
    """What is read of a training's summary.json."""

    flags: dict[str, Any]
    result: _Result


@dataclasses.dataclass(frozen=True)
class Training:
    """One network on one fold, in a run folder of its own."""

    row: Row
    fold: int
    config: RetrainConfig

    @property
    def name(self) -> str:
        """The network's, in the table."""
        return self.row.name

    @property
    def folder(self) -> pathlib.Path:
        return pathlib.Path(self.config.workdir)

    @property
    def finished(self) -> bool:
        """Whether its folder holds its result."""
        return (self.folder / SUMMARY).is_file()

    def summary(self) -> dict[str, Any]:
        """What its run left.

        Raises:
            ConfigError: the folder holds a run with other settings, which are named; or the file is damaged.
        """
        file, remedy = self.folder / SUMMARY, f"Restore it from a copy, or delete {self.folder} to train again."
        summary = parse(file, remedy, ConfigError)
        flags = decode(summary, _Summary, file, remedy, ConfigError, other_keys=True).flags
        differing = recorded(RetrainConfig, flags).differences(self.config, _agree)
        if differing:
            raise ConfigError(
                f"{self.folder} holds a training run with other settings ({', '.join(differing)}). Repeat the command with those, or name "
                "another --workdir. Nothing was changed."
            )
        return summary


def all_trainings(config: CrossvalConfig) -> list[Training]:
    """Every network on every fold, fold by fold, so that a comparison grows evenly.

    Raises:
        ConfigError: no folder, unknown networks or folds, or an architecture is missing.
        GenotypeError: one can't be read.
    """
    if not config.workdir:
        raise ConfigError("Name the folder of the cross-validation with --workdir=DIR; it is made if absent.")
    if len(hosts_of_run()[0]) > 1:
        raise ConfigError(
            "TF_CONFIG names several hosts, and a cross-validation runs on one host: unset it, and give different hosts different --folds."
        )
    rows, folds = rows_of(config), range(_count(config))
    if len(folds) < 2 and not config.splits and not holdout_of(config):
        raise ConfigError(f"--num_folds={config.num_folds}: cross-validation needs at least 2 folds.")
    beyond = [fold for fold in config.folds or () if fold not in folds]
    if beyond:
        raise ConfigError(f"--folds={','.join(map(str, config.folds))}: with {len(folds)} folds they are 0 to {len(folds) - 1}.")
    _check_used(config)
    _check_folder(config, rows)
    trainings = [Training(row, fold, _config(config, row, fold)) for fold in folds for row in rows]
    for training in trainings:
        if training.fold in (config.folds or folds):
            with _of_row(training.row):
                _check_architecture(training)
    return trainings


@contextlib.contextmanager
def _of_row(row: Row) -> Iterator[None]:
    """Lets errors begin with the row's name, where it isn't that of a flag's value."""
    try:
        yield
    except (ConfigError, GenotypeError) as error:
        raise error if row.name in NAMES else type(error)(f"{row.name}: {error}") from error


def _check_used(config: CrossvalConfig) -> None:
    """Refuses flags of networks that aren't trained, but not --width, which tasks and presets set (`check_given`)."""
    widths = [width.strip() for width in (config.width or AUTO).split(",")]
    for width in widths:
        if width != AUTO and not width.startswith(MATCH):
            channels_of(width)
    matched = any(width.startswith(MATCH) for width in widths)
    readers = {
        "genotype": (config.genotype, (GENOTYPE,)),
        "transfer_from": (config.transfer_from, (TRANSFER,)),
        "init": (config.init != SCRATCH, (_init_of(config),)),
        "path_dropout": (config.path_dropout, (GENOTYPE, TRANSFER)),
        "baseline_width": (config.baseline_width, (*HANDMADE, *((GENOTYPE, TRANSFER) if matched else ()))),
    }
    for flag, (value, readers_of_it) in readers.items():
        if value and not {*readers_of_it} & {*config.network_names}:
            named = "hand-made networks" if {*HANDMADE} <= {*readers_of_it} else " or ".join(readers_of_it)
            raise ConfigError(f"--{flag} is for {named}, of which --networks={config.networks} names none. Leave out one of the two.")


def _check_folder(config: CrossvalConfig, rows: Sequence[Row]) -> None:
    """Refuses a folder that another command's run is in, and tells what was trained there and isn't in the table."""
    folder = user_path(config.workdir)
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"--workdir={folder} is a file; name a folder.")
    for place in (folder, *(folder / row.name for row in rows)):
        if found := next((name for name in (FLAGS, SUMMARY) if (place / name).is_file()), None):
            raise ConfigError(
                f"--workdir={folder} holds a run of another command ({(place / found).relative_to(folder)}); name a new or empty folder. "
                "Nothing was changed."
            )
    others = sorted(path.name for path in folder.iterdir() if not path.name.startswith(".")) if folder.is_dir() else []
    if others and not any(folder.glob("*/fold_*")):
        raise ConfigError(
            f"--workdir={folder} holds files that are not a cross-validation's ({some_of(others)}); name a new or empty folder. "
            "Nothing was changed."
        )
    left = sorted({file.parents[1].name for file in folder.glob(f"*/fold_*/{SUMMARY}")} - {row.name for row in rows})
    if left:
        logging.warning("%s holds finished training runs of networks that this command doesn't name: %s", folder, some_of(left))


def _agree(name: str, there: Any, here: Any) -> bool:
    """Whether a setting of a finished run is that of this command."""
    if name in _FILES and there and here and not {there, here} & {*RULES}:  # both are files
        return name not in ("plan", "splits") or not _other_content(user_path(there), user_path(here))
    return name in _MAY_DIFFER or there == here


def _other_content(one: pathlib.Path, other: pathlib.Path) -> bool:
    """Whether two files hold different things, as far as both are here."""
    return one.is_file() and other.is_file() and one.read_bytes() != other.read_bytes()


def _config(config: CrossvalConfig, row: Row, fold: int) -> RetrainConfig:
    """The settings of `scnas_keras.retrain` for a row and a fold."""
    own, path = {field.name for field in dataclasses.fields(RetrainConfig)}, row.of_fold(fold)
    shared = {field.name: getattr(config, field.name) for field in dataclasses.fields(config) if field.name in own}
    kind = {"network": row.network, "width": row.width, "genotype": None, "transfer_from": None, "init": SCRATCH, "path_dropout": None}
    if row.network not in HANDMADE:
        kind |= {"network": GENOTYPE, row.flag: path, "path_dropout": config.path_dropout}
        kind |= {"width": _default_width(path)} if row.width == AUTO else {}
        kind |= {"init": config.init} if row.network == _init_of(config) else {}
    folder = user_path(config.workdir) / row.name / f"fold_{fold}"
    return RetrainConfig(**shared | kind | {"fold": str(fold), "workdir": str(folder)})


def _default_width(path: str | None) -> str:
    """That of an architecture; of one that isn't there yet, or can't be read, that of most."""
    try:
        return str(footprint(GENOTYPE, genotype=Genotype.load(path)).width) if path else AUTO
    except (ConfigError, GenotypeError):  # told by `_check_architecture`, if it is to be trained
        return str(DEFAULT_WIDTHS[GENOTYPE])


def _init_of(config: CrossvalConfig) -> str:
    """The network that --init is for."""
    return GENOTYPE if config.init == SEARCH else TRANSFER


def _check_architecture(training: Training) -> None:
    """Finds out before the first training run whether a later one can't be built."""
    if training.config.network == GENOTYPE and not training.row.of_fold(training.fold):
        raise ConfigError(
            f"--networks names {training.name}: say which architecture with --{training.row.flag}=RUN, the folder of a search or a "
            "genotype.json."
        )
    check_flags(training.config, choose(training.config, early=True).network)


def holdout_of(config: CrossvalConfig) -> Holdout | None:
    """The repeated holdout, None if there are folds: of k-fold cross-validation or of a file."""
    return None if config.splits else parse_protocol(config.protocol, config.split)


def _count(config: CrossvalConfig) -> int:
    """Number of folds, or of repeats."""
    holdout = holdout_of(config)
    return count_folds(config.splits) if config.splits else holdout.repeats if holdout else config.num_folds
