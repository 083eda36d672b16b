"""Whether two networks differ on the same cases."""

import dataclasses
import itertools
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import scipy

LEVEL = 0.05
FEWEST_UNITS = 6
"""With fewer, no outcome of a Wilcoxon test is significant at 5 %."""
Cases = Mapping[Any, Mapping[str, float]]
"""Case -> class -> Dice; a class that is in neither label nor segmentation is left out. Where a case was measured in several folds, its
key is (fold, case), and the map to patients says whose it is."""


@dataclasses.dataclass(frozen=True)
class PairedTest:
    """Two networks on the same units, which are patients, or cases where every case is a patient.

    Attributes:
        first, second: their names.
        units: how many.
        difference: mean of first - second, in Dice.
        better, worse: units on which the first has the greater, the smaller Dice.
        probability: two-sided, of so large differences or larger if none is to be expected (Wilcoxon signed-rank test).
        corrected: the same, corrected for the number of pairs (Holm).
    """

    first: str
    second: str
    units: int
    difference: float
    better: int
    worse: int
    probability: float
    corrected: float = 1.0

    @property
    def differs(self) -> bool:
        """Whether chance is an unlikely explanation."""
        return self.corrected < LEVEL


def aligned(networks: Sequence[Cases]) -> list[dict[Any, dict[str, float]]]:
    """The networks' Dice with a number where another one has it, in cases that both segmented.

    Where one network has a Dice of a class and another none, the label lacks the class and the first invented it (Dice 0): the other was
    right, and counts as 1. Else a false structure would count against nobody.
    """
    classes: dict[Any, set[str]] = {}
    for cases in networks:
        for case, dice in cases.items():
            classes.setdefault(case, set()).update(dice)
    return [{case: dict.fromkeys(classes[case], 1.0) | dice for case, dice in cases.items()} for cases in networks]


def paired_tests(networks: Mapping[str, Cases], patients: Mapping[Any, str]) -> list[PairedTest]:
    """Every pair of networks on the units that both have results of.

    Args:
        networks: name -> what is known of each network.
        patients: case -> patient, whose cases count as one unit: they aren't independent. A case of one network alone doesn't count.
    """
    tests = [_test(first, second, networks, patients) for first, second in itertools.combinations(networks, 2)]
    corrected = holm([test.probability for test in tests])
    return [dataclasses.replace(test, corrected=value) for test, value in zip(tests, corrected)]


def holm(probabilities: Sequence[float]) -> list[float]:
    """Holm's step-down correction: the chance of any false positive among all stays what each one's level says."""
    order = np.argsort(probabilities)
    scaled = [(len(order) - rank) * probabilities[index] for rank, index in enumerate(order)]
    result = [1.0] * len(order)
    for index, value in zip(order, np.maximum.accumulate(scaled) if scaled else ()):
        result[index] = min(1.0, float(value))
    return result


def mean_by_unit(cases: Cases, patients: Mapping[Any, str]) -> dict[str, float]:
    """Patient, or case where every case is a patient, -> mean over its cases of the mean over the classes that are there."""
    units: dict[str, list[float]] = {}
    for case, dice in cases.items():
        if dice:
            units.setdefault(patients.get(case, case), []).append(statistics.fmean(dice.values()))
    return {unit: statistics.fmean(values) for unit, values in units.items()}


def _test(first: str, second: str, networks: Mapping[str, Cases], patients: Mapping[Any, str]) -> PairedTest:
    shared = [case for case in networks[first] if case in networks[second]]
    both = aligned([{case: networks[name][case] for case in shared} for name in (first, second)])
    units = {name: mean_by_unit(cases, patients) for name, cases in zip((first, second), both)}
    common = sorted(units[first])
    differences = np.array([units[first][unit] - units[second][unit] for unit in common])
    different = np.count_nonzero(differences)
    result: Any = scipy.stats.wilcoxon(differences[differences != 0]) if different else None  # a type that scipy makes on the way
    probability = 1.0 if result is None else float(result.pvalue)
    return PairedTest(
        first,
        second,
        len(common),
        float(differences.mean()) if common else 0.0,
        int((differences > 0).sum()),
        int((differences < 0).sum()),
        probability,
    )
