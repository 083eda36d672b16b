"""A whole training: data, derived network, schedule, validation on whole scans."""

import csv
import dataclasses
import io
import math
import json
import pathlib
from collections.abc import Sequence

import keras
from absl import logging

from scnas_keras.data.folds import Fold, open_fold
from scnas_keras.data.tasks import load_label
from scnas_keras.errors import ConfigError
from scnas_keras.files import write_text
from scnas_keras.formats.volumes import read_image, write_label
from scnas_keras.inference.model_folder import SegmentationModel
from scnas_keras.networks import from_genotype
from scnas_keras.patches.stream import patch_dataset
from scnas_keras.planning.searched import DerivedNetwork
from scnas_keras.reporting.overlay import dice_scores, draw_overlay
from scnas_keras.reporting.training_figure import draw_history
from scnas_keras.retrain import RetrainConfig
from scnas_keras.spaces.genotype import Genotype
from scnas_keras.training import preflight
from scnas_keras.training.callbacks import FOREVER, History, Pace, Plateau, Scalars, Timings
from scnas_keras.training.checkpoint import CHECKPOINT, Checkpoint, Position
from scnas_keras.training.checks import check_data, check_positive
from scnas_keras.training.distribution import Cluster
from scnas_keras.training.horizon import Horizon
from scnas_keras.training.learner import Learner
from scnas_keras.training.loop import Batches, Loop
from scnas_keras.training.losses import JaccardLoss
from scnas_keras.training.precision import NONE, scaled, set_precision
from scnas_keras.training.run_folder import SUMMARY, RunFolder, follow_run, open_run
from scnas_keras.training.startup import start

COLUMNS = ("loss", "dice", "val_loss", "val_dice", "learning_rate")


@dataclasses.dataclass(frozen=True)
class TrainingResult:
    """A trained network, the Dice of each validation case and class, a readable table of it, and the run's folder."""

    model: SegmentationModel
    dice: dict[str, list[float]]
    table: str
    folder: pathlib.Path


def run_training(config: RetrainConfig) -> TrainingResult:
    """Trains a genotype's network from scratch and writes the run's folder.

    Raises:
        ConfigError, DataError, GenotypeError: before any training.
        WorkerLost: another host of the run is gone.
        SystemExit: SIGTERM came and the run is saved.
    """
    check_positive(
        config, "epochs", "batch_size", "validation_steps", "learning_rate", "budget_minutes", "steps_per_epoch", "plateau",
        "checkpoint_minutes",
    )  # fmt: skip
    check_data(config)
    genotype = Genotype.load(_genotype_file(config.genotype))
    genotype.space.node_channels(config.derived_stem_channels, 0)
    cluster = start(config)
    with cluster.watched():
        return _run(config, genotype, cluster)


def _run(config: RetrainConfig, genotype: Genotype, cluster: Cluster) -> TrainingResult:
    run = open_run(config.workdir, config) if cluster.chief else follow_run(config.workdir)
    network = DerivedNetwork(genotype.space, config.derived_stem_channels, genotype)
    fold = open_fold(config, network)
    warn_of_leak(config, fold)
    preflight.check_training(fold, network, run, cluster)
    if cluster.chief:
        run.begin(config)
        fold.save(run.path)
    horizon = Horizon(config.epochs, config.budget_minutes and 60 * config.budget_minutes)
    learner = build(config, fold, genotype, cluster)
    history = train(config, fold, learner, horizon, run, cluster)
    model = SegmentationModel(_portable(config, fold, genotype, learner), fold.plan, fold.patch_size, fold.configuration.augmentation.mirror_axes)
    if not cluster.chief:
        return TrainingResult(model, {}, "The first host validates the network.", run.path)
    model.save(run.path)
    dice = validate(fold, model, run)
    return finish(config, fold, model, history, dice, run)


def build(config: RetrainConfig, fold: Fold, genotype: Genotype, cluster: Cluster) -> Learner:
    """The compiled learner of a genotype's network with new weights."""
    with cluster.strategy.scope():
        learner = Learner(_network(config, fold, genotype), fold.task.num_classes)
        learner.compile(scaled(keras.optimizers.Adam(config.learning_rate), config.mixed_precision), JaccardLoss())
    return learner


def _network(config: RetrainConfig, fold: Fold, genotype: Genotype) -> keras.Model:
    return from_genotype(genotype, len(fold.task.channel_names), fold.task.num_classes, stem_channels=config.derived_stem_channels)


def _portable(config: RetrainConfig, fold: Fold, genotype: Genotype, learner: Learner) -> keras.Model:
    """The trained network on one device and in float32, to be used anywhere."""
    set_precision(NONE)
    network = _network(config, fold, genotype)
    network.set_weights(learner.network.get_weights())
    return network


def warn_of_leak(config: RetrainConfig, fold: Fold) -> None:
    """Warns if the search that left the genotype trained on cases that this fold validates on."""
    summary = _genotype_file(config.genotype).with_name(SUMMARY)
    if not summary.is_file():
        return
    found = json.loads(summary.read_text(encoding="utf-8"))["result"]
    if found["task"] != fold.task.name:
        return
    seen = set(fold.split.validation) & {*found["cases"]["weights"], *found["cases"]["logits"]}
    if seen:
        logging.warning(
            "%d of %d validation cases took part in the search (%s ...): their Dice is too good. Use the search's --fold, "
            "--num_folds and --split_seed.", len(seen), len(fold.split.validation), min(seen),
        )  # fmt: skip


