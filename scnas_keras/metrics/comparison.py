"""One number of the found network against the same number of random ones. Imports no framework."""

import dataclasses
import statistics
from typing import Any


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The Dice of a found network and of random ones of the same space, measured in the same way.

    Attributes:
        found: Dice, 0 to 1.
        random: Dice of the random networks, at least one.
    """

    found: float
    random: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Of the random networks."""
        return statistics.fmean(self.random)

    @property
    def deviation(self) -> float:
        """Sample standard deviation of the random networks."""
        return statistics.stdev(self.random)

    @property
    def rank(self) -> int:
        """Place of the found network among all, 1 is best; equal ones share the better place."""
        return 1 + sum(value > self.found for value in self.random)

    @property
    def improvement(self) -> float | None:
        """Relative improvement (found - mean) / mean over random networks (Yang et al., arXiv 1912.12522); None if their mean is 0."""
        return (self.found - self.mean) / self.mean if self.mean else None

    @property
    def improvement_deviation(self) -> float | None:
        """The random networks' own deviation in the same unit."""
        return self.deviation / self.mean if self.mean else None

    @property
    def p(self) -> float:
        """Probability of a rank at least as good if the found network were a random one, whatever their distribution."""
        return (1 + sum(value >= self.found for value in self.random)) / (len(self.random) + 1)

    @property
    def smallest_p(self) -> float:
        """What so few random networks allow."""
        return 1 / (len(self.random) + 1)

    def to_json(self) -> dict[str, Any]:
        return {
            "found": self.found,
            "random_mean": self.mean,
            "random_deviation": self.deviation,
            "random_best": max(self.random),
            "rank": self.rank,
            "of": len(self.random) + 1,
            "relative_improvement": self.improvement,
            "relative_improvement_deviation": self.improvement_deviation,
            "p": self.p,
            "smallest_p": self.smallest_p,
        }
