"""What a finished training leaves: costs as measured, figure, summary, table."""

import csv
import dataclasses
import pathlib
import statistics

from scnas_keras.inference.model_folder import SegmentationModel
from scnas_keras.networks.cost import NetworkCost
from scnas_keras.reporting.training_figure import draw_history
from scnas_keras.retrain.architecture import Architecture
from scnas_keras.retrain.config import RetrainConfig
from scnas_keras.retrain.validation import class_means, mean_of_known
from scnas_keras.runs.assembly import TIMINGS
from scnas_keras.runs.folds import Fold
from scnas_keras.runs.run_folder import RunFolder


@dataclasses.dataclass(frozen=True)
class TrainingResult:
    """A trained network, the Dice of each validation case and class, a readable table of it, and the run's folder."""

    model: SegmentationModel
    dice: dict[str, list[float]]
    table: str
    folder: pathlib.Path


def finish(
    config: RetrainConfig,
    fold: Fold,
    architecture: Architecture,
    cost: NetworkCost,
    model: SegmentationModel,
    history: list[dict],
    dice: dict[str, list[float]],
    run: RunFolder,
) -> TrainingResult:
    """Writes the figure and the summary."""
    classes, means = list(fold.task.labels.values())[1:], class_means(dice)
    draw_history(history, run["history.png"])
    result = {
        "task": fold.task.name,
        "network": architecture.network.name,
        "fold": config.fold,
        "configuration": config.configuration,
        "patch_size": list(fold.patch_size),
        "batch_size": fold.configuration.batch_size,
        "width": architecture.network.width,
        "epochs": len(history),
        "dice": dict(zip(classes, means)),
        "mean_dice": mean_of_known(means),
        **dataclasses.asdict(cost),
        **_measured(run),
        "validation_images": [str(case.images[0]) for case in fold.task.cases if case.name in dice],
    }
    run.write_summary(config, result)
    if not dice:
        return TrainingResult(model, dice, f"Trained on all {len(fold.cases)} cases; none is left to validate on.", run.path)
    rows = [*zip(classes, means), ("mean", result["mean_dice"])]
    lines = [f"Dice on {len(dice)} whole validation scans of fold {config.fold}:", *(f"  {name:30} {_text(value)}" for name, value in rows)]
    return TrainingResult(model, dice, "\n".join(lines), run.path)


def _measured(run: RunFolder) -> dict[str, float]:
    """From timings.csv: median seconds of an epoch and of a step, without the first epoch, which was traced; peak memory while training."""
    with open(run[TIMINGS], newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    peak, rows = max(int(row["peak_bytes"]) for row in rows), rows[1:] or rows
    median = {name: statistics.median(float(row[name]) for row in rows) for name in ("seconds", "seconds_per_step")}
    return {"seconds_per_epoch": median["seconds"], "seconds_per_step": median["seconds_per_step"], "training_peak_bytes": peak}


def _text(value: float | None) -> str:
    return "in no scan" if value is None else f"{value:.3f}"
