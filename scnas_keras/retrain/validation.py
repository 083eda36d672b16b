"""A trained network on whole scans: segmentations in original geometry, and how good they are."""

import dataclasses
import math
import statistics
import time
import zlib
from collections.abc import Mapping, Sequence

import numpy as np
from absl import logging

from scnas_keras.formats.geometry import MILLIMETRES, length_unit
from scnas_keras.formats.volumes import write_label
from scnas_keras.inference.model_folder import SegmentationModel
from scnas_keras.machine.scratch import Scratch
from scnas_keras.metrics.case_table import write_case_table, write_surface_table
from scnas_keras.metrics.dice import dice_scores
from scnas_keras.metrics.structure import Surfaces, class_surfaces
from scnas_keras.reporting.overlay import draw_overlay, shown
from scnas_keras.retrain.config import RetrainConfig
from scnas_keras.runs.folds import Fold
from scnas_keras.runs.run_folder import CASES, SURFACES, RunFolder
from scnas_keras.tasks.loading import load_image, load_label

RANKS = ("best", "median", "worst")
_LISTED = 8


@dataclasses.dataclass(frozen=True)
class Validation:
    """What segmenting whole scans showed.

    Attributes:
        dice: case -> Dice of each foreground class on the original voxel grid, NaN for a class in neither label nor segmentation.
        surfaces: case -> class -> distances between surfaces there; empty if they weren't measured.
        seconds_per_scan: median time of a segmentation, without the first, for which the network is traced; None without scans.
        surface_seconds_per_scan: mean time in which surfaces were measured; None if they weren't.
        length_unit: of distances, "mm" or "pixels".
    """

    dice: dict[str, list[float]]
    surfaces: dict[str, dict[str, Surfaces]]
    seconds_per_scan: float | None
    surface_seconds_per_scan: float | None
    length_unit: str = MILLIMETRES


def validate(config: RetrainConfig, fold: Fold, model: SegmentationModel, run: RunFolder) -> Validation:
    """Segments the scans that the training run is judged on whole.

    Writes the segmentations to validation/, the Dice to validation.csv, distances to surfaces.csv, and pictures of the best case, the
    median one and the worst: overlay_best.png and so on. Voxels that nobody annotated don't count.
    """
    cases = {case.name: case for case in fold.task.cases}
    names, ignored = tuple(fold.task.labels.values()), fold.task.ignore_label
    judged, dice, surfaces, packed, seconds = getattr(fold.split, config.judge_on), {}, {}, {}, []
    spacings: set[tuple[float, ...]] = set()
    scratch, measuring = Scratch(run.path), 0.0
    for number, name in enumerate(judged, start=1):
        volume, label = load_image(fold.task, cases[name], scratch.array), load_label(fold.task, cases[name])
        begun = time.monotonic()
        segmentation = model.segment(volume, config.mirror, scratch)
        seconds.append(time.monotonic() - begun)
        spacings.add(tuple(volume.spacing))
        write_label(run["validation"] / f"{name}.nii.gz", segmentation, volume.geometry)  # which may be another grid (tilted DICOM)
        packed[name] = zlib.compress(segmentation, 1)  # a hundredth of it
        if ignored is not None:
            segmentation, label = (np.where(label == ignored, 0, values) for values in (segmentation, label))
        dice[name] = dice_scores(label, segmentation, len(names))
        if config.surfaces:
            begun = time.monotonic()
            found = class_surfaces(label, segmentation, len(names), volume.spacing, config.tolerance_mm)
            surfaces[name] = dict(zip(names[1:], found))
            measuring += time.monotonic() - begun
        logging.info("%s %d/%d  %s  Dice %s", config.judged, number, len(judged), name, _told(dice[name]))
    if dice:
        write_case_table(run[CASES], dice, names[1:])
    run[SURFACES].unlink(missing_ok=True)  # of a former end of an extended run
    if surfaces:
        write_surface_table(run[SURFACES], surfaces)
    _draw(fold, packed, dice, run)
    per_scan, per_surface = statistics.median(seconds[1:] or seconds) if seconds else None, measuring / len(dice) if surfaces else None
    return Validation(dice, surfaces, per_scan, per_surface, length_unit(spacings))


def representative(dice: Mapping[str, Sequence[float]]) -> dict[str, str]:
    """Which case is the "best", the "median" and the "worst" by its mean over classes; without those that coincide with the median.

    A case that rightly has no class at all counts only where there are no others.
    """
    means = {name: mean_of_known(scores) for name, scores in dice.items()}
    ranked = sorted((mean, name) for name, mean in means.items() if mean is not None) or [(0.0, name) for name in dice]
    ranked = [name for _, name in ranked]
    if not ranked:
        return {}
    found = dict(zip(RANKS, (ranked[-1], ranked[len(ranked) // 2 - (len(ranked) == 2)], ranked[0])))
    return {rank: name for rank, name in found.items() if rank == "median" or name != found["median"]}


def _draw(fold: Fold, packed: Mapping[str, bytes], dice: Mapping[str, Sequence[float]], run: RunFolder) -> None:
    """Pictures of the representative cases with their compressed segmentations."""
    cases = {case.name: case for case in fold.task.cases}
    names, ignored = tuple(fold.task.labels.values()), fold.task.ignore_label
    for rank in RANKS:
        run[f"overlay_{rank}.png"].unlink(missing_ok=True)  # of a former end of an extended run
    for rank, name in representative(dice).items():
        volume, label = load_image(fold.task, cases[name]), load_label(fold.task, cases[name])
        segmentation = np.frombuffer(zlib.decompress(packed[name]), np.uint8).reshape(label.shape)
        if ignored is not None:
            segmentation, label = (np.where(label == ignored, 0, values) for values in (segmentation, label))
        title = f"{name}: the {rank} of {len(dice)} by Dice" if len(dice) > 1 else name
        file = run[f"overlay_{rank}.png"]
        draw_overlay(shown(volume, cases[name].images), label, segmentation, file, names, volume.spacing, title, volume.white)


def _told(scores: Sequence[float]) -> str:
    """The Dice of each class, or of so many that no line holds them their mean."""
    mean = mean_of_known(scores)
    if len(scores) > _LISTED:
        return f"{math.nan if mean is None else mean:.3f}, the mean of {len(scores)} classes"
    return " ".join(f"{value:.3f}" for value in scores)


def class_means(dice: dict[str, list[float]]) -> list[float | None]:
    """Mean Dice of each class over the cases that have one."""
    return [mean_of_known(column) for column in zip(*dice.values())]


def mean_of_known(values: Sequence[float | None]) -> float | None:
    """Mean of the values that are numbers; None if there is none (a class in no reference and no prediction)."""
    known = [value for value in values if value is not None and not math.isnan(value)]
    return math.fsum(known) / len(known) if known else None
