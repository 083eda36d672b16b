"""A whole search: data, supernet, schedules, and what is left in the run's folder."""

import dataclasses
import math
import pathlib

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from scnas_keras.data.folds import Fold, open_fold
from scnas_keras.files import write_text
from scnas_keras.networks import from_genotype
from scnas_keras.networks.cost import network_cost
from scnas_keras.patches.stream import patch_dataset
from scnas_keras.planning.searched import SupernetNetwork
from scnas_keras.reporting.genotype_figure import draw_genotype
from scnas_keras.reporting.genotype_table import genotype_table
from scnas_keras.reporting.training_figure import draw_history
from scnas_keras.search import SearchConfig
from scnas_keras.spaces.genotype import Genotype
from scnas_keras.spaces.space import SCNAS
from scnas_keras.supernet.derive import derive
from scnas_keras.supernet.relaxation import normalized_entropy
from scnas_keras.supernet.supernet import Supernet
from scnas_keras.training.callbacks import FOREVER, History, Pace, Plateau
from scnas_keras.training.checkpoint import CHECKPOINT, Checkpoint
from scnas_keras.training.checks import check_betas, check_data, check_positive
from scnas_keras.training.horizon import Horizon
from scnas_keras.training.losses import JaccardLoss
from scnas_keras.training.run_folder import RunFolder, open_run

COLUMNS = ("loss", "held_out_loss", "val_loss", "val_dice", "temperature", "entropy", "learning_rate", "seconds_left")


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
    """
    check(config)
    run = open_run(config.workdir, config)
    keras.utils.set_random_seed(config.seed)
    fold = open_fold(config, footprint(config))
    run.begin(config)
    fold.save(run.path)
    horizon = Horizon(config.epochs, config.budget_minutes and 60 * config.budget_minutes)
    supernet = build(config, fold)
    history = train(config, fold, supernet, horizon, run)
    return finish(config, fold, supernet, history, run)


def check(config: SearchConfig) -> None:
    """Refuses settings that can't work, before anything is read or written."""
    check_positive(
        config, "epochs", "steps_per_epoch", "validation_steps", "budget_minutes", "batch_size", "temperature_start",
        "temperature_end", "weights_lr", "alpha_lr", "plateau", "checkpoint_minutes",
    )  # fmt: skip
    check_betas(config, "weights_betas", "alpha_betas")
    check_data(config)
    for channels in (config.stem_channels, config.derived_stem_channels):
        SCNAS.node_channels(channels, 0)


def footprint(config: SearchConfig) -> SupernetNetwork:
    """The supernet as the planner sees it."""
    drawn = 2 if config.relaxation == "gumbel_pair" else len(SCNAS.operations)
    return SupernetNetwork(SCNAS, config.stem_channels, drawn, keep_convolutions=not config.recompute)


def build(config: SearchConfig, fold: Fold) -> Supernet:
    """The compiled supernet for a fold's data."""
    supernet = Supernet(
        SCNAS, len(fold.task.channel_names), fold.task.num_classes, config.stem_channels, config.relaxation,
        keep_convolutions=not config.recompute, seed=config.seed,
    )  # fmt: skip
    (b1, b2), (a1, a2) = config.weights_betas, config.alpha_betas
    supernet.compile(
        keras.optimizers.Adam(config.weights_lr, b1, b2), keras.optimizers.Adam(config.alpha_lr, a1, a2), JaccardLoss()
    )
    return supernet


def train(config: SearchConfig, fold: Fold, supernet: Supernet, horizon: Horizon, run: RunFolder) -> list[dict]:
    """Runs all epochs, or those that an interrupted run has left; returns the rows of history.csv."""
    batch_size = fold.configuration.batch_size
    steps = config.steps_per_epoch or math.ceil(len(fold.split.weights) / batch_size)
    history, plateau = History(run["history.csv"], COLUMNS), Plateau(horizon, config.plateau, factor=0.1)
    optimizers = (supernet.optimizer, supernet.logits_optimizer)
    checkpoint = Checkpoint(run[CHECKPOINT], supernet, optimizers, horizon, history, plateau, fold.digest, config.checkpoint_minutes)
    supernet.temperature.assign(config.temperature_start)
    done = checkpoint.restore()
    if done and horizon.over:
        return history.rows

    def describe(logs):
        logs["temperature"] = float(supernet.temperature)
        logs["entropy"] = float(tf.reduce_mean(normalized_entropy(supernet.logits.value)))
        logs["learning_rate"] = float(supernet.optimizer.learning_rate)
        logs["seconds_left"] = horizon.seconds_left
        fall = math.log(config.temperature_end / config.temperature_start)
        supernet.temperature.assign(config.temperature_start * math.exp(fall * horizon.fraction))
        return "loss %.4f  held-out %.4f  validation Dice %.3f  temperature %.2f  entropy %.4f" % tuple(
            logs[name] for name in ("loss", "held_out_loss", "val_dice", "temperature", "entropy")
        )

    weights, logits = (fold.sampler(part, seed=config.seed * 3 + stream, augmented=True) for stream, part in enumerate(("weights", "logits")))
    validation = fold.sampler("validation", seed=config.seed * 3 + 2, augmented=False)
    training = tf.data.Dataset.zip(*(patch_dataset(part, batch_size, done * steps, FOREVER) for part in (weights, logits)))
    logging.info("tracing the supernet: the first step takes a while (about half a minute on two cores) ...")
    supernet.fit(
        training,
        initial_epoch=done,
        epochs=FOREVER if config.budget_minutes else config.epochs,
        steps_per_epoch=steps,
        validation_data=patch_dataset(validation, batch_size, 0, config.validation_steps).cache(),
        verbose=0,
        shuffle=False,
        callbacks=[
            Pace(horizon, steps, describe),
            plateau,
            history,
            keras.callbacks.TensorBoard(run["tensorboard"], write_graph=False),
            checkpoint,
        ],
    )
    return history.rows


def finish(config: SearchConfig, fold: Fold, supernet: Supernet, history: list[dict], run: RunFolder) -> SearchResult:
    """Derives the architecture and writes everything that a run leaves."""
    logits = np.array(supernet.logits)
    genotype = derive(supernet.space, logits)
    genotype.save(run["genotype.json"])
    table = genotype_table(genotype)
    write_text(run["genotype.txt"], table + "\n")
    for suffix in ("svg", "png"):
        draw_genotype(genotype, run[f"genotype.{suffix}"])
    draw_history(history, run["history.png"])
    model = from_genotype(genotype, len(fold.task.channel_names), fold.task.num_classes, config.derived_stem_channels)
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
            "notes": list(genotype.notes),
            "derived": {"stem_channels": config.derived_stem_channels, **dataclasses.asdict(cost)},
            "logits": dict(zip(supernet.space.kinds, logits.round(6).tolist())),
        },
    )
    return SearchResult(genotype, table, run.path)
