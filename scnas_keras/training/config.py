"""The options that every command that trains shares."""

import dataclasses

from scnas_keras.data.config import DataConfig
from scnas_keras.options import option


@dataclasses.dataclass(frozen=True)
class RunConfig(DataConfig):
    """Where a run leaves its results, how long it takes and how often it is saved."""

    workdir: str | None = option(None, "Folder for what the run leaves; made if absent.", "Run")
    budget_minutes: float | None = option(
        None, "Wall time once the scans are prepared; replaces --epochs, and the schedules stretch to fit.", "Run"
    )
    steps_per_epoch: int | None = option(None, "Steps an epoch. Default: one patch for each case that trains the weights.", "Run")
    validation_steps: int = option(8, "Batches for the validation Dice after each epoch.", "Run")
    checkpoint_minutes: float = option(
        2.0, "Least time between savings of an unfinished run, after an epoch; the same command goes on from there.", "Run"
    )
