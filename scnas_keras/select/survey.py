"""What a selection needs to know of the data before it plans, with the scans prepared on the way."""

import dataclasses
from collections.abc import Mapping

from scnas_keras.architectures.registry import footprint
from scnas_keras.errors import ConfigError
from scnas_keras.metrics.paired import FEWEST_UNITS
from scnas_keras.runs.folds import Fold, open_fold
from scnas_keras.select.config import SelectConfig
from scnas_keras.select.names import DEFAULT, DICE, NSD
from scnas_keras.tasks.names import KFOLD
from scnas_keras.tasks.patients import group_by_patient
from scnas_keras.tasks.splits import Split


@dataclasses.dataclass(frozen=True)
class Survey:
    """The data of a selection.

    Attributes:
        fold: as the default network's training runs see it.
        patients: case -> patient.
    """

    fold: Fold
    patients: Mapping[str, str]

    @property
    def task(self) -> str:
        return self.fold.task.name

    @property
    def classes(self) -> tuple[str, ...]:
        """Foreground classes."""
        return tuple(self.fold.task.labels.values())[1:]

    @property
    def channels(self) -> int:
        return len(self.fold.task.channel_names)

    @property
    def patch_size(self) -> tuple[int, ...]:
        """Voxels of the default network's patches."""
        return self.fold.patch_size

    @property
    def spacing(self) -> tuple[float, ...]:
        """Of the same, in mm."""
        return self.fold.configuration.spacing

    @property
    def split(self) -> Split:
        return self.fold.split


def few_units(found: Survey, config: SelectConfig) -> str | None:
    """That the fold has too few validation scans, or patients, for a verdict, with what would help; None if they suffice."""
    units, total = len({found.patients[case] for case in found.split.validation}), len({*found.patients.values()})
    if units >= FEWEST_UNITS:
        return None
    folds = total // FEWEST_UNITS
    remedy = "Add scans, or try another --fold"
    if config.splits:
        remedy = "Put more into the validation part of --splits"
    elif config.protocol != KFOLD:
        remedy = "Hold out a larger share with --protocol, or add scans"
    elif folds > 1 and total == len(found.patients):
        remedy = f"Give --num_folds={folds}, or add scans"
    return f"{units} validation scans (or patients) are too few to tell which network is better: {FEWEST_UNITS} are needed. {remedy}."


def survey(config: SelectConfig) -> Survey:
    """Opens the fold: finds, checks, splits, plans and prepares the task's cases.

    Raises:
        ConfigError, DataError: with file and remedy.
    """
    fold = open_fold(config, footprint(DEFAULT), config.fold, trained=("train",))
    classes = list(fold.task.labels.values())[1:]
    if config.objective not in (DICE, NSD, *classes):
        raise ConfigError(f"--objective={config.objective}: expected dice, nsd, or one of this task's classes: {', '.join(classes)}.")
    groups = group_by_patient([case.name for case in fold.task.cases], config.group_pattern)
    return Survey(fold, {case: patient for patient, cases in groups.items() for case in cases})
