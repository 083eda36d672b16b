"""The epochs of a training run: its patches, schedule, second start, and the line after each."""

from typing import Any

import keras

from scnas_keras.machine.distribution import Cluster
from scnas_keras.retrain.architecture import Architecture
from scnas_keras.retrain.build import new_network
from scnas_keras.retrain.config import SEARCH, RetrainConfig
from scnas_keras.retrain.recipes import Recipe, steps_per_epoch
from scnas_keras.retrain.transfer import take_weights
from scnas_keras.runs.assembly import Run, assemble, patch_batches
from scnas_keras.runs.folds import Fold
from scnas_keras.runs.horizon import Horizon
from scnas_keras.runs.run_folder import RunFolder
from scnas_keras.tasks.splits import ALL
from scnas_keras.training.learner import Learner
from scnas_keras.training.names import PLATEAU
from scnas_keras.training.schedules import FALLING, LEAST_RATE, Collapse, Patience, Plateau, start_again

COLUMNS = ("loss", "dice", "val_loss", "val_dice", "learning_rate")


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
    training = fold.sampler(*config.trained_parts, seed=config.seed * 2, augmented=True)
    judged = config.trained_parts if config.fold == ALL else (config.judge_on,)
    validation = fold.sampler(*judged, seed=config.seed * 2 + 1, augmented=False)
    batch_size = cluster.batch_size(fold.configuration.batch_size)
    steps = steps_per_epoch(found, fold.patches_of_epoch(*config.trained_parts), batch_size, config.budget_minutes, config.steps_per_epoch)
    if found.schedule == PLATEAU:
        schedule = Plateau(horizon, config.plateau, LEAST_RATE, factor=0.2)
    else:
        schedule = FALLING[found.schedule](horizon, found.learning_rate)
    patience = {"patience": Patience(config.patience)} if config.patience else {}  # checkpoints without it go on

    def again(restarts: int) -> None:
        keras.utils.set_random_seed(config.seed + 1000 * (restarts + 1))
        fresh = new_network(found, fold, architecture)
        if architecture.weights:
            take_weights(fresh, architecture.weights, config.init == SEARCH)
        start_again(learner, learner.network, fresh.get_weights())
        schedule.restart(found.learning_rate / 10)
        for own in patience.values():
            own.restart()

    shown = "training" if config.fold == ALL else config.judged

    def describe(logs: dict[str, Any]) -> str:
        logs["learning_rate"] = float(keras.ops.convert_to_numpy(learner.optimizer.learning_rate))
        return f"loss {logs['loss']:.4f}  Dice {logs['val_dice']:.3f} on {shown} patches  rate {logs['learning_rate']:.1e}"

    collapse = Collapse(horizon, again if config.on_collapse == "restart" else None)
    assembly = assemble(
        Run(
            model=learner,
            optimizers=[learner.optimizer],
            batches=patch_batches([training], validation, batch_size, steps, config.validation_steps, cluster),
            batch_size=batch_size,
            horizon=horizon,
            columns=COLUMNS,
            describe=describe,
            callbacks=[schedule, collapse, *patience.values()],
            parts={"schedule": schedule, "collapse": collapse, **patience},
            digest=fold.digest,
            checkpoint_minutes=config.checkpoint_minutes,
        ),
        run,
        cluster,
    )
    assembly.loop.run()
    return assembly.history.rows
