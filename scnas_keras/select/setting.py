"""What all parts of a selection share, and the results that its folders hold."""

import dataclasses
import pathlib
from collections.abc import Collection, Sequence

from scnas_keras.runs.run_folder import RunFolder
from scnas_keras.select import trials
from scnas_keras.select.budget import Overhead
from scnas_keras.select.candidate import Candidate
from scnas_keras.select.config import SelectConfig
from scnas_keras.select.jobs import FINALS, RACE, SEARCH, Job, folder_of
from scnas_keras.select.race import Scores, Trial
from scnas_keras.select.record import Record
from scnas_keras.select.survey import Survey
from scnas_keras.select.trials import Trained

NO_SCORE = -1.0
STARTING = 20.0
"""Seconds that a training run is assumed to take for its start and validation, until one has been measured."""


@dataclasses.dataclass(frozen=True)
class Setting:
    """One selection in this process."""

    config: SelectConfig
    run: RunFolder
    survey: Survey
    record: Record

    @property
    def total(self) -> float:
        """Seconds in all."""
        return self.config.seconds or 0.0

    @property
    def machines(self) -> int:
        """That train at the same time."""
        return self.config.machines

    @property
    def overhead(self) -> Overhead:
        """Of any training."""
        return self.overhead_of(())

    def overhead_of(self, networks: Collection[str]) -> Overhead:
        """The longest of those that were measured with some networks, else with any; assumed until there is one.

        In the finals there may be more scans to validate.
        """
        measured, split = self.record.decided.overhead, self.survey.split
        own = {key: seconds for key, seconds in measured.items() if key.rpartition("/")[2] in networks} or measured
        if not own:
            return Overhead(STARTING, STARTING * max(1.0, len(split.validation) / len(split.held_out)))
        longest = max(own, key=lambda key: own[key])
        if longest.startswith(FINALS):
            return Overhead(own[longest], own[longest])
        more, result = max(0, len(split.validation) - len(split.held_out)), trials.result_of(folder_of(self.run.path, RACE, longest))
        scan = result.seconds_per_scan if result else None
        final = own[longest] + more * (own[longest] / len(split.held_out) if scan is None else scan)
        measured_there = len(split.held_out) if result and result.surface_seconds_per_scan is not None else 0
        return Overhead(own[longest], final + (len(split.validation) - measured_there) * self._surface_seconds(measured))

    def _surface_seconds(self, measured: Collection[str]) -> float:
        """In which the surfaces of a scan are measured, as it was seen in some training runs of the race; 0 where it wasn't."""
        if not self.config.surfaces:
            return 0.0
        found = (trials.result_of(folder_of(self.run.path, RACE, key)) for key in measured if not key.startswith(FINALS))
        return max((own.surface_seconds_per_scan or 0.0 for own in found if own), default=0.0)

    def folder(self, trial: Trial) -> pathlib.Path:
        """Of a trial of the race."""
        return folder_of(self.run.path, RACE, self.key(trial))

    def results(self, candidates: Sequence[Candidate], rungs: int) -> dict[Trial, Trained | None]:
        """What trials have left, None of those that failed; those that haven't ended are left out."""
        found: dict[Trial, Trained | None] = {}
        for rung in range(rungs):
            for candidate in candidates:
                trial = Trial(rung, candidate.name)
                result = trials.complete(trials.result_of(self.folder(trial)), self.survey.split.held_out)
                if result or self.key(trial) in self.record.decided.failed:
                    found[trial] = result
        return found

    def scores(self, results: dict[Trial, Trained | None]) -> Scores:
        """The objective of each, None where a trial failed or no scan has the class."""
        return {trial: result and result.score(self.config.objective) for trial, result in results.items()}

    def score(self, job: Job) -> float:
        """The objective of a job that has ended, for KerasTuner's tables; NO_SCORE of a search, and where no scan has the class."""
        result = None if job.stage == SEARCH else trials.result_of(job.folder(self.run.path))
        score = result.score(self.config.objective) if result else None
        return NO_SCORE if score is None else score

    @staticmethod
    def key(trial: Trial) -> str:
        """Of a trial in race.json."""
        return f"rung_{trial.rung + 1}/{trial.name}"
