"""How the wall time of a selection is divided, before anything runs and again whenever more is known."""

import contextlib
import dataclasses
import math
from collections.abc import Sequence

from scnas_keras.errors import ConfigError
from scnas_keras.select.race import most_trials, shares_for

SEARCH_SHARE, RACE_SHARE = 0.1, 0.3
"""At most; the rest is for the finals."""
LEAST_SEARCH, LEAST_TRAINING, LEAST_FIRST = 180.0, 30.0, 60.0
"""Seconds: a search of less decides nothing, a training run of less says nothing, and a shorter first rung of several is chance."""
SEEDS = 2
"""Of the default network in the finals: how far they are apart is what training alone does. The winner is trained once."""
FINISHING = 20.0
"""Seconds for the table and the figure in the end."""


@dataclasses.dataclass(frozen=True)
class Overhead:
    """Seconds that a training run takes besides those that it trains for: starting, tracing, validating whole scans.

    Attributes:
        trial: in the race, which judges on held-out scans.
        final: in the finals, which judge on the validation scans.
    """

    trial: float
    final: float


@dataclasses.dataclass(frozen=True)
class Budget:
    """Seconds of every part.

    Attributes:
        total: that were asked for.
        machines: that train at the same time.
        before: of what comes before the race: preparing, and a search with its start-up.
        race: seconds that each trial of a rung trains, a number a rung; empty if nothing races.
        trials: the most trials of each rung.
        finals: the most training runs of the finals; one if the default network wins the race, which is then longer.
        final: seconds that each of them trains.
        overhead: of one trial, of one final.
    """

    total: float
    machines: int
    before: float
    race: tuple[float, ...]
    trials: tuple[int, ...]
    finals: int
    final: float
    overhead: Overhead

    @property
    def race_total(self) -> float:
        """The race at its longest."""
        return sum(self.together(count, seconds + self.overhead.trial) for count, seconds in zip(self.trials, self.race))

    @property
    def finals_total(self) -> float:
        """All finals."""
        return self.together(self.finals, self.final + self.overhead.final)

    def together(self, trainings: int, each: float) -> float:
        """Seconds that equal training runs take, as many at a time as there are machines."""
        return waves(trainings, self.machines) * each


def waves(trainings: int, machines: int) -> int:
    """How often a machine trains, where each of them runs one training run at a time."""
    return math.ceil(trainings / machines)


def search_seconds(total: float) -> float:
    """What a search may take of a budget, with its start-up; 0 where that is too little for one."""
    seconds = SEARCH_SHARE * total
    return seconds if seconds >= LEAST_SEARCH else 0.0


def plan(total: float, entrants: int, overhead: Overhead, before: float = 0.0, machines: int = 1) -> Budget:
    """Divides a budget among a race of as many entrants as it is enough for, and the finals.

    Args:
        total: seconds.
        entrants: that could race, the default network included. Of fewer than could, those at the end are dropped (`Budget.trials[0]`).
        overhead: assumed, or measured.
        before: seconds that are gone, or planned for a search.
        machines: that train at the same time.

    Raises:
        ConfigError: not even the default network can be trained.
    """
    left = total - before - FINISHING
    for count in range(entrants, 1, -1):
        if race := _race(RACE_SHARE * (total - before), count, overhead, machines):
            final = _final(total, before, overhead, machines)
            if machines > 1:  # of which some idle in the finals
                race = tuple(seconds * min(1.0, final / race[-1]) for seconds in race)
            if final >= max(LEAST_TRAINING, race[-1]) and race[0] >= _least_of(race):
                return Budget(total, machines, before, race, tuple(most_trials(count)), SEEDS + 1, final, overhead)
    final = left - overhead.final
    if final < LEAST_TRAINING:
        need = (LEAST_TRAINING + overhead.final + FINISHING + before) / 60
        race = math.ceil(_least_race(overhead, before, machines) / 60)
        raise ConfigError(
            f"--budget_minutes={total / 60:g} is too little: a training run of {LEAST_TRAINING:.0f} s, which starts and validates for "
            f"about {overhead.final:.0f} s, takes {need:.1f} minutes, with {before + FINISHING:.0f} s for the rest. Give at least that; "
            f"for a race, some {race}."
        )
    return Budget(total, machines, before, (), (), 1, final, overhead)


