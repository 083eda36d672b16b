"""From a task's name to prepared cases in their parts of a fold: what every command does first."""

import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Sequence

from absl import logging

from scnas_keras.preprocessing.cache import PreparedCase, prepare
from scnas_keras.data.phantoms import write_phantoms
from scnas_keras.planning.plans import Plan, make_plan
from scnas_keras.data.splits import Split, split_cases
from scnas_keras.data.tasks import Task, find_task, load_task
from scnas_keras.verification.checks import check_patch, verify_headers
from scnas_keras.errors import ConfigError
from scnas_keras.options import option

CACHE_DIR_VARIABLE = "SCNAS_CACHE_DIR"


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Which data, and how it is prepared and split."""

    task: str | None = option(None, "Task, which names a flagfile with its settings.", "Data", of_task=True)
    data_dir: str | None = option(
        None, "The task's folder (it holds dataset.json) or the folder around it. Default: $SCNAS_DATA_DIR.", "Data"
    )
    cache_dir: str | None = option(
        None, "Where prepared scans are kept between runs. Default: $SCNAS_CACHE_DIR or ~/.cache/scnas_keras.", "Data"
    )
    spacing: tuple[float, ...] | None = option(
        None, "Voxel spacing in mm that scans are resampled to, along x,y,z. Default: the median of the scans.", "Data", of_task=True
    )
    fold: int = option(0, "Fold of the cross-validation: its cases are never trained on.", "Data")
    num_folds: int = option(5, "Number of folds.", "Data")
    processes: int | None = option(None, "Processes that prepare scans. Default: as cores and free memory allow.", "Data")
    num_phantoms: int = option(24, "Number of cases of the task phantom.", "Data")
    patch_size: tuple[int, ...] | None = option(
        None, "Voxels of a training patch along x,y,z, divisible by 8. Default: the median scan, 64 at most.", "Data", of_task=True
    )
    foreground_share: float = option(0.5, "Share of the patches that are centred on a labelled voxel.", "Data", of_task=True)
    split_seed: int = option(0, "Of the folds. Keep it for all runs that are compared or build on each other.", "Data")
    seed: int = option(0, "Of patches, start values and draws.", "Run")


@dataclasses.dataclass(frozen=True)
class Fold:
    """Prepared cases of one fold.

    Attributes:
        task: what dataset.json says.
        plan: how scans were preprocessed.
        split: names of the cases in each part.
        patch_size: voxels of a patch.
        cases: all prepared cases by name.
    """

    task: Task
    plan: Plan
    split: Split
    patch_size: tuple[int, ...]
    cases: dict[str, PreparedCase]

    @property
    def digest(self) -> str:
        """Tells whether two runs have the same data, split and preprocessing."""
        content = [self.split, self.plan, self.patch_size, {name: str(case.folder.name) for name, case in self.cases.items()}]
        return hashlib.sha256(repr(content).encode()).hexdigest()

    def part(self, *names: str) -> list[PreparedCase]:
        """Cases of some parts ("weights", "logits", "validation"), in order."""
        return [self.cases[case] for name in names for case in getattr(self.split, name)]


def open_fold(config: DataConfig) -> Fold:
    """Finds, checks, splits and prepares a task's cases. All that can be found wrong is found here.

    Raises:
        ConfigError, DataError: with file and remedy.
    """
    if config.patch_size is not None:
        check_patch(config.patch_size)
    task = load_task(_task_folder(config))
    verify_headers(task)
    split = split_cases([case.name for case in task.cases], config.fold, config.num_folds, config.split_seed)
    plan = make_plan(task, config.spacing or "median", config.processes)
    cases = {case.name: case for case in prepare(task, plan, cache_folder(config), config.processes)}
    patch_size = config.patch_size or default_patch([case.shape for case in cases.values()])
    logging.info(
        "%s: %d cases, channels %s, classes %s; fold %d of %d: %d cases for weights, %d for logits, %d for validation",
        task.name, len(task.cases), ", ".join(task.channel_names), ", ".join(task.labels.values()), config.fold,
        config.num_folds, len(split.weights), len(split.logits), len(split.validation),
    )  # fmt: skip
    return Fold(task, plan, split, tuple(patch_size), cases)


def default_patch(shapes: Sequence[Sequence[int]], largest: int = 64, divisor: int = 8) -> tuple[int, ...]:
    """The median shape, at most `largest`, rounded up to what three halvings divide."""
    middle = [sorted(sizes)[len(sizes) // 2] for sizes in zip(*shapes)]
    return tuple(-(-min(size, largest) // divisor) * divisor for size in middle)


def cache_folder(config: DataConfig) -> pathlib.Path:
    """The cache's folder by flag, environment or default."""
    folder = config.cache_dir or os.environ.get(CACHE_DIR_VARIABLE) or "~/.cache/scnas_keras"
    return pathlib.Path(folder).expanduser()


def _task_folder(config: DataConfig) -> pathlib.Path:
    if config.task is None:
        raise ConfigError("Name a task with --task, for example --task=phantom to try the program without any data; see --help.")
    if config.task == "phantom" and not config.data_dir:
        return write_phantoms(cache_folder(config) / f"Phantom-{config.num_phantoms}", num_cases=config.num_phantoms)
    return find_task(config.task, config.data_dir)
