"""The epochs of a search: its patches, what watches it, and what happens between epochs."""

import math
from typing import Any

import keras
from absl import logging

from scnas_keras.machine.distribution import Cluster
from scnas_keras.patches.stream import patch_dataset
from scnas_keras.runs.assembly import Run, assemble, patch_batches
from scnas_keras.runs.folds import Fold
from scnas_keras.runs.horizon import Horizon, steps_shown
from scnas_keras.runs.run_folder import RunFolder
from scnas_keras.search import guards
from scnas_keras.search.config import SearchConfig
from scnas_keras.search.monitor import Monitor
from scnas_keras.spaces import genotype_history
from scnas_keras.spaces.cost import CostTables
from scnas_keras.spaces.milliseconds import TimeTables
from scnas_keras.supernet.hessian import alpha_curvature
from scnas_keras.supernet.supernet import Supernet
from scnas_keras.training.names import PLATEAU
from scnas_keras.training.schedules import FALLING, Plateau

COLUMNS = ("loss", "held_out_loss", "val_loss", "val_dice", "temperature", "learning_rate")


def watch(
    config: SearchConfig, fold: Fold, supernet: Supernet, tables: CostTables, times: TimeTables | None, run: RunFolder, cluster: Cluster
) -> Monitor:
    """What watches the search and sets up its epochs; the first host writes the genotypes."""
    eigenvalue = None
    if config.hessian_every:
        sampler = fold.sampler(config.judge_on, seed=config.seed * 3 + 2, augmented=False)
        planned = fold.configuration.batch_size
        at_once = cluster.batch_size(planned) // cluster.slices(planned, config.accumulate)
        images, labels = next(iter(patch_dataset(sampler, at_once, 0, 1)))
        eigenvalue = alpha_curvature(supernet, images, labels)
    return Monitor(config, supernet, tables, run[genotype_history.FILE] if cluster.chief else None, eigenvalue, times)


def train(
    config: SearchConfig, fold: Fold, supernet: Supernet, monitor: Monitor, horizon: Horizon, run: RunFolder, cluster: Cluster
) -> list[dict]:
    """Runs all epochs, or those that an interrupted run has left; returns the rows of history.csv."""
    batch_size = cluster.batch_size(fold.configuration.batch_size)
    usual = math.ceil(fold.patches_of_epoch("train") / batch_size)
    steps = config.steps_per_epoch or steps_shown(usual, config.budget_minutes)
    training = [fold.sampler(part, seed=config.seed * 3 + i, augmented=True) for i, part in enumerate(("train", "held_out"))]
    validation = fold.sampler(config.judge_on, seed=config.seed * 3 + 2, augmented=False)
    if config.weights_schedule == PLATEAU:
        schedule = Plateau(horizon, config.plateau, factor=0.1)
    else:
        schedule = FALLING[config.weights_schedule](horizon, config.weights_lr)
    assembly = assemble(
        Run(
            model=supernet,
            optimizers=(supernet.optimizer, supernet.alpha_optimizer),
            batches=patch_batches(training, validation, batch_size, steps, config.validation_steps, cluster),
            batch_size=batch_size,
            horizon=horizon,
            columns=(*COLUMNS, *monitor.columns),
            describe=lambda logs: _between_epochs(config, supernet, monitor, horizon, logs),
            callbacks=[schedule],
            parts={config.weights_schedule: schedule, "monitor": monitor},
            digest=fold.digest,
            checkpoint_minutes=config.checkpoint_minutes,
            extend=lambda: _stand(config, supernet, horizon),
        ),
        run,
        cluster,
    )
    logging.info("tracing the supernet: the first step takes a while (a minute or two on two cores) ...")
    assembly.loop.run()
    return assembly.history.rows


def _stand(config: SearchConfig, supernet: Supernet, horizon: Horizon) -> None:
    """Sets what the next epoch is like by how far the search has come."""
    supernet.temperature.assign(guards.temperature(config, horizon.fraction))
    guards.steer(config, supernet, horizon.fraction)


def _between_epochs(config: SearchConfig, supernet: Supernet, monitor: Monitor, horizon: Horizon, logs: dict[str, Any]) -> str:
    """Adds to a finished epoch's logs, sets up the next one, and returns the line that is shown."""
    logs["temperature"] = float(keras.ops.convert_to_numpy(supernet.temperature))
    logs["learning_rate"] = float(keras.ops.convert_to_numpy(supernet.optimizer.learning_rate))
    supernet.temperature.assign(guards.temperature(config, horizon.fraction))
    if reason := monitor.on_epoch_end(horizon.done, logs, horizon.fraction):
        logging.info("%s", reason)
        supernet.stop_training = True
    held_out = f"held-out {logs['held_out_loss']:.4f}  " if "held_out_loss" in logs else ""  # a warm-up has none
    dice = f"Dice {logs['val_dice']:.3f} on {config.judged} patches"
    return f"loss {logs['loss']:.4f}  {held_out}{dice}  temperature {logs['temperature']:.2f}  {monitor.describe(logs)}"