def least_total(first: float, entrants: int, overhead: Overhead, searched: bool, machines: int = 1) -> float:
    """The least budget of whole minutes, in seconds, whose first rung trains each entrant for so many seconds, however many race by then.

    Args:
        first: seconds.
        entrants: that could race with any budget.
        overhead: as measured.
        searched: whether a search comes before the race.
        machines: that train at the same time.
    """
    total = 60.0
    while True:
        before = search_seconds(total) if searched else 0.0
        with contextlib.suppress(ConfigError):
            race = plan(total, entrants, overhead, before, machines).race
            if race and race[0] >= first:
                return total
        total += 60.0


def final_seconds(left: float, finals: int, overhead: float, machines: int = 1) -> float:
    """Seconds that each of the finals trains, by what is left when they begin."""
    return max(LEAST_TRAINING, (left - FINISHING) / waves(finals, machines) - overhead)


def rung_seconds(left: float, entrants: int, rung: int, trials: int, overhead: float, machines: int = 1) -> float:
    """Seconds that each trial of a rung trains, by what the race has left when the rung begins.

    Args:
        left: seconds for this rung and all that follow.
        entrants: of the race.
        rung: its number.
        trials: that it has.
        overhead: of a trial, as measured.
        machines: that train at the same time.
    """
    counts = [trials, *most_trials(entrants)[rung + 1 :]]
    full = _full(left, counts, shares_for(entrants)[rung:], overhead, machines)
    return max(LEAST_TRAINING / 2, full * shares_for(entrants)[rung])


def enough(left: float, entrants: int, first: float, overhead: float, machines: int = 1) -> bool:
    """Whether the time is enough for so many entrants, the first of whom has run.

    Args:
        left: seconds of the race.
        entrants: of it.
        first: seconds that each trial of the first rung trains.
        overhead: of a trial, as measured.
        machines: that train at the same time.
    """
    first_rung, *later = (waves(count, machines) for count in most_trials(entrants))
    return left >= (first_rung - 1) * (first + overhead) + sum(later) * (LEAST_TRAINING + overhead)


def _race(seconds: float, entrants: int, overhead: Overhead, machines: int) -> tuple[float, ...]:
    """Of each rung what a trial trains; empty if that is too little in the first."""
    shares = shares_for(entrants)
    full = _full(seconds, most_trials(entrants), shares, overhead.trial, machines)
    race = tuple(share * full for share in shares)
    return race if race[0] >= _least_of(race) else ()


def _least_of(race: Sequence[float]) -> float:
    """Seconds that the trials of a race's first rung train at least."""
    return LEAST_FIRST if len(race) > 1 else LEAST_TRAINING


def _least_race(overhead: Overhead, before: float, machines: int) -> float:
    """Seconds from which on two can race."""
    total = before + 60.0
    while True:
        race = _race(RACE_SHARE * (total - before), 2, overhead, machines)
        if race and _final(total, before, overhead, machines) >= max(LEAST_TRAINING, race[-1]):
            return total
        total += 30


def _final(total: float, before: float, overhead: Overhead, machines: int) -> float:
    """What each of the finals trains after a race."""
    return ((1 - RACE_SHARE) * (total - before) - FINISHING) / waves(SEEDS + 1, machines) - overhead.final


def _full(seconds: float, counts: Sequence[int], shares: Sequence[float], overhead: float, machines: int) -> float:
    """What a trial with the whole share trains."""
    rounds = [waves(count, machines) for count in counts]
    return (seconds - overhead * sum(rounds)) / sum(count * share for count, share in zip(rounds, shares))
