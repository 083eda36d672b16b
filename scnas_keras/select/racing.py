"""The race: one training after the other, as `race.Race` asks for them."""

import dataclasses
import shutil
from collections.abc import Sequence

from absl import logging

from scnas_keras.errors import ConfigError
from scnas_keras.runs.checkpoint import CHECKPOINT
from scnas_keras.runs.config import HELD_OUT
from scnas_keras.select import budget
from scnas_keras.select.candidates import Candidate
from scnas_keras.select.names import DEFAULT
from scnas_keras.select.race import Entrant, Race, Trial
from scnas_keras.select.setting import Setting, TrainingFailed
from scnas_keras.select.settings import training_config
from scnas_keras.select.trials import Trained

_FEWEST_UPDATES = 20
"""In the first rung; with fewer, every network is as bad as when it began."""

_FIRST = Trial(0, DEFAULT)
"""Its time shows what else can run."""


@dataclasses.dataclass(frozen=True)
class Ended:
    """A race that is over, or one that there was no time for.

    Attributes:
        race: with its entrants.
        results: of all trials that ended, None of those that failed.
        winner: the name of the best.
    """

    race: Race
    results: dict[Trial, Trained | None]
    winner: str


def run_race(setting: Setting) -> Ended:
    """Runs what is left of a race.

    Raises:
        TrainingFailed: of the default network, without which nothing can be compared.
        ConfigError: the time is enough for too few updates.
    """
    while True:
        candidates = setting.record.decided.candidates
        results = setting.results(candidates, rungs=3)
        if results.keys() == {_FIRST}:
            _check_updates(setting, results[_FIRST])
            _drop(setting, candidates)
            candidates = setting.record.decided.candidates
        race = _race(candidates, results)
        scores = setting.scores(results)
        left = race.next(scores) if len(candidates) > 1 else ()
        if not left:
            return Ended(race, results, (race.winner(scores) if results else None) or DEFAULT)
        _run_trial(setting, race, left, candidates)


def _race(candidates: Sequence[Candidate], results: dict[Trial, Trained | None]) -> Race:
    """The race with the costs that are known: those of the first rung, before which none is asked for."""
    costs = {trial.name: float(result.multiply_adds) for trial, result in results.items() if result}
    return Race(tuple(Entrant(candidate.name, costs.get(candidate.name, 0.0)) for candidate in candidates), DEFAULT)


def _run_trial(setting: Setting, race: Race, left: Sequence[Trial], candidates: Sequence[Candidate]) -> None:
    trial, count = left[0], len(left)
    seconds = _seconds(setting, race, trial.rung, count)
    candidate = next(one for one in candidates if one.name == trial.name)
    config = training_config(setting.config, candidate, setting.folder(trial), seconds, HELD_OUT, setting.config.seed)
    title = f"rung {trial.rung + 1} of {len(race.shares)}, {count} to run: {trial.name}"
    try:
        result = setting.train(config, setting.key(trial), title, seconds)
    except TrainingFailed as error:
        if trial.name == DEFAULT:
            raise
        logging.warning("%s; the race goes on without it", error)
        record = setting.record
        record.decide(failed={**record.decided.failed, setting.key(trial): str(error)})
        return
    shutil.rmtree(setting.folder(trial) / CHECKPOINT, ignore_errors=True)  # it has ended, and checkpoints are large
    logging.info("%s: Dice %s on held-out scans after %d updates", trial.name, _text(result.mean_dice), result.updates)


def _seconds(setting: Setting, race: Race, rung: int, trials: int) -> float:
    """What each trial of a rung trains; decided when the first of them begins."""
    decided = setting.record.decided
    if rung < len(decided.rungs):
        return decided.rungs[rung]
    left = (decided.race_until or 0.0) - setting.record.spent
    seconds = round(budget.rung_seconds(left, len(race.entrants), rung, trials, setting.overhead.trial), 1)
    setting.record.decide(rungs=(*decided.rungs, seconds))
    return seconds


def _check_updates(setting: Setting, result: Trained | None) -> None:
    if result is None or result.updates >= _FEWEST_UPDATES:
        return
    seconds = setting.record.decided.rungs[0]
    step = seconds / max(1, result.updates)
    need = setting.total * _FEWEST_UPDATES * step / seconds / 60
    raise ConfigError(
        f"In the {seconds:.0f} s of a first training the default network made {result.updates} updates, of {step:.1f} s each; with fewer "
        f"than {_FEWEST_UPDATES} no two networks can be told apart. Give about --budget_minutes={need:.0f}, or a smaller --patch_size, in "
        "another --workdir."
    )


def _drop(setting: Setting, candidates: Sequence[Candidate]) -> None:
    """Leaves out those at the end of the pool whom the time isn't enough for, now that it is known what a training takes besides."""
    decided = setting.record.decided
    left = (decided.race_until or 0.0) - setting.record.spent
    per_trial = decided.rungs[0] + setting.overhead.trial
    kept = list(candidates)
    while len(kept) > 2 and not budget.enough(left, len(kept), decided.rungs[0], setting.overhead.trial):
        kept.pop()
    if len(kept) < len(candidates):
        names = ", ".join(candidate.name for candidate in candidates[len(kept) :])
        logging.warning("a training takes %.0f s here, start and validation included: %s can't race in this time", per_trial, names)
        setting.record.decide(candidates=tuple(kept))


def _text(value: float | None) -> str:
    return "in no scan" if value is None else f"{value:.3f}"
