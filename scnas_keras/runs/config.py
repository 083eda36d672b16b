"""The options that commands that train share."""

import dataclasses

from scnas_keras.machine.names import NONE, PRECISIONS
from scnas_keras.options import MANY, MINUTES, option
from scnas_keras.runs.data_config import DataConfig

OF_HOST = ("workdir", "data_dir", "cache_dir", "processes")
"""Flags that may differ between the hosts of a run, and from when it was begun."""
VALIDATION, HELD_OUT = JUDGES = ("validation", "held_out")
"""Parts of a fold that a run can be judged on."""


@dataclasses.dataclass(frozen=True)
class RunConfig(DataConfig):
    """Where a run leaves its results, how long it takes, how often it is saved, and what computes it."""

    workdir: str | None = option(None, "Folder for what the run leaves; made if absent.", "Run", path=True)
    budget_minutes: float | None = option(
        None,
        "Wall time of the epochs, without preparing scans and tracing the network's steps; replaces --epochs, and the schedules stretch to "
        "fit.",
        "Run",
        most=MINUTES,
        above=0,
    )
    steps_per_epoch: int | None = option(
        None,
        "Steps an epoch. Default: a patch of each training case, of each slice where patches are 2D; by the presets nnunet and short 250; "
        "in a run by time at most 50.",
        "Run",
        most=MANY,
        least=1,
    )
    validation_steps: int = option(8, "Batches for the validation Dice after each epoch.", "Run", most=MANY, least=1)
    checkpoint_minutes: float = option(
        10.0,
        "Time between savings of an unfinished run, after any step: what a crash can cost. The same command goes on from there.",
        "Run",
        above=0,
        most=MINUTES,
    )
    deterministic: str = option(
        "auto",
        "Whether equal runs end bit for bit equal, interrupted or not. auto: on CPUs, not on GPUs, where it costs time.",
        "Run",
        choices=("auto", "true", "false"),
    )
    devices: str = option(
        "auto",
        "What computes: auto (all GPUs, or the CPU), a number of GPUs, or names like gpu:0,gpu:2 or cpu. Several share each batch. "
        "For several hosts set TF_CONFIG.",
        "Run",
    )
    mixed_precision: str = option(
        NONE,
        "Compute in half precision, with weights, loss and architecture in float32; for GPUs made for it.",
        "Run",
        choices=PRECISIONS,
    )


@dataclasses.dataclass(frozen=True)
class JudgeConfig:
    """Which cases of its fold a run is judged on; a cross-validation's are its validation cases, and it has no such option."""

    judge_on: str = option(
        VALIDATION,
        "Where the Dice is measured: on the fold's validation cases, or on those held out of its training cases, from which a search "
        "learns alpha. With held_out a training run learns from the others only, and no validation case is opened once scans are prepared: "
        "for choices that validation cases must have no part in.",
        "Split",
        choices=JUDGES,
    )

    @property
    def judged(self) -> str:
        """What such cases are called in logs and tables: "validation" or "held-out"."""
        return self.judge_on.replace("_", "-")
