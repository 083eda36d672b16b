"""A whole search: data, supernet, schedules, and what is left in the run's folder."""

import dataclasses
import math
import pathlib

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from scnas_keras.architectures.searched import SupernetNetwork
from scnas_keras.errors import ConfigError
from scnas_keras.files import write_text
from scnas_keras.machine.distribution import Cluster
from scnas_keras.machine.precision import BFLOAT16, NONE, scaled, set_precision
from scnas_keras.networks import from_genotype
from scnas_keras.networks.cost import network_cost
from scnas_keras.patches.stream import patch_dataset
from scnas_keras.reporting.genotype_figure import draw_genotype
from scnas_keras.reporting.genotype_table import genotype_table
from scnas_keras.reporting.training_figure import draw_history
from scnas_keras.runs.callbacks import FOREVER, History, Pace, Scalars, Timings
from scnas_keras.runs.checkpoint import CHECKPOINT, Checkpoint, Position
from scnas_keras.runs.checks import check_betas, check_data, check_positive
from scnas_keras.runs.folds import Fold, open_fold
from scnas_keras.runs.horizon import Horizon
from scnas_keras.runs.loop import Batches, Loop
from scnas_keras.runs.run_folder import RunFolder, follow_run, open_run
from scnas_keras.runs.startup import start
from scnas_keras.search import guards
from scnas_keras.search.config import SearchConfig
from scnas_keras.search.cost import LOW_MEMORY, search_cost
from scnas_keras.search.monitor import Monitor
from scnas_keras.spaces.cost import CostTables, cost_tables
from scnas_keras.spaces.genotype import Genotype
from scnas_keras.spaces.space import SCNAS
from scnas_keras.supernet.derive import derive
from scnas_keras.supernet.hessian import logits_curvature
from scnas_keras.supernet.penalty import CostPenalty
from scnas_keras.supernet.relaxation import normalized_entropy, operations_drawn
from scnas_keras.supernet.supernet import Supernet
from scnas_keras.training.losses import JaccardLoss
from scnas_keras.training.schedules import Plateau

COLUMNS = ("loss", "held_out_loss", "val_loss", "val_dice", "temperature", "learning_rate")


@dataclasses.dataclass(frozen=True)
class SearchResult:
    """What a search found: the architecture, a readable table of it, and the run's folder."""

    genotype: Genotype
    table: str
    folder: pathlib.Path


def run_search(config: SearchConfig) -> SearchResult:
    """Searches an architecture and writes the run's folder.

    Raises:
        ConfigError, DataError: before any training.
        WorkerLost: another host of the run is gone.
        SystemExit: SIGTERM came and the run is saved.
    """
    check(config)
    cluster = start(config)
    if cluster.workers > 1 and config.mixed_precision == BFLOAT16:
        # The supernet's mixtures hold layers of that type, and TensorFlow has no collective for it.
        raise ConfigError("--mixed_precision=bfloat16: a search on several hosts can't share it; use float16 or none.")
    with cluster.watched():
        return _run(config, cluster)


def _run(config: SearchConfig, cluster: Cluster) -> SearchResult:
    run = open_run(config.workdir, config) if cluster.chief else follow_run(config.workdir)
    fold = open_fold(config, footprint(config), config.fold)
    tables = cost_tables(SCNAS, config.width, fold.patch_size, len(fold.task.channel_names), fold.task.num_classes)
    penalty = guards.cost_penalty(config, tables)
    cost = search_cost(config, fold, footprint(config), run, cluster)
    if cluster.chief:
        run.begin(config)
        fold.save(run.path)
        cost.save(run)
    horizon = Horizon(config.epochs, config.budget_minutes and 60 * config.budget_minutes)
    with cluster.strategy.scope():
        supernet = build(config, fold, penalty, cost.memory_mode == LOW_MEMORY)
    monitor = watch(config, fold, supernet, tables, run, cluster)
    history = train(config, fold, supernet, monitor, horizon, run, cluster)
    if not cluster.chief:
        genotype = derive(supernet.space, keras.ops.convert_to_numpy(supernet.logits), config.max_identity_edges)
        return SearchResult(genotype, genotype_table(genotype), run.path)
    return finish(config, fold, supernet, monitor, history, run)


def check(config: SearchConfig) -> None:
    """Refuses settings that can't work, before anything is read or written."""
    check_positive(
        config, "epochs", "steps_per_epoch", "validation_steps", "budget_minutes", "batch_size", "temperature_start",
        "temperature_end", "weights_lr", "alpha_lr", "plateau", "checkpoint_minutes",
    )  # fmt: skip
    check_betas(config, "weights_betas", "alpha_betas")
    check_data(config)
    guards.check_guards(config)
    for channels in (config.stem_channels, config.width):
        SCNAS.node_channels(channels, 0)


def footprint(config: SearchConfig) -> SupernetNetwork:
    """The supernet as the planner sees it."""
    drawn = operations_drawn(config.relaxation, len(SCNAS.operations))
    return SupernetNetwork(SCNAS, config.stem_channels, drawn, low_memory=config.memory_mode == LOW_MEMORY)


def build(config: SearchConfig, fold: Fold, penalty: CostPenalty | None = None, low_memory: bool = False) -> Supernet:
    """The compiled supernet for a fold's data. Called in a strategy's scope, it has its variables on all devices."""
    negligible = config.skip_below if config.relaxation == "gumbel_pair" else 0.0
    supernet = Supernet(
        SCNAS, len(fold.task.channel_names), fold.task.num_classes, config.stem_channels, config.relaxation,
        low_memory=low_memory, negligible=negligible, seed=config.seed, parameter_free_dropout=config.parameter_free_dropout,
        penalty=penalty, ignore_label=fold.task.ignore_label,
    )  # fmt: skip
    (b1, b2), (a1, a2) = config.weights_betas, config.alpha_betas
    optimizers = keras.optimizers.Adam(config.weights_lr, b1, b2), keras.optimizers.Adam(config.alpha_lr, a1, a2)
    supernet.compile(
        *(scaled(optimizer, config.mixed_precision) for optimizer in optimizers), JaccardLoss(ignore_label=fold.task.ignore_label)
    )
    supernet.temperature.assign(config.temperature_start)
    return supernet


