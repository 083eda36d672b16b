"""What a selection does next: the search, the training runs of the race, the finals. Whoever runs them asks here and reports back."""

import dataclasses
import pathlib
import statistics
from collections.abc import Collection, Sequence

from absl import logging

from scnas_keras.errors import ConfigError
from scnas_keras.runs.run_folder import SUMMARY, is_busy
from scnas_keras.select import budget
from scnas_keras.select.candidate import Candidate
from scnas_keras.select.finals import final_trainings
from scnas_keras.select.jobs import FINALS, RACE, SEARCH, Job, TrainingFailed, folder_of
from scnas_keras.select.names import DEFAULT, need_search, parse_families
from scnas_keras.select.plan_table import show_finals, show_plan
from scnas_keras.select.pool import fits, pool
from scnas_keras.select.race import Entrant, Race, Trial
from scnas_keras.select.samples import fill, places
from scnas_keras.select.setting import Setting
from scnas_keras.select.trials import Trained, result_of

_FEWEST_UPDATES = 20
"""In the first rung; with fewer, every network is as bad as when it began."""

_MOST_ENTRANTS = 12
"""At most so many networks race, of one search or two."""
_SPARE = 1.1
"""Steps vary from run to run."""
_SEARCH_STARTING = 80.0
"""Seconds that a search is assumed to take for start and tracing: a supernet takes 50 to 80 for it on two cores."""
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


@dataclasses.dataclass(frozen=True)
class Wait:
    """Nothing can begin before something that runs has ended."""


@dataclasses.dataclass(frozen=True)
class Over:
    """All has been run."""

    race: Ended


