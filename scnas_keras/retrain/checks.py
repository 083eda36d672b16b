"""What a training run refuses or warns of before it begins."""

import pathlib
from typing import TYPE_CHECKING

from absl import logging

from scnas_keras.errors import ConfigError, DataError
from scnas_keras.retrain.architecture import Architecture
from scnas_keras.retrain.config import RetrainConfig
from scnas_keras.runs.checks import check_data, check_positive
from scnas_keras.runs.config import HELD_OUT
from scnas_keras.runs.recorded import read_result
from scnas_keras.runs.run_folder import SUMMARY
from scnas_keras.spaces.genotype import Genotype
from scnas_keras.tasks.splits import ALL, parse_fold

if TYPE_CHECKING:
    from scnas_keras.runs.folds import Fold

OLDEST_CHECKPOINT = 1
"""Version of a training's checkpoint that this program at least reads."""


def check(config: RetrainConfig) -> None:
    """Refuses settings that can't work, before anything is read or written."""
    check_positive(
        config,
        *(
            "epochs",
            "batch_size",
            "accumulate",
            "validation_steps",
            "learning_rate",
            "budget_minutes",
            "steps_per_epoch",
            "plateau",
            "patience",
            "checkpoint_minutes",
        ),
    )
    check_data(config)
    if parse_fold(config.fold) == ALL and config.judge_on == HELD_OUT:
        raise ConfigError(
            "--fold=all with --judge_on=held_out: every case is trained on, so that none is held out to judge on. Name a fold, for example "
            "--fold=0, or leave out --judge_on."
        )
    if config.patience and config.judge_on != HELD_OUT:
        raise ConfigError(
            f"--patience={config.patience} with --judge_on={config.judge_on}: when the run ends would be chosen on the validation cases, "
            "whose Dice would be too good. Add --judge_on=held_out, or leave out --patience."
        )
    if config.patience and config.budget_minutes:
        raise ConfigError(
            f"--patience={config.patience} with --budget_minutes={config.budget_minutes:g}: a run ends by one of them. Leave out the other."
        )


def check_classes(config: RetrainConfig, fold: "Fold") -> None:
    """Refuses class weights that aren't one a class, above or equal to 0."""
    weights, classes = config.class_weights, list(fold.task.labels.values())
    if weights is not None and (len(weights) != len(classes) or min(weights) < 0 or sum(weights[1:]) <= 0):
        raise ConfigError(
            f"--class_weights={','.join(map(str, weights))}: expected {len(classes)} numbers from 0 up, decimals with a "
            f"point, for {', '.join(classes)}; some but the first above 0."
        )


def check_genotype(architecture: Architecture, kept: pathlib.Path) -> None:
    """Refuses to go on with a run that was begun with another genotype, of which it keeps a copy."""
    if architecture.genotype is None or not kept.is_file():
        return
    if Genotype.load(kept).architecture != architecture.genotype.architecture:
        raise ConfigError(
            f"{architecture.source} is another architecture than this run was begun with. Restore it from the run's copy, {kept}, or name "
            "another --workdir. Nothing was changed."
        )


def warn_of_leak(config: RetrainConfig, architecture: Architecture, fold: "Fold") -> None:
    """Warns if the search that left the genotype learned from cases that this training run is judged on."""
    summary = architecture.source and architecture.source.with_name(SUMMARY)
    if not summary or not summary.is_file():
        return
    try:
        found = read_result(summary)
        searched = {case for part, cases in found.get("cases", {}).items() if part != "validation" for case in cases}
    except (DataError, AttributeError, TypeError) as error:
        logging.warning("%s is damaged, so that nothing tells whether the search saw the %s cases (%s)", summary, config.judged, error)
        return
    if found.get("task") != fold.task.name:
        return
    judged = getattr(fold.split, config.judge_on)
    seen = set(judged) & searched
    remedy = "Use the search's --fold, --protocol, --num_folds and --split_seed"
    if config.judge_on == HELD_OUT:  # the search learned alpha from them
        remedy = "Compare it with networks that no search has found by --judge_on=validation"
    if seen:
        logging.warning(
            "%d of %d %s cases took part in the search (%s ...): their Dice is too good. %s.",
            len(seen),
            len(judged),
            config.judged,
            min(seen),
            remedy,
        )
