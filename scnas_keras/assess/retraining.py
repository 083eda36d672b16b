"""Equal trainings of several genotypes, each in a run folder of its own."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import keras
from absl import logging

from scnas_keras.assess.finished import FinishedSearch
from scnas_keras.documents import load
from scnas_keras.errors import ConfigError
from scnas_keras.retrain.config import RetrainConfig
from scnas_keras.retrain.runner import run_training
from scnas_keras.runs.recorded import recorded
from scnas_keras.runs.run_folder import SUMMARY
from scnas_keras.spaces.genotype import Genotype

LEARNING_RATE, SCHEDULE = 2e-3, "poly"
"""For trainings of minutes: the paper's rate and plateaus take hours to pay (docs/search.md)."""
_WHERE = {"workdir", "genotype", "plan", "splits", "data_dir", "cache_dir", "processes"}


@dataclasses.dataclass(frozen=True)
class Trained:
    """Mean Dice of the foreground classes over whole scans that the search was judged on, and the epochs that the time was enough for."""

    dice: float
    epochs: int


def train_all(
    search: FinishedSearch, genotypes: Mapping[str, Genotype], minutes: float, seed: int, folder: pathlib.Path, data_flags: Mapping
) -> dict[str, Trained]:
    """Trains each genotype's network from scratch for the same time, with the search's patches and folds, judged on the same cases.

    A training that an earlier call has finished is not repeated, one that it began goes on.

    Args:
        search: whose flags count where trainings have the same.
        genotypes: by name.
        minutes: wall time of each.
        seed: of every training.
        folder: for one run folder a name.
        data_flags: `FinishedSearch.data_flags`.

    Raises:
        ConfigError: a folder holds another training.
    """
    trained = {}
    for number, (name, genotype) in enumerate(genotypes.items(), start=1):
        run = folder / name
        config = training_config(search, run, minutes, seed, data_flags)
        if (run / SUMMARY).is_file():
            logging.info("%s: trained before", run)
        else:
            logging.info("training %d of %d, %s, for %g minutes", number, len(genotypes), name, minutes)
            genotype.save(config.genotype)
            run_training(config)
            keras.backend.clear_session()  # else the next training carries this one's graphs along
        trained[name] = _read(run, config, genotype)
    return trained


def training_config(search: FinishedSearch, run: pathlib.Path, minutes: float, seed: int, data_flags: Mapping) -> RetrainConfig:
    """A training's settings: the search's where both have them, but its patch and batch rather than those planned for the genotype.

    A genotype's own plan would depend on its memory, and a larger patch would count as a better architecture.
    """
    names = {field.name for field in dataclasses.fields(RetrainConfig)}
    shared = {field.name: getattr(search.config, field.name) for field in dataclasses.fields(search.config) if field.name in names}
    own = {
        "workdir": str(run),
        "genotype": str(run.with_suffix(".genotype.json")),
        "budget_minutes": minutes,
        "seed": seed,
        "epochs": RetrainConfig.epochs,
        "steps_per_epoch": None,
        "learning_rate": LEARNING_RATE,
        "schedule": SCHEDULE,
        "plateau": RetrainConfig.plateau,
        "fold": str(search.config.fold),
        "width": str(search.config.width),
    }
    return RetrainConfig(**shared | dict(data_flags) | own)


@dataclasses.dataclass(frozen=True)
class _Result:
    mean_dice: float | None
    epochs: int


@dataclasses.dataclass(frozen=True)
class _Summary:
    """What is read of a training's summary.json."""

    flags: dict[str, Any]
    result: _Result


def _read(run: pathlib.Path, config: RetrainConfig, genotype: Genotype) -> Trained:
    summary = load(run / SUMMARY, _Summary, f"Restore it from a copy, or delete {run} to train again.", other_keys=True)
    differing = recorded(RetrainConfig, summary.flags).differences(config, lambda name, there, here: name in _WHERE or there == here)
    if differing or Genotype.load(run.with_suffix(".genotype.json")) != genotype:
        raise ConfigError(
            f"{run} holds a training of another network or with other settings ({', '.join(differing) or 'genotype'}). "
            f"Move or delete {run.parent} and run again."
        )
    return Trained(summary.result.mean_dice or 0.0, summary.result.epochs)
