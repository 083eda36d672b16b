"""What the finals say of the winner and the default network, in words that their evidence carries."""

import dataclasses
import statistics
from collections.abc import Mapping, Sequence

import numpy as np
import scipy

from scnas_keras.metrics.paired import FEWEST_UNITS, LEVEL, Cases, aligned, mean_by_unit, paired_tests

_CONFIDENCE = 0.95
_CHEAPER = 0.9
"""Of the other's time a scan, at most: measured times of one network differ by some percent."""


@dataclasses.dataclass(frozen=True)
class Contest:
    """The winner of the race against the default network, both trained equally long on all of the fold's training scans.

    Attributes:
        winner, default: their names.
        units: validation scans, or patients, that both have results of.
        unit: "scan" or "patient".
        difference: mean measure of the winner minus that of the default, whose two seeds count as their mean.
        interval: 95 % confidence interval of that over the units (Student's t); None for fewer than two.
        probability: two-sided, of so large differences or larger if none is to be expected (Wilcoxon signed-rank test over units).
        noise: how far the default's two seeds are apart in it: that much training alone does.
        time: seconds that a scan takes with the winner as a share of those with the default; None if unknown.
        objective: the class that is compared; None for the mean over classes.
        measure: what is compared, Dice or NSD.
    """

    winner: str
    default: str
    units: int
    unit: str
    difference: float
    interval: tuple[float, float] | None
    probability: float
    noise: float
    time: float | None
    objective: str | None = None
    measure: str = "Dice"

    @property
    def differs(self) -> bool:
        """Whether neither chance over scans nor the noise of training explains the difference."""
        return self.units >= FEWEST_UNITS and self.probability < LEVEL and abs(self.difference) > self.noise

    @property
    def kept(self) -> str:
        """The network to use: the better; else the default, unless the winner is cheaper and behind by noise at most."""
        if self.differs:
            return self.winner if self.difference > 0 else self.default
        cheaper = self.time is not None and self.time < _CHEAPER
        return self.winner if cheaper and self.difference >= -self.noise else self.default

    @property
    def text(self) -> str:
        """A sentence or two."""
        of_class = "" if self.objective is None else f" of {self.objective}"
        side = "above" if self.difference > 0 else "below"
        points = f"{abs(100 * self.difference):.1f} points of {self.measure}{of_class} {side} {self.default}"
        within = "" if self.interval is None else f" (95 % interval {100 * self.interval[0]:+.1f} to {100 * self.interval[1]:+.1f})"
        measured = f"{self.winner} is {points} on {self.units} validation {self.unit}s{within}, p {self.probability:.2g}"
        pace = "" if self.time is None else f", at {self.time:.2g} times its time a scan"
        if self.differs:
            return f"{measured}{pace}: {self.kept} is kept."
        if self.units < FEWEST_UNITS:
            reason = f"{self.units} {self.unit}s are too few to tell"
        elif self.probability >= LEVEL:
            reason = "not distinguishable"
        else:
            reason = f"not distinguishable, since the default's two seeds differ by {100 * self.noise:.1f} points"
        cheaper = self.kept == self.winner or (self.time is not None and self.time * _CHEAPER > 1)
        return f"{measured}{pace}: {reason}. Kept {'the cheaper' if cheaper else 'the default'}, {self.kept}."


def contest(
    winner: str,
    winner_cases: Cases,
    default: str,
    default_cases: Sequence[Cases],
    patients: Mapping[str, str],
    time: float | None = None,
    objective: str | None = None,
    measure: str = "Dice",
) -> Contest:
    """Compares the winner with the default's seeds.

    Args:
        winner, default: their names.
        winner_cases: case -> class -> measure.
        default_cases: the same of each seed.
        patients: case -> patient; a patient's cases count as one.
        time, objective, measure: see `Contest`.
    """
    winner_cases, *default_cases = aligned([winner_cases, *default_cases])
    if objective is not None:
        winner_cases, *default_cases = (_of_class(cases, objective) for cases in (winner_cases, *default_cases))
    both = _mean_of(default_cases)
    (test,) = paired_tests({winner: winner_cases, default: both}, patients)
    own, others = mean_by_unit(winner_cases, patients), mean_by_unit(both, patients)
    common = sorted(own.keys() & others.keys())
    differences = np.array([own[unit] - others[unit] for unit in common])
    interval = None
    if len(differences) > 1:
        half = float(scipy.stats.sem(differences) * scipy.stats.t.ppf((1 + _CONFIDENCE) / 2, len(differences) - 1))
        interval = (float(differences.mean()) - half, float(differences.mean()) + half)
    means = [statistics.fmean(units.values()) for cases in default_cases if (units := mean_by_unit(cases, patients))]
    noise = max(means) - min(means) if means else 0.0
    counted = {patients.get(case, case) for case in winner_cases}
    unit = "patient" if len(counted) < len(winner_cases) else "scan"
    return Contest(winner, default, test.units, unit, test.difference, interval, test.probability, noise, time, objective, measure)


def _of_class(cases: Cases, name: str) -> dict[str, dict[str, float]]:
    """Of each case the Dice of one class; cases without it are left out."""
    return {case: {name: dice[name]} for case, dice in cases.items() if name in dice}


def _mean_of(seeds: Sequence[Cases]) -> dict[str, dict[str, float]]:
    """Case -> class -> mean Dice over the seeds that have it."""
    found: dict[str, dict[str, list[float]]] = {}
    for cases in seeds:
        for case, dice in cases.items():
            for name, value in dice.items():
                found.setdefault(case, {}).setdefault(name, []).append(value)
    return {case: {name: statistics.fmean(values) for name, values in dice.items()} for case, dice in found.items()}
