"""A whole training: data, network, recipe, validation on whole scans."""

import csv
import dataclasses
import json
import pathlib
import statistics

import keras
from absl import logging

from scnas_keras.architectures.build import build_network
from scnas_keras.errors import ConfigError
from scnas_keras.files import write_text
from scnas_keras.inference.model_folder import SegmentationModel
from scnas_keras.machine.distribution import Cluster
from scnas_keras.machine.precision import NONE, set_precision
from scnas_keras.networks.cost import NetworkCost, network_cost
from scnas_keras.networks.heads import at_full_resolution
from scnas_keras.patches.stream import patch_dataset
from scnas_keras.reporting.training_figure import draw_history
from scnas_keras.retrain.architecture import Architecture, choose, take_weights
from scnas_keras.retrain.config import RetrainConfig
from scnas_keras.retrain.recipes import POLY, Recipe, make_optimizer, recipe, steps_per_epoch
from scnas_keras.retrain.validation import class_means, mean_of_known, validate
from scnas_keras.runs import preflight
from scnas_keras.runs.callbacks import FOREVER, History, Pace, Scalars, Timings
from scnas_keras.runs.checkpoint import CHECKPOINT, Checkpoint, Position
from scnas_keras.runs.checks import check_data, check_positive
from scnas_keras.runs.folds import Fold, open_fold
from scnas_keras.runs.horizon import Horizon
from scnas_keras.runs.loop import Batches, Loop
from scnas_keras.runs.run_folder import SUMMARY, RunFolder, follow_run, open_run
from scnas_keras.runs.startup import start
from scnas_keras.tasks.splits import ALL, parse_fold
from scnas_keras.training.learner import Learner
from scnas_keras.training.losses import make_loss
from scnas_keras.training.schedules import LEAST_RATE, Collapse, Plateau, Poly, start_again

COLUMNS = ("loss", "dice", "val_loss", "val_dice", "learning_rate")
TIMINGS, GENOTYPE, TRANSFER = "timings.csv", "genotype.json", "transfer.json"


@dataclasses.dataclass(frozen=True)
class TrainingResult:
    """A trained network, the Dice of each validation case and class, a readable table of it, and the run's folder."""

    model: SegmentationModel
    dice: dict[str, list[float]]
    table: str
    folder: pathlib.Path


def run_training(config: RetrainConfig) -> TrainingResult:
    """Trains a network and writes the run's folder.

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
    parse_fold(config.fold)
    found = recipe(config)
    cluster = start(config)
    with cluster.watched():
        return _run(config, found, choose(config), cluster)


def _run(config: RetrainConfig, found: Recipe, architecture: Architecture, cluster: Cluster) -> TrainingResult:
    run = open_run(config.workdir, config) if cluster.chief else follow_run(config.workdir)
    fold = open_fold(config, architecture.network, parse_fold(config.fold))
    check_classes(config, fold)
    warn_of_leak(architecture, fold)
    learner = build(config, found, fold, architecture, cluster)
    cost = network_cost(at_full_resolution(learner.network), fold.patch_size)
    preflight.check_training(fold, architecture.network, cost, run, cluster)
    transfer = take_weights(learner.network, architecture.weights) if architecture.weights else None
    if cluster.chief:
        run.begin(config)
        fold.save(run.path)
        if architecture.genotype:
            architecture.genotype.save(run[GENOTYPE])
        if transfer:
            report_transfer(architecture, transfer, run)
    horizon = Horizon(found.epochs, config.budget_minutes and 60 * config.budget_minutes)
    history = train(config, found, fold, architecture, learner, horizon, run, cluster)
    learner.optimizer.finalize_variable_values(learner.network.trainable_variables)
    network = _portable(found, fold, architecture, learner)
    model = SegmentationModel(network, fold.plan, fold.patch_size, fold.configuration.augmentation.mirror_axes)
    if not cluster.chief:
        return TrainingResult(model, {}, "The first host validates the network.", run.path)
    model.save(run.path)
    dice = validate(fold, model, run, config.mirror)
    return finish(config, fold, architecture, cost, model, history, dice, run)


def build(config: RetrainConfig, found: Recipe, fold: Fold, architecture: Architecture, cluster: Cluster) -> Learner:
    """The compiled learner of the network with new weights."""
    ignored = fold.task.ignore_label
    with cluster.strategy.scope():
        learner = Learner(_network(found, fold, architecture), fold.task.num_classes, ignored)
        if config.deep_supervision == "true" and len(learner.network.outputs) == 1:
            raise ConfigError(
                f"--deep_supervision=true: a {architecture.network.name} network has no outputs at coarser levels with these stages. "
                "Leave it out."
            )
        loss = make_loss(found.loss, fold.configuration.batch_dice, config.class_weights, ignored)
        learner.compile(make_optimizer(found, config.ema, config.mixed_precision), loss, found.weight_decay, found.clip_norm)
    return learner


def check_classes(config: RetrainConfig, fold: Fold) -> None:
    """Refuses class weights that aren't one a class, above or equal to 0."""
    weights, classes = config.class_weights, list(fold.task.labels.values())
    if weights is not None and (len(weights) != len(classes) or min(weights) < 0 or sum(weights[1:]) <= 0):
        raise ConfigError(
            f"--class_weights={','.join(map(str, weights))}: expected {len(classes)} numbers from 0 up, for {', '.join(classes)}; some "
            "but the first above 0."
        )


