"""Presets of a training run: loss, optimizer, schedule, length. A flag that is given wins over its preset."""

import dataclasses
import math

from scnas_keras.errors import ConfigError
from scnas_keras.retrain.config import TrainingConfig
from scnas_keras.runs.horizon import steps_shown
from scnas_keras.training.names import ADAM, COSINE, DICE_CE, JACCARD, LIGHT, NNUNET, PLATEAU, POLY, SCNAS, SGD, SHORT

MOMENTUM = 0.99
"""nnU-Net's, with Nesterov's look ahead."""


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a network is trained.

    Attributes:
        loss: one of `training.losses.LOSSES`.
        optimizer: "adam", or "sgd" with Nesterov momentum.
        learning_rate: at the start.
        schedule: "plateau", "poly" or "cosine".
        epochs: of a run without a time budget.
        steps_per_epoch: None for one patch of each training case, or of each slice.
        deep_supervision: where the network has outputs for it.
        weight_decay: times the weights, is added to their gradients (L2).
        clip_norm: the most that all gradients together may measure; None for no limit.
        momentum: of sgd.
        path_dropout: probability with which an edge's operation is left out, where the network has such edges.
    """

    loss: str
    optimizer: str
    learning_rate: float
    schedule: str
    epochs: int
    steps_per_epoch: int | None
    deep_supervision: bool
    weight_decay: float = 0.0
    clip_norm: float | None = None
    momentum: float = MOMENTUM
    path_dropout: float = 0.0


PRESETS = {
    SCNAS: Recipe(JACCARD, ADAM, 3e-4, PLATEAU, epochs=500, steps_per_epoch=None, deep_supervision=False),
    NNUNET: Recipe(DICE_CE, SGD, 0.01, POLY, 1000, 250, deep_supervision=True, weight_decay=3e-5, clip_norm=12.0),
    SHORT: Recipe(DICE_CE, ADAM, 2e-3, POLY, 100, 250, deep_supervision=True, clip_norm=12.0),
    LIGHT: Recipe(DICE_CE, ADAM, 6e-3, COSINE, 30, None, deep_supervision=False, weight_decay=2e-4, path_dropout=0.15),
}
"""SCNAS section 3 (retraining); nnU-Net's version 2; what gets furthest in minutes to hours (docs/training.md); and Auto-LW-MISN
(Zhang et al. 2022) section 3.1 (retraining), whose binary cross-entropy is that of two classes."""
_RATES = {ADAM: 3e-4, SGD: 0.01}


def recipe(config: TrainingConfig) -> Recipe:
    """The preset with what the flags say instead.

    Another optimizer than the preset's takes its own usual rate unless one is given.

    Raises:
        ConfigError: numbers out of range, or a momentum where there is none.
    """
    preset = PRESETS[config.preset or SCNAS]
    given = {field.name: getattr(config, field.name) for field in dataclasses.fields(Recipe)}
    given["deep_supervision"] = {"auto": None, "true": True, "false": False}[config.deep_supervision]
    if config.clip_norm == 0:
        preset, given["clip_norm"] = dataclasses.replace(preset, clip_norm=None), None
    found = dataclasses.replace(preset, **{name: value for name, value in given.items() if value is not None})
    if config.learning_rate is None and found.optimizer != preset.optimizer:
        found = dataclasses.replace(found, learning_rate=_RATES[found.optimizer])
    if found.weight_decay < 0:
        raise ConfigError(f"--weight_decay={found.weight_decay} must be 0 or more.")
    if found.clip_norm is not None and found.clip_norm < 0:
        raise ConfigError(f"--clip_norm={found.clip_norm} must be 0 (no limit) or more.")
    if not 0 <= found.momentum < 1:
        raise ConfigError(f"--momentum={found.momentum} must be from 0 (none) to below 1, for example 0.9.")
    if config.momentum is not None and found.optimizer != SGD:
        raise ConfigError(
            f"--momentum={config.momentum} is for --optimizer={SGD}, and the optimizer is {found.optimizer}. Leave one of them out."
        )
    if not 0 <= found.path_dropout < 1:
        raise ConfigError(f"--path_dropout={found.path_dropout} must be from 0 (none) to below 1, for example 0.15.")
    if not 0 <= config.ema < 1:
        raise ConfigError(f"--ema={config.ema} must be from 0 (none) to below 1, for example 0.99.")
    return found


def steps_per_epoch(found: Recipe, patches: int, batch_size: int, budget_minutes: float | None, given: int | None) -> int:
    """Steps an epoch: what is given, or the recipe's, or as many as `patches` take; fewer where wall time counts."""
    if given:
        return given
    steps = found.steps_per_epoch or math.ceil(patches / batch_size)
    return steps_shown(steps, budget_minutes)
