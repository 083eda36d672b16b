"""A trained network on whole scans: segmentations in original geometry, and their Dice."""

import csv
import io
import math
from collections.abc import Sequence

import numpy as np
from absl import logging

from scnas_keras.files import write_text
from scnas_keras.formats.volumes import read_image, write_label
from scnas_keras.inference.model_folder import SegmentationModel
from scnas_keras.metrics.dice import dice_scores
from scnas_keras.reporting.overlay import draw_overlay
from scnas_keras.retrain.config import RetrainConfig
from scnas_keras.runs.folds import Fold
from scnas_keras.runs.run_folder import CASES, RunFolder
from scnas_keras.tasks.loading import load_label


def validate(config: RetrainConfig, fold: Fold, model: SegmentationModel, run: RunFolder) -> dict[str, list[float]]:
    """Segments the scans that the training is judged on whole; returns each case's Dice per foreground class on the original voxel grid.

    Writes the segmentations to validation/, the Dice to validation.csv and a picture of the first case to overlay.png. Voxels that
    nobody annotated don't count.
    """
    cases = {case.name: case for case in fold.task.cases}
    names, ignored = tuple(fold.task.labels.values()), fold.task.ignore_label
    judged, dice = getattr(fold.split, config.judge_on), {}
    for number, name in enumerate(judged, start=1):
        volume, label = read_image(cases[name].images), load_label(fold.task, cases[name])
        segmentation = model.segment(volume, config.mirror)
        write_label(run["validation"] / f"{name}.nii.gz", segmentation, volume.geometry)
        if ignored is not None:
            segmentation, label = (np.where(label == ignored, 0, values) for values in (segmentation, label))
        dice[name] = dice_scores(label, segmentation, len(names))
        found = " ".join(f"{value:.3f}" for value in dice[name])
        logging.info("%s %d/%d  %s  Dice %s", config.judged, number, len(judged), name, found)
        if number == 1:
            draw_overlay(volume.array[..., 0], label, segmentation, run["overlay.png"], names, volume.spacing, name)
    write_text(run[CASES], cases_csv(dice, names[1:]))
    return dice


def cases_csv(dice: dict[str, list[float]], classes: Sequence[str]) -> str:
    """A line a case, with its Dice of each class; nan where a class is in neither label nor segmentation."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["case", *classes])
    writer.writerows([name, *(f"{value:.6f}" for value in values)] for name, values in dice.items())
    return stream.getvalue()


def class_means(dice: dict[str, list[float]]) -> list[float | None]:
    """Mean Dice of each class over the cases that have one."""
    return [mean_of_known(column) for column in zip(*dice.values())]


def mean_of_known(values: Sequence[float | None]) -> float | None:
    """Mean of the values that are numbers; None if there is none (a class in no reference and no prediction)."""
    known = [value for value in values if value is not None and not math.isnan(value)]
    return math.fsum(known) / len(known) if known else None