def _network(found: Recipe, fold: Fold, architecture: Architecture) -> keras.Model:
    configuration = fold.configuration
    return build_network(
        architecture.network, configuration.topology, configuration.features_per_stage, len(fold.task.channel_names), fold.task.num_classes,
        found.deep_supervision,
    )  # fmt: skip


def _portable(found: Recipe, fold: Fold, architecture: Architecture, learner: Learner) -> keras.Model:
    """The trained network on one device and in float32, with its output at full resolution, to be used anywhere."""
    set_precision(NONE)
    network = _network(found, fold, architecture)
    network.set_weights(learner.network.get_weights())
    return at_full_resolution(network)


def warn_of_leak(architecture: Architecture, fold: Fold) -> None:
    """Warns if the search that left the genotype trained on cases that this fold validates on."""
    summary = architecture.source and architecture.source.with_name(SUMMARY)
    if not summary or not summary.is_file():
        return
    found = json.loads(summary.read_text(encoding="utf-8"))["result"]
    if found["task"] != fold.task.name or "cases" not in found:
        return
    seen = set(fold.split.validation) & {*found["cases"]["weights"], *found["cases"]["logits"]}
    if seen:
        logging.warning(
            "%d of %d validation cases took part in the search (%s ...): their Dice is too good. Use the search's --fold, "
            "--num_folds and --split_seed.", len(seen), len(fold.split.validation), min(seen),
        )  # fmt: skip


def report_transfer(architecture: Architecture, transfer: tuple[int, list[str]], run: RunFolder) -> None:
    """Tells which weights were taken over and which were not; the list is kept in transfer.json."""
    taken, left = transfer
    logging.info(
        "%d weights taken from %s; new ones for %d:%s",
        taken,
        architecture.weights,
        len(left),
        "".join(f"\n  {line}" for line in left) or " none",
    )
    write_text(run[TRANSFER], json.dumps({"from": str(architecture.weights), "taken": taken, "not_taken": left}, indent=1) + "\n")


def train(
    config: RetrainConfig,
    found: Recipe,
    fold: Fold,
    architecture: Architecture,
    learner: Learner,
    horizon: Horizon,
    run: RunFolder,
    cluster: Cluster,
) -> list[dict]:
    """Trains on patches of the fold's training cases, or goes on with that; returns the rows of history.csv."""
    training = fold.sampler("weights", "logits", seed=config.seed * 2, augmented=True)
    parts = ("weights", "logits") if config.fold == ALL else ("validation",)
    validation = fold.sampler(*parts, seed=config.seed * 2 + 1, augmented=False)
    batch_size, optimizer = cluster.batch_size(fold.configuration.batch_size), learner.optimizer
    steps = steps_per_epoch(found, len(training.cases), batch_size, config.budget_minutes, config.steps_per_epoch)
    history = History(run["history.csv"] if cluster.chief else None, COLUMNS)
    if found.schedule == POLY:
        schedule = Poly(horizon, found.learning_rate)
    else:
        schedule = Plateau(horizon, config.plateau, LEAST_RATE, factor=0.2)

    def again(restarts: int) -> None:
        keras.utils.set_random_seed(config.seed + 1000 * (restarts + 1))
        fresh = _network(found, fold, architecture)
        if architecture.weights:
            take_weights(fresh, architecture.weights)
        start_again(learner, learner.network, fresh.get_weights())
        schedule.restart(found.learning_rate / 10)

    collapse = Collapse(horizon, again if config.on_collapse == "restart" else None)
    position = Position()
    parts = {"position": position, "horizon": horizon, "history": history, "schedule": schedule, "collapse": collapse}
    horizon.begin()
    checkpoint = Checkpoint(run[CHECKPOINT], learner, [optimizer], parts, fold.digest, batch_size, config.checkpoint_minutes, cluster)
    checkpoint.restore()

    def describe(logs):
        logs["learning_rate"] = float(keras.ops.convert_to_numpy(optimizer.learning_rate))
        return "loss %.4f  validation Dice %.3f  rate %.1e" % tuple(logs[name] for name in ("loss", "val_dice", "learning_rate"))

    batches = Batches(
        lambda first: cluster.distribute(lambda: patch_dataset(training, batch_size, first, FOREVER, **cluster.share)),
        cluster.distribute(lambda: patch_dataset(validation, batch_size, 0, config.validation_steps, **cluster.share).cache()),
        steps,
    )
    callbacks = [
        Pace(horizon, steps, describe, shown=cluster.chief),
        schedule,
        collapse,
        history,
        *([Scalars(run["tensorboard"], COLUMNS), Timings(run[TIMINGS], horizon)] if cluster.chief else []),
    ]
    Loop(learner, batches, horizon, position, checkpoint, callbacks, cluster).run()
    return history.rows


def finish(
    config: RetrainConfig, fold: Fold, architecture: Architecture, cost: NetworkCost, model: SegmentationModel, history: list[dict],
    dice: dict[str, list[float]], run: RunFolder,
) -> TrainingResult:  # fmt: skip
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