def train(config: RetrainConfig, fold: Fold, learner: Learner, horizon: Horizon, run: RunFolder, cluster: Cluster) -> list[dict]:
    """Trains on patches of the fold's training cases, or goes on with that; returns the rows of history.csv."""
    training = fold.sampler("weights", "logits", seed=config.seed * 2, augmented=True)
    validation = fold.sampler("validation", seed=config.seed * 2 + 1, augmented=False)
    batch_size, optimizer = cluster.batch_size(fold.configuration.batch_size), learner.optimizer
    steps = config.steps_per_epoch or math.ceil(len(training.cases) / batch_size)
    history, plateau = History(run["history.csv"] if cluster.chief else None, COLUMNS), Plateau(horizon, config.plateau, factor=0.2)
    position = Position()
    parts = {"position": position, "horizon": horizon, "history": history, "plateau": plateau}
    horizon.begin()
    checkpoint = Checkpoint(run[CHECKPOINT], learner, [optimizer], parts, fold.digest, batch_size, config.checkpoint_minutes, cluster)
    checkpoint.restore()

    def describe(logs):
        logs["learning_rate"] = float(keras.ops.convert_to_numpy(optimizer.learning_rate))
        if config.schedule == "poly":
            optimizer.learning_rate.assign(config.learning_rate * (1 - horizon.fraction) ** 0.9)
        return "loss %.4f  validation Dice %.3f  rate %.1e" % tuple(logs[name] for name in ("loss", "val_dice", "learning_rate"))

    batches = Batches(
        lambda first: cluster.distribute(lambda: patch_dataset(training, batch_size, first, FOREVER, **cluster.share)),
        cluster.distribute(lambda: patch_dataset(validation, batch_size, 0, config.validation_steps, **cluster.share).cache()),
        steps,
    )
    callbacks = [
        Pace(horizon, steps, describe, shown=cluster.chief),
        *([plateau] if config.schedule == "plateau" else []),
        history,
        *([Scalars(run["tensorboard"], COLUMNS), Timings(run["timings.csv"], horizon)] if cluster.chief else []),
    ]
    Loop(learner, batches, horizon, position, checkpoint, callbacks, cluster).run()
    return history.rows


def validate(fold: Fold, model: SegmentationModel, run: RunFolder) -> dict[str, list[float]]:
    """Segments the validation scans whole; returns each case's Dice per foreground class on the original voxel grid.

    Writes the segmentations to validation/ and a picture of the first to overlay.png.
    """
    cases = {case.name: case for case in fold.task.cases}
    names = tuple(fold.task.labels.values())
    dice = {}
    for number, name in enumerate(fold.split.validation, start=1):
        volume, label = read_image(cases[name].images), load_label(fold.task, cases[name])
        segmentation = model.segment(volume)
        write_label(run["validation"] / f"{name}.nii.gz", segmentation, volume.geometry)
        dice[name] = dice_scores(label, segmentation, len(names))
        logging.info("validation %d/%d  %s  Dice %s", number, len(fold.split.validation), name, _numbers(dice[name]))
        if number == 1:
            draw_overlay(volume.array[..., 0], label, segmentation, run["overlay.png"], names, volume.spacing, name)
    return dice


def finish(
    config: RetrainConfig, fold: Fold, model: SegmentationModel, history: list[dict], dice: dict[str, list[float]], run: RunFolder
) -> TrainingResult:
    """Writes the tables, the figure and the summary."""
    classes = list(fold.task.labels.values())[1:]
    mean = [_mean(column) for column in zip(*dice.values())]
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["case", *classes])
    writer.writerows([name, *(f"{value:.6f}" for value in values)] for name, values in dice.items())
    write_text(run["validation.csv"], stream.getvalue())
    draw_history(history, run["history.png"])
    result = {
        "task": fold.task.name,
        "fold": config.fold,
        "epochs": len(history),
        "dice": dict(zip(classes, mean)),
        "mean_dice": _mean([value for value in mean if value is not None]),
        "validation_images": [str(case.images[0]) for case in fold.task.cases if case.name in dice],
    }
    run.write_summary(config, result)
    rows = [*zip(classes, mean), ("mean", result["mean_dice"])]
    lines = [f"Dice on {len(dice)} whole validation scans of fold {config.fold}:", *(f"  {name:30} {_text(value)}" for name, value in rows)]
    return TrainingResult(model, dice, "\n".join(lines), run.path)


def _genotype_file(path: str | None) -> pathlib.Path:
    if not path:
        raise ConfigError("Name the architecture with --genotype=FILE: the genotype.json that a search left, or its folder.")
    file = pathlib.Path(path).expanduser()
    return file / "genotype.json" if file.is_dir() else file


def _mean(values: Sequence[float]) -> float | None:
    """Mean of the values that are numbers; None if there is none (a class in no reference and no prediction)."""
    known = [value for value in values if not math.isnan(value)]
    return math.fsum(known) / len(known) if known else None


def _text(value: float | None) -> str:
    return "in no scan" if value is None else f"{value:.3f}"


def _numbers(values: list[float]) -> str:
    return " ".join(f"{value:.3f}" for value in values)
