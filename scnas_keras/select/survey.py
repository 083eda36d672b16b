"""What a selection needs to know of the data before it plans, with the scans prepared on the way."""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

from absl import logging

from scnas_keras.architectures.registry import footprint
from scnas_keras.errors import ConfigError
from scnas_keras.machine.memory import available_memory
from scnas_keras.runs.folds import open_fold
from scnas_keras.runs.preflight import estimate
from scnas_keras.select.config import SelectConfig
from scnas_keras.select.names import DEFAULT
from scnas_keras.spaces.genotype import Genotype
from scnas_keras.tasks.patients import group_by_patient
from scnas_keras.tasks.splits import Split

if TYPE_CHECKING:
    from scnas_keras.runs.folds import Fold
    from scnas_keras.select.candidates import Candidate


@dataclasses.dataclass(frozen=True)
class Survey:
    """The data of a selection.

    Attributes:
        fold: as the default network's trainings see it.
        patients: case -> patient.
    """

    fold: "Fold"
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

    def fits(self, candidate: "Candidate") -> bool:
        """Whether a candidate's trainings fit into the memory that is free now, as far as the default's patches tell; says so if not."""
        genotype = Genotype.load(candidate.genotype) if candidate.genotype else None
        network = footprint(candidate.network, int(candidate.width), genotype)
        patch = network.topology(self.spacing, self.patch_size).patch_size
        need, free = estimate(network, self.fold, self.fold.configuration.batch_size, patch), available_memory() / 2**30
        if need > free:
            logging.warning("%s is left out: it takes about %.1f GiB to train, and %.1f GiB are free", candidate.name, need, free)
        return need <= free


def survey(config: SelectConfig) -> Survey:
    """Opens the fold: finds, checks, splits, plans and prepares the task's cases.

    Raises:
        ConfigError, DataError: with file and remedy.
    """
    fold = open_fold(config, footprint(DEFAULT), config.fold, trained=("train",))
    classes = list(fold.task.labels.values())[1:]
    if config.objective not in ("dice", *classes):
        raise ConfigError(f"--objective={config.objective}: expected dice, or one of this task's classes: {', '.join(classes)}.")
    groups = group_by_patient([case.name for case in fold.task.cases], config.group_pattern)
    return Survey(fold, {case: patient for patient, cases in groups.items() for case in cases})
