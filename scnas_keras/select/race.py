"""Which training comes next, as a function of those that have ended: successive halving, with nothing of files or processes.

A rung trains its entrants each for a share of the full time, from new weights and with a whole schedule; a third of them go on to the next.
The default network is in every rung (Jamieson and Talwalkar, arXiv 1502.07943; Li et al., arXiv 1603.06560).
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence

KEPT = 3
"""One of so many goes on."""
_RUNGS = ((2, (1.0,)), (4, (1 / 3, 1.0)), (math.inf, (1 / 9, 1 / 3, 1.0)))
"""Entrants up to which the rungs' shares of the full time are these."""


@dataclasses.dataclass(frozen=True)
class Entrant:
    """A network that races.

    Attributes:
        name: its own.
        cost: of two that score alike, the one with the smaller cost counts as better.
    """

    name: str
    cost: float


@dataclasses.dataclass(frozen=True, order=True)
class Trial:
    """The training run of one entrant in one rung, which counts from 0."""

    rung: int
    name: str


Scores = Mapping[Trial, float | None]
"""Of the trials that have ended: the higher the better, None for one that failed."""


@dataclasses.dataclass(frozen=True)
class Race:
    """A race. All it decides follows from its entrants and the scores, in whatever order these came.

    Attributes:
        entrants: at least one.
        default: the name of that which is never dropped.
    """

    entrants: tuple[Entrant, ...]
    default: str

    @property
    def shares(self) -> tuple[float, ...]:
        """Of every rung: what part of the full time a trial has."""
        return shares_for(len(self.entrants))

    def next(self, scores: Scores) -> tuple[Trial, ...]:
        """The trials of the earliest rung that isn't over, those that have ended left out; none if the race is over."""
        for rung in range(len(self.shares)):
            if left := tuple(trial for trial in self.trials(rung, scores) if trial not in scores):
                return left
        return ()

    def trials(self, rung: int, scores: Scores) -> tuple[Trial, ...]:
        """All trials of a rung that may begin, the default's first: every earlier rung is over."""
        names = [entrant.name for entrant in self.entrants]
        for earlier in range(rung):
            names = self._survivors([Trial(earlier, name) for name in names], scores)
        return tuple(Trial(rung, name) for name in sorted(names, key=lambda name: name != self.default))

    def winner(self, scores: Scores) -> str | None:
        """The best of the last rung; None while the race goes on, or if all of it failed."""
        if self.next(scores):
            return None
        best = self.ranked(len(self.shares) - 1, scores)
        return best[0] if best else None

    def ranked(self, rung: int, scores: Scores) -> list[str]:
        """Names of those whose trial of a rung ended with a score, the best first."""
        return self._ranked([trial for trial in self.trials(rung, scores) if trial in scores], scores)

    def _survivors(self, trials: Sequence[Trial], scores: Scores) -> list[str]:
        best = self._ranked(trials, scores)[: math.ceil(len(trials) / KEPT)]
        return [entrant.name for entrant in self.entrants if entrant.name in best or entrant.name == self.default]

    def _ranked(self, trials: Sequence[Trial], scores: Scores) -> list[str]:
        costs = {entrant.name: entrant.cost for entrant in self.entrants}
        ended = {trial.name: scores[trial] for trial in trials if scores[trial] is not None}
        return sorted(ended, key=lambda name: (-ended[name], costs[name], name))


def shares_for(entrants: int) -> tuple[float, ...]:
    """The rungs' shares of the full time, for so many entrants."""
    return next(shares for most, shares in _RUNGS if entrants <= most)


def most_trials(entrants: int) -> list[int]:
    """Of every rung the most trials that it can have."""
    counts = [entrants]
    for _ in shares_for(entrants)[1:]:
        counts.append(math.ceil(counts[-1] / KEPT) + 1)  # and the default
    return counts
