"""A finished search, read back from its folder."""

import csv
import dataclasses
import pathlib
from typing import Any

from absl import logging

from scnas_keras.documents import decode, parse
from scnas_keras.errors import ConfigError, DataError
from scnas_keras.files import user_path
from scnas_keras.runs.checkpoint_files import CHECKPOINT, CheckpointFolder
from scnas_keras.runs.folds import Fold, open_fold
from scnas_keras.runs.recorded import check_whole, read_recorded
from scnas_keras.runs.run_data import check_data_files
from scnas_keras.runs.run_folder import FLAGS, SUMMARY
from scnas_keras.search.checks import OLDEST_CHECKPOINT, footprint
from scnas_keras.search.config import SearchConfig
from scnas_keras.spaces.genotype import GENOTYPE_FILE, Genotype

_RETRAIN = (
    "The weights that its networks share can't be read here, so that it can't be assessed; its genotype can still be trained: "
    "scnas retrain --genotype={path}. To assess it, use the version that searched."
)
_REMEDY = "Restore it from a copy, or search again."
_SEARCH_ONLY = ("--relaxation=", "--alpha_lr=")


@dataclasses.dataclass(frozen=True)
class _Cases:
    """Of a search; older versions named the other parts otherwise."""

    validation: list[str]


@dataclasses.dataclass(frozen=True)
class _Result:
    task: str
    cases: _Cases
    mean_edge_entropy: float


@dataclasses.dataclass(frozen=True)
class _Summary:
    """What is read of summary.json."""

    result: _Result


@dataclasses.dataclass(frozen=True)
class FinishedSearch:
    """What a search left.

    Attributes:
        path: its folder.
        config: its flags.
        genotype: what it found.
        summary: summary.json.
        history: rows of history.csv, numbers by column.
    """

    path: pathlib.Path
    config: SearchConfig
    genotype: Genotype
    summary: dict[str, Any]
    history: list[dict[str, float]]

    @property
    def result(self) -> dict[str, Any]:
        return self.summary["result"]

    @property
    def judged_cases(self) -> list[str]:
        """Names of the cases that its Dice is of."""
        return self.result["cases"].get(self.config.judge_on, [])

    def data_flags(self, data_dir: str | None, cache_dir: str | None, processes: int | None) -> dict[str, Any]:
        """Settings under which any training sees this search's cases, split, preprocessing and patches.

        The run's own plan and folds are used, which don't change with the program or with where the data lie; `None`
        leaves to the run's flags where that is.
        """
        places = {"data_dir": data_dir, "cache_dir": cache_dir, "processes": processes}
        path = self.path.absolute()
        planned = {
            "plan": str(path / "plans.json"),
            "splits": str(path / "splits.json"),
            "spacing": None,
            "resize": None,
            "normalization": None,
            "denoise": False,
            "augmentation": None,
            "mirror_axes": "auto",
            "patch_size": None,
            "batch_size": None,
            "foreground_share": None,
        }
        return planned | {name: value for name, value in places.items() if value is not None}

    def open_fold(self, data_dir: str | None = None, cache_dir: str | None = None, processes: int | None = None) -> Fold:
        """The prepared cases that the search had.

        Raises:
            ConfigError, DataError: they aren't found, or they are others than the search's.
        """
        config = dataclasses.replace(self.config, **self.data_flags(data_dir, cache_dir, processes))
        try:
            fold = open_fold(config, footprint(config, self.genotype.space), config.fold)
        except (ConfigError, DataError) as error:
            if data_dir:
                raise
            raise type(error)(f"{error}\nIf the data of {self.path} have moved, name their folder with --data_dir=DIR.") from error
        found = {part: list(getattr(fold.split, part, ())) for part in self.result["cases"]}
        if fold.task.name != self.result["task"] or found != self.result["cases"]:
            raise DataError(
                f"{fold.task.root}: task {fold.task.name} with {len(fold.cases)} cases is not what {self.path} was searched on (task "
                f"{self.result['task']}), or its split differs. Give that dataset with --data_dir=DIR."
            )
        check_data_files(self.path, fold.files)
        return fold


def load_search(folder: str) -> FinishedSearch:
    """Reads a search's folder.

    Raises:
        ConfigError: there is no such folder, or it is not that of a search that has finished.
        GenotypeError, DataError: a file in it is damaged.
    """
    path = user_path(folder)
    if not (path / FLAGS).is_file():
        state = "holds no flags.cfg" if path.is_dir() else "is no folder"
        raise ConfigError(f"--workdir={folder}: {state}, so it is not what scnas search leaves. Name the --workdir of a search.")
    check_whole(path / FLAGS)
    text = (path / FLAGS).read_text(encoding="utf-8", errors="replace")
    if not all(name in text for name in _SEARCH_ONLY):
        raise ConfigError(f"--workdir={folder}: is the folder of another command than scnas search. Name the --workdir of a search.")
    if not (path / SUMMARY).is_file():
        raise ConfigError(f"--workdir={folder}: the search has not finished. To go on with it: scnas search --flagfile={path / FLAGS}")
    found = read_recorded(SearchConfig, path / FLAGS)
    if found.unknown:
        raise ConfigError(
            f"{path / FLAGS}: {', '.join(f'--{name}' for name in found.unknown)} is a flag of another version of scnas_keras. Assess the "
            "run with that one."
        )
    CheckpointFolder(path / CHECKPOINT).check_version(OLDEST_CHECKPOINT, _RETRAIN.format(path=path))
    summary = _read_summary(path / SUMMARY)
    history = _read_history(path / "history.csv") or _fail(path / "history.csv", "it has no epoch")
    return FinishedSearch(path, found.config, Genotype.load(path / GENOTYPE_FILE), summary, history)


def warn_of_differences(searches: list[FinishedSearch]) -> None:
    """Refuses searches on different tasks, and warns if they weren't judged on the same cases.

    Raises:
        ConfigError: the tasks differ.
    """
    first = searches[0]
    for other in searches[1:]:
        if other.result["task"] != first.result["task"]:
            raise ConfigError(
                f"{other.path} was searched on {other.result['task']}, {first.path} on {first.result['task']}: runs are compared "
                "on one task. Assess them one by one."
            )
        if other.judged_cases != first.judged_cases:
            logging.warning("%s and %s were judged on different cases: their Dice can't be compared", first.path, other.path)


def _read_summary(file: pathlib.Path) -> dict[str, Any]:
    summary = parse(file, _REMEDY)
    decode(summary, _Summary, file, _REMEDY, other_keys=True)
    return summary


def _read_history(file: pathlib.Path) -> list[dict[str, float]]:
    try:
        with open(file, newline="", encoding="utf-8") as stream:
            return [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(stream)]
    except (OSError, ValueError, TypeError) as error:
        return _fail(file, f"{type(error).__name__}: {error}")


def _fail(file: pathlib.Path, reason: str) -> Any:
    raise DataError(f"{file}: damaged or not a search's ({reason}). {_REMEDY}")
