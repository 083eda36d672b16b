"""What a training refuses or warns of before it begins."""

from absl import logging

from scnas_keras.errors import ConfigError, DataError
from scnas_keras.retrain.architecture import Architecture
from scnas_keras.retrain.config import RetrainConfig
from scnas_keras.runs.checks import check_data, check_positive
from scnas_keras.runs.folds import Fold
from scnas_keras.runs.recorded import read_result
from scnas_keras.runs.run_folder import SUMMARY
from scnas_keras.tasks.splits import parse_fold


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
            "checkpoint_minutes",
        ),
    )
    check_data(config)
    parse_fold(config.fold)


def check_classes(config: RetrainConfig, fold: Fold) -> None:
    """Refuses class weights that aren't one a class, above or equal to 0."""
    weights, classes = config.class_weights, list(fold.task.labels.values())
    if weights is not None and (len(weights) != len(classes) or min(weights) < 0 or sum(weights[1:]) <= 0):
        raise ConfigError(
            f"--class_weights={','.join(map(str, weights))}: expected {len(classes)} numbers from 0 up, for {', '.join(classes)}; some "
            "but the first above 0."
        )


def warn_of_leak(architecture: Architecture, fold: Fold) -> None:
    """Warns if the search that left the genotype trained on cases that this fold validates on."""
    summary = architecture.source and architecture.source.with_name(SUMMARY)
    if not summary or not summary.is_file():
        return
    try:
        found = read_result(summary)
        searched = {case for part, cases in found.get("cases", {}).items() if part != "validation" for case in cases}
    except (DataError, AttributeError, TypeError) as error:
        logging.warning("%s is damaged, so that nothing tells whether the search saw the validation cases (%s)", summary, error)
        return
    if found.get("task") != fold.task.name:
        return
    seen = set(fold.split.validation) & searched
    if seen:
        logging.warning(
            "%d of %d validation cases took part in the search (%s ...): their Dice is too good. Use the search's --fold, "
            "--num_folds and --split_seed.",
            len(seen),
            len(fold.split.validation),
            min(seen),
        )
