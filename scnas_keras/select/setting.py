"""What all parts of a selection share, and the results that its folders hold."""

import dataclasses
import pathlib
from collections.abc import Sequence

from scnas_keras.errors import UserError
from scnas_keras.runs.run_folder import RunFolder
from scnas_keras.select import trials
from scnas_keras.select.budget import Overhead
from scnas_keras.select.candidates import Candidate
from scnas_keras.select.config import SelectConfig
from scnas_keras.select.race import Scores, Trial
from scnas_keras.select.record import Record
from scnas_keras.select.survey import Survey
from scnas_keras.select.trials import Failure, Trained

STARTING = 25.0
"""Seconds that a training is assumed to take for its start and validation, until one has been measured."""


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
    def overhead(self) -> Overhead:
        """The longest of those measured; assumed until then. Validating takes as much longer in the finals as there are more scans."""
        measured = self.record.decided.overhead.values()
        trial = max(measured, default=STARTING)
        split = self.survey.split
        return Overhead(trial, trial * max(1.0, len(split.validation) / len(split.held_out)))

    def folder(self, trial: Trial) -> pathlib.Path:
        """Of a trial of the race."""
        return self.run["race"] / f"rung_{trial.rung + 1}" / trial.name

    def results(self, candidates: Sequence[Candidate], rungs: int) -> dict[Trial, Trained | None]:
        """What trials have left, None of those that failed; those that haven't ended are left out."""
        found: dict[Trial, Trained | None] = {}
        for rung in range(rungs):
            for candidate in candidates:
                trial = Trial(rung, candidate.name)
                result = trials.result_of(self.folder(trial))
                if result or self.key(trial) in self.record.decided.failed:
                    found[trial] = result
        return found

    def scores(self, results: dict[Trial, Trained | None]) -> Scores:
        """The objective of each, None where a trial failed or no scan has the class."""
        return {trial: result and result.score(self.config.objective) for trial, result in results.items()}

    @staticmethod
    def key(trial: Trial) -> str:
        """Of a trial in race.json."""
        return f"rung_{trial.rung + 1}/{trial.name}"

    def train(self, config, key: str, title: str, seconds: float) -> Trained:
        """Runs a training or goes on with it, and records how long it took besides.

        Raises:
            TrainingFailed: it came to nothing.
        """
        folder, record = pathlib.Path(config.workdir), self.record
        fresh, before = not folder.exists(), record.spent
        failure: Failure | None = trials.run("retrain", config, title, seconds + self.overhead.trial, record.tick)
        if failure:
            raise TrainingFailed(f"{title} {failure.reason} (see {folder}.log)")
        if fresh:  # of one that was interrupted, that isn't known
            record.decide(overhead={**record.decided.overhead, key: round(record.spent - before - seconds, 1)})
        result = trials.result_of(folder)
        assert result is not None
        return result


class TrainingFailed(UserError):
    """A training of a selection came to nothing."""
