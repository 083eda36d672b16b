"""The flags of the training runs and of the search that a selection runs."""

import dataclasses
import pathlib

from scnas_keras.options import parse
from scnas_keras.retrain.config import RecipeConfig, RetrainConfig
from scnas_keras.runs.config import HELD_OUT, RunConfig
from scnas_keras.search.config import SearchConfig
from scnas_keras.select.candidate import Candidate
from scnas_keras.select.config import SelectConfig
from scnas_keras.select.names import DEFAULT, NSD
from scnas_keras.training.names import SHORT

_OF_TRAININGS = ("augmentation", "mirror_axes", "patch_size", "batch_size", "accumulate", "steps_per_epoch", "memory_gb")
"""Settings that a search has otherwise than the training runs, by its preset and its task."""


def training_config(
    config: SelectConfig, candidate: Candidate, folder: pathlib.Path, seconds: float, judge_on: str, seed: int
) -> RetrainConfig:
    """The training run of a candidate, by its recipe, for so many seconds."""
    shared = {field.name: getattr(config, field.name) for field in dataclasses.fields(RecipeConfig)}
    own = {"network": candidate.network, "width": candidate.width, "genotype": candidate.genotype, "fold": str(config.fold)}
    run = {"workdir": str(folder), "budget_minutes": round(seconds / 60, 4), "judge_on": judge_on, "seed": seed}
    # Surfaces are measured where they are shown, or decide; and once in the race, for how long they take.
    if config.objective != NSD and judge_on == HELD_OUT and candidate.name != DEFAULT:
        run["surfaces"] = False
    return RetrainConfig(**shared | own | candidate.flags | run)


def search_config(config: SelectConfig, folder: pathlib.Path, seconds: float) -> SearchConfig:
    """The search that a selection makes: that of the preset short on the same data, judged on the cases that it holds out."""
    names = [field.name for field in dataclasses.fields(RunConfig) if field.name not in _OF_TRAININGS]
    flags = {name: getattr(config, name) for name in names}
    flags |= {"preset": SHORT, "workdir": str(folder), "budget_minutes": round(seconds / 60, 4), "fold": config.fold, "judge_on": HELD_OUT}
    usual = parse(SearchConfig, ["search", *([f"--task={config.task}"] if config.task else []), f"--preset={SHORT}"])
    return dataclasses.replace(usual, **{name: value for name, value in flags.items() if value is not None})
