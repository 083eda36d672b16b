"""What a finished training run leaves: costs as measured, figure, summary, table."""

import dataclasses
import math
import pathlib
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from scnas_keras.inference.model_folder import SegmentationModel
from scnas_keras.metrics.case_table import class_mean, surface_titles
from scnas_keras.networks.cost import NetworkCost
from scnas_keras.reporting.genotype_table import WIDTH
from scnas_keras.reporting.text_table import table
from scnas_keras.reporting.training_figure import draw_history
from scnas_keras.retrain.architecture import Architecture
from scnas_keras.retrain.config import RetrainConfig
from scnas_keras.retrain.validation import Validation, class_means, mean_of_known
from scnas_keras.runs.folds import Fold
from scnas_keras.runs.following import predict_one
from scnas_keras.runs.pace import measured
from scnas_keras.runs.run_folder import RunFolder


@dataclasses.dataclass(frozen=True)
class TrainingResult:
    """A trained network, the Dice of each case that it was judged on and class, a readable table of it, the run's folder, and what comes
    next: the command line that segments one of the scans."""

    model: SegmentationModel
    dice: dict[str, list[float]]
    table: str
    folder: pathlib.Path
    following: str | None = None


def finish(
    config: RetrainConfig,
    fold: Fold,
    architecture: Architecture,
    cost: NetworkCost,
    model: SegmentationModel,
    history: list[dict],
    updates: int,
    validation: Validation,
    run: RunFolder,
) -> TrainingResult:
    """Writes the figure, the summary, and into model.json how good the model was."""
    dice, classes = validation.dice, list(fold.task.labels.values())[1:]
    means = class_means(dice)
    model = dataclasses.replace(model, dice=dict(zip(classes, means)))
    model.save_companion(run.path)
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
        "training_scans": len(fold.part(*config.trained_parts)),
        "judged_on": config.judge_on if dice else None,
        "dice": dict(zip(classes, means)),
        "mean_dice": mean_of_known(means),
        **_surfaces(config, validation, classes),
        **dataclasses.asdict(cost),
        **measured(run),
        "updates": updates,
        "seconds_per_scan": validation.seconds_per_scan,
        "validation_images": [",".join(map(str, case.images)) for case in fold.task.cases if case.name in dice],
    }
    run.write_summary(config, result)
    images = [case.images for case in fold.task.cases if case.name in dice] or [case.images for case in fold.task.cases]
    following = predict_one(run.path, images[0])
    if not dice:
        text = f"Trained on all {len(fold.cases)} cases; none is left to validate on."
        return TrainingResult(model, dice, text, run.path, following)
    lines = [f"{len(dice)} whole {config.judged} scans of fold {config.fold}, mean of scans:"]
    notes = [*map(_counts, zip(*dice.values())), ""]
    lines += [f"  {line}{note}" for line, note in zip(_rows(config, result, classes), ["", *notes])]
    if architecture.genotype and architecture.genotype.undecided:
        lines += textwrap.wrap(architecture.genotype.undecided, WIDTH)
    return TrainingResult(model, dice, "\n".join(lines), run.path, following)


def _surfaces(config: RetrainConfig, validation: Validation, classes: Sequence[str]) -> dict[str, Any]:
    """Means of NSD and HD95, for the summary; nothing if they weren't measured."""
    if not validation.surfaces:
        return {}
    nsd, hd95 = ({name: class_mean(validation.surfaces, name, measure) for name in classes} for measure in ("nsd", "hd95"))
    means = {"mean_nsd": mean_of_known([*nsd.values()]), "mean_hd95_mm": mean_of_known([*hd95.values()])}
    taken = {"surface_seconds_per_scan": validation.surface_seconds_per_scan}
    return {"tolerance_mm": config.tolerance_mm, "length_unit": validation.length_unit, "nsd": nsd, "hd95_mm": hd95, **means, **taken}


def _rows(config: RetrainConfig, result: Mapping[str, Any], classes: Sequence[str]) -> list[str]:
    """A table of the classes' means."""
    rows = [("", "Dice"), *((name, _text(result["dice"][name])) for name in classes), ("mean", _text(result["mean_dice"]))]
    if "nsd" in result:
        more = [(_text(result["nsd"][name]), _length(result["hd95_mm"][name])) for name in classes]
        means = _text(result["mean_nsd"]), _length(result["mean_hd95_mm"])
        rows = [(*row, *own) for row, own in zip(rows, [surface_titles([config.tolerance_mm], result["length_unit"]), *more, means])]
    return table(rows)


def _length(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _counts(column: Sequence[float]) -> str:
    """Of a class' Dice: how many scans it has none in, and in how many it is 0."""
    absent, missed = sum(map(math.isnan, column)), sum(value == 0 for value in column)
    found = [f"left out: {absent} scans with it in neither label nor segmentation"] * bool(absent) + [f"0 in {missed}"] * bool(missed)
    return f"  ({'; '.join(found)})" if found else ""


def _text(value: float | None) -> str:
    return "in no scan" if value is None else f"{value:.3f}"
