"""One training run or search of a selection, as data that goes to whoever runs it."""

import dataclasses
import pathlib
import shutil
import time
from collections.abc import Sequence
from typing import Any

from absl import logging

from scnas_keras.errors import UserError
from scnas_keras.runs.checkpoint_files import CHECKPOINT
from scnas_keras.runs.config import HELD_OUT, VALIDATION
from scnas_keras.runs.run_folder import FINALS
from scnas_keras.select import trials
from scnas_keras.select.candidate import Candidate
from scnas_keras.select.config import SelectConfig
from scnas_keras.select.job_flags import search_config, training_config

SEARCH, RACE = "search", "race"
"""Stages, and folders of them; there is FINALS too."""


class TrainingFailed(UserError):
    """A training run of a selection came to nothing."""


@dataclasses.dataclass(frozen=True)
class Job:
    """What to run.

    Attributes:
        stage: SEARCH, RACE or FINALS.
        key: its name in race.json: "search", "rung_1/nnunet", "finals/nnunet_seed_0".
        network: the candidate's name; of a search, its own.
        title: for people.
        seconds: that it trains.
        overhead: seconds that it is expected to take besides.
        seed: of the training.
    """

    stage: str
    key: str
    network: str
    title: str
    seconds: float
    overhead: float
    seed: int

    def folder(self, run: pathlib.Path) -> pathlib.Path:
        """Its run folder in that of the selection."""
        return folder_of(run, self.stage, self.key)

    def config(self, selection: SelectConfig, run: pathlib.Path, candidates: Sequence[Candidate]) -> Any:
        """Flags of the command that runs it."""
        folder = self.folder(run)
        if self.stage == SEARCH:
            return search_config(selection, folder, self.seconds)
        candidate = next(one for one in candidates if one.name == self.network)
        judge_on = VALIDATION if self.stage == FINALS else HELD_OUT
        return training_config(selection, candidate, folder, self.seconds, judge_on, self.seed)


def folder_of(run: pathlib.Path, stage: str, key: str) -> pathlib.Path:
    """Where the job of a key has its run folder."""
    return run / RACE / key if stage == RACE else run / key


def run_job(job: Job, selection: SelectConfig, run: pathlib.Path, candidates: Sequence[Candidate]) -> float | None:
    """Runs a job to its end, or goes on with it.

    Args:
        job: what to run.
        selection: the flags of the selection.
        run: its folder.
        candidates: of the race.

    Returns:
        Seconds that it took besides those that it trained for; None where that isn't known, because it was interrupted before.

    Raises:
        TrainingFailed: it came to nothing.
        SystemExit: a signal came and the run is saved.
        OutputError: a file can't be written.
    """
    folder, began = job.folder(run), time.monotonic()
    fresh = not folder.exists()
    command = "search" if job.stage == SEARCH else "retrain"
    failure = trials.run(command, job.config(selection, run, candidates), job.title, job.seconds + job.overhead)
    if failure:
        raise TrainingFailed(f"{job.title} {failure.reason} (see {folder}.log)")
    if job.stage != SEARCH:
        _tell(job, folder)
    return round(time.monotonic() - began - job.seconds, 1) if fresh else None


def _tell(job: Job, folder: pathlib.Path) -> None:
    """Logs what a training run found. Its checkpoints, which are large, are of no more use."""
    result = trials.result_of(folder)
    assert result is not None
    if job.stage == RACE:
        shutil.rmtree(folder / CHECKPOINT, ignore_errors=True)
    dice = "in no scan" if result.mean_dice is None else f"{result.mean_dice:.3f}"
    judged = "validation" if job.stage == FINALS else "held-out"
    logging.info("%s: Dice %s on %s scans after %d updates", job.key.partition("/")[2], dice, judged, result.updates)