def watch(config: SearchConfig, fold: Fold, supernet: Supernet, tables: CostTables, run: RunFolder, cluster: Cluster) -> Monitor:
    """What watches the search and sets up its epochs; the first host writes the genotypes."""
    eigenvalue = None
    if config.hessian_every:
        sampler = fold.sampler("validation", seed=config.seed * 3 + 2, augmented=False)
        images, labels = next(iter(patch_dataset(sampler, cluster.batch_size(fold.configuration.batch_size), 0, 1)))
        eigenvalue = logits_curvature(supernet, images, labels)
    return Monitor(config, supernet, tables, run["genotypes.jsonl"] if cluster.chief else None, eigenvalue)


def train(
    config: SearchConfig, fold: Fold, supernet: Supernet, monitor: Monitor, horizon: Horizon, run: RunFolder, cluster: Cluster
) -> list[dict]:
    """Runs all epochs, or those that an interrupted run has left; returns the rows of history.csv."""
    batch_size = cluster.batch_size(fold.configuration.batch_size)
    steps = config.steps_per_epoch or math.ceil(len(fold.split.weights) / batch_size)
    columns = (*COLUMNS, *monitor.columns)
    history, plateau = History(run["history.csv"] if cluster.chief else None, columns), Plateau(horizon, config.plateau, factor=0.1)
    position, optimizers = Position(), (supernet.optimizer, supernet.logits_optimizer)
    parts = {"position": position, "horizon": horizon, "history": history, "plateau": plateau, "monitor": monitor}
    horizon.begin()
    checkpoint = Checkpoint(run[CHECKPOINT], supernet, optimizers, parts, fold.digest, batch_size, config.checkpoint_minutes, cluster)
    checkpoint.restore()

    def describe(logs):
        logs["temperature"] = float(keras.ops.convert_to_numpy(supernet.temperature))
        logs["learning_rate"] = float(keras.ops.convert_to_numpy(supernet.optimizer.learning_rate))
        fall = math.log(config.temperature_end / config.temperature_start)
        supernet.temperature.assign(config.temperature_start * math.exp(fall * guards.search_fraction(horizon.fraction, config.warm_up)))
        if reason := monitor.on_epoch_end(horizon.done, logs, horizon.fraction):
            logging.info("%s", reason)
            supernet.stop_training = True
        held_out = f"held-out {logs['held_out_loss']:.4f}  " if "held_out_loss" in logs else ""  # a warm-up has none
        return (
            f"loss {logs['loss']:.4f}  {held_out}validation Dice {logs['val_dice']:.3f}  temperature {logs['temperature']:.2f}  "
            + monitor.describe(logs)
        )

    weights, logits = (
        fold.sampler(part, seed=config.seed * 3 + stream, augmented=True) for stream, part in enumerate(("weights", "logits"))
    )
    validation = fold.sampler("validation", seed=config.seed * 3 + 2, augmented=False)

    def training(first):
        parts = (patch_dataset(part, batch_size, first, FOREVER, **cluster.share) for part in (weights, logits))
        return tf.data.Dataset.zip(*parts)

    batches = Batches(
        lambda first: cluster.distribute(lambda: training(first)),
        cluster.distribute(lambda: patch_dataset(validation, batch_size, 0, config.validation_steps, **cluster.share).cache()),
        steps,
    )
    callbacks = [
        Pace(horizon, steps, describe, shown=cluster.chief),
        plateau,
        history,
        *([Scalars(run["tensorboard"], columns), Timings(run["timings.csv"], horizon)] if cluster.chief else []),
    ]
    logging.info("tracing the supernet: the first step takes a while (about half a minute on two cores) ...")
    Loop(supernet, batches, horizon, position, checkpoint, callbacks, cluster).run()
    return history.rows


def finish(config: SearchConfig, fold: Fold, supernet: Supernet, monitor: Monitor, history: list[dict], run: RunFolder) -> SearchResult:
    """Derives the architecture and writes everything that a run leaves."""
    logits = keras.ops.convert_to_numpy(supernet.logits)
    genotype = derive(supernet.space, logits, config.max_identity_edges)
    genotype.save(run["genotype.json"])
    table = genotype_table(genotype)
    write_text(run["genotype.txt"], table + "\n")
    for suffix in ("svg", "png"):
        draw_genotype(genotype, run[f"genotype.{suffix}"])
    draw_history(history, run["history.png"])
    set_precision(NONE)
    model = from_genotype(genotype, len(fold.task.channel_names), fold.task.num_classes, config.width)
    model.save(run["model.keras"])
    cost = network_cost(model, fold.patch_size)
    entropy = float(np.mean(normalized_entropy(logits)))
    run.write_summary(
        config,
        {
            "task": fold.task.name,
            "cases": {part: list(getattr(fold.split, part)) for part in ("weights", "logits", "validation")},
            "patch_size": list(fold.patch_size),
            "epochs": len(history),
            "validation_dice": history[-1]["val_dice"],
            "mean_edge_entropy": entropy,
            "notes": [*([monitor.stopped] if monitor.stopped else []), *genotype.notes],
            "derived": {"stem_channels": config.width, **dataclasses.asdict(cost)},
            "logits": dict(zip(supernet.space.kinds, logits.round(6).tolist())),
        },
    )
    return SearchResult(genotype, table, run.path)