class Scheduler:
    """Answers from the run folders and race.json alone, so that it can be made anew at any time.

    Args:
        setting: the selection.
        searches: folders of finished searches that --searches names.
    """

    def __init__(self, setting: Setting, searches: Sequence[pathlib.Path]):
        self._setting, self._searches = setting, tuple(searches)

    def next(self, busy: Collection[str] = ()) -> Job | Wait | Over:
        """What is to be run next, given the keys of what is running.

        Raises:
            ConfigError: the time is enough for too few updates.
        """
        setting, record = self._setting, self._setting.record
        if self._search_is_due():
            return Wait() if SEARCH in busy else self._search()
        if not record.decided.candidates:
            self._choose()
        candidates = record.decided.candidates
        results = setting.results(candidates, rungs=3)
        if _FIRST in results and not record.decided.first_seen:
            self._look_at_first(results[_FIRST], candidates, busy)
            candidates = record.decided.candidates
        race = _race(candidates, results)
        scores = setting.scores(results)
        left = race.next(scores) if len(candidates) > 1 else ()
        if left:
            begin = left if record.decided.first_seen else left[: setting.machines]
            trial = self._free(RACE, [(trial, setting.key(trial)) for trial in begin], busy)
            if trial is None:
                return Wait()
            drawn = next(candidate.is_drawn for candidate in candidates if candidate.name == trial.name)
            return self._trial(race, trial, left) if drawn or fill(setting, trial.name, race.ranked(0, scores)) else self.next(busy)
        ended = Ended(race, results, (race.winner(scores) if results else None) or DEFAULT)
        return self._final(ended, busy)

    def ended(self, job: Job, overhead: float | None = None, failed: str | None = None) -> None:
        """Takes note of a job that has ended: what it took besides training, or why it came to nothing.

        Raises:
            TrainingFailed: without it nothing can be compared: one of the default network, or of the finals.
        """
        record = self._setting.record
        if failed is None:
            if overhead is not None and job.stage != SEARCH:
                record.decide(overhead={**record.decided.overhead, job.key: overhead})
        elif job.stage == FINALS or job.network == DEFAULT:
            raise TrainingFailed(failed)
        else:
            logging.warning("%s; the race goes on without it", failed)
            record.decide(failed={**record.decided.failed, job.key: failed})

    def _search_is_due(self) -> bool:
        decided = self._setting.record.decided
        planned = bool(decided.search) and not decided.candidates and SEARCH not in decided.failed
        return planned and not (self._setting.run[SEARCH] / SUMMARY).is_file()

    def _search(self) -> Job:
        setting = self._setting
        seconds = (setting.record.decided.search or 0.0) - _SEARCH_STARTING
        return Job(SEARCH, SEARCH, SEARCH, "search", seconds, _SEARCH_STARTING, setting.config.seed)

    def _choose(self) -> None:
        """Decides who races: as many of the pool as fit into memory, and as the time is enough for."""
        setting = self._setting
        own = setting.run[SEARCH]
        searches = [*self._searches, *([own] if (own / SUMMARY).is_file() else [])]
        families = parse_families(setting.config.candidates)
        everyone = pool(families, searches, setting.run["genotypes"], setting.survey, setting.config.seed) + places(setting.config)
        config = setting.config
        fitting = [own for own in everyone if own.name == DEFAULT or not own.is_drawn or fits(own, setting.survey, config)]
        gone = setting.record.spent
        plan = budget.plan(setting.total, len(fitting), setting.overhead, before=gone, machines=setting.machines)
        racing = tuple(fitting[: plan.trials[0] if plan.trials else 1])
        show_plan(plan, 0.0, racing, fitting[len(racing) :])
        setting.record.decide(candidates=racing, race_until=gone + plan.race_total)

    def _look_at_first(self, result: Trained | None, candidates: Sequence[Candidate], busy: Collection[str]) -> None:
        """Leaves out those at the end of the pool for whom there isn't time, now that it is known what a training run takes besides."""
        setting, decided = self._setting, self._setting.record.decided
        self._check_updates(result)
        left, overhead = (decided.race_until or 0.0) - setting.record.spent, setting.overhead.trial
        kept = list(candidates)

        def can_go(candidate: Candidate) -> bool:
            trial = Trial(0, candidate.name)
            return setting.key(trial) not in busy and not setting.folder(trial).exists()

        while len(kept) > 2 and can_go(kept[-1]) and not budget.enough(left, len(kept), decided.rungs[0], overhead, setting.machines):
            kept.pop()
        if len(kept) < len(candidates):
            names = ", ".join(candidate.name for candidate in candidates[len(kept) :])
            logging.warning(
                "a training run takes %.0f s here, start and validation included: %s can't race in this time",
                *(decided.rungs[0] + overhead, names),
            )
        setting.record.decide(candidates=tuple(kept), first_seen=True)

    def _check_updates(self, result: Trained | None) -> None:
        if result is None or result.updates >= _FEWEST_UPDATES:
            return
        setting = self._setting
        seconds = setting.record.decided.rungs[0]
        step = seconds / max(1, result.updates)
        most = _MOST_ENTRANTS + len(places(setting.config))
        first = _SPARE * _FEWEST_UPDATES * step
        searched = not self._searches and need_search(parse_families(setting.config.candidates))
        need = budget.least_total(first, most, setting.overhead, searched, setting.machines) / 60
        raise ConfigError(
            f"In the {seconds:.0f} s of a first training run the default network made {result.updates} updates, of {step:.1f} s each; with "
            f"fewer than {_FEWEST_UPDATES} no two networks can be told apart. Give about --budget_minutes={need:.0f}, or a smaller "
            "--patch_size, in another --workdir."
        )

    def _trial(self, race: Race, trial: Trial, left: Sequence[Trial]) -> Job:
        setting = self._setting
        title = f"rung {trial.rung + 1} of {len(race.shares)}, {len(left)} to run: {trial.name}"
        seconds = self._rung_seconds(race, trial.rung, len(left))
        return Job(RACE, setting.key(trial), trial.name, title, seconds, setting.overhead.trial, setting.config.seed)

    def _rung_seconds(self, race: Race, rung: int, trials: int) -> float:
        """What each trial of a rung trains; decided when the first of them begins."""
        setting, decided = self._setting, self._setting.record.decided
        if rung < len(decided.rungs):
            return decided.rungs[rung]
        left = (decided.race_until or 0.0) - setting.record.spent
        seconds = round(budget.rung_seconds(left, len(race.entrants), rung, trials, setting.overhead.trial, setting.machines), 1)
        setting.record.decide(rungs=(*decided.rungs, seconds))
        return seconds

    def _final(self, ended: Ended, busy: Collection[str]) -> Job | Wait | Over:
        setting = self._setting
        wanted = final_trainings(ended.winner)
        if setting.record.decided.final is None:
            left = setting.total - setting.record.spent
            overheads = [setting.overhead_of({final.network}).final for final in wanted]
            overhead = statistics.fmean(overheads) if setting.machines == 1 else max(overheads)
            seconds = budget.final_seconds(left, len(wanted), overhead, setting.machines)
            setting.record.decide(final=round(seconds, 1))
            show_finals(setting.record.spent, setting.total, len(wanted), seconds, overhead, setting.record.decided.rungs)
        left = [final for final in wanted if result_of(folder_of(setting.run.path, FINALS, final.key)) is None]
        if not left:
            return Over(ended)
        final = self._free(FINALS, [(final, final.key) for final in left], busy)
        if final is None:
            return Wait()
        title = f"final {wanted.index(final) + 1} of {len(wanted)}: {final.label}"
        seconds, seed = setting.record.decided.final, setting.config.seed + final.seed
        return Job(FINALS, final.key, final.network, title, seconds or 0.0, setting.overhead_of({final.network}).final, seed)

    def _free(self, stage: str, choices: Sequence[tuple], busy: Collection[str]):
        """The first whose key isn't busy; rather one in whose folder nobody works, as a machine does whose coordinator began anew."""
        free = [(choice, key) for choice, key in choices if key not in busy]
        idle = [choice for choice, key in free if not is_busy(folder_of(self._setting.run.path, stage, key))]
        return idle[0] if idle else free[0][0] if free else None


def _race(candidates: Sequence[Candidate], results: dict[Trial, Trained | None]) -> Race:
    """The race with the costs that are known: those of the first rung, before which none is asked for."""
    costs = {trial.name: float(result.multiply_adds) for trial, result in results.items() if result}
    return Race(tuple(Entrant(candidate.name, costs.get(candidate.name, 0.0)) for candidate in candidates), DEFAULT)
