"""A cross-validation as text, JSON and CSV."""

import csv
import dataclasses
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from scnas_keras.crossval.beside import notes, published_of
from scnas_keras.crossval.costs import COSTS, cost_table, patch_of
from scnas_keras.crossval.published import Published
from scnas_keras.crossval.results import NetworkResult
from scnas_keras.formats.geometry import MILLIMETRES
from scnas_keras.metrics.case_table import surface_cells, surface_columns, surface_titles
from scnas_keras.metrics.paired import FEWEST_UNITS, PairedTest
from scnas_keras.reporting.text_table import table
from scnas_keras.tasks.holdout import Holdout
from scnas_keras.tasks.names import KFOLD

FEWEST_UPDATES = 200
"""A network with fewer is called not trained: steps at the start say little of where a training run ends."""


@dataclasses.dataclass(frozen=True)
class CrossvalReport:
    """All that a cross-validation says.

    Attributes:
        task: name of the task flag.
        num_folds: folds in all, or repeats.
        classes: foreground classes.
        networks: with their finished folds.
        tests: of every two networks.
        unit: what a test counts, "case" or "patient".
        holdout: of which the folds are the repeats; None for folds.
    """

    task: str
    num_folds: int
    classes: tuple[str, ...]
    networks: tuple[NetworkResult, ...]
    tests: tuple[PairedTest, ...]
    unit: str
    holdout: Holdout | None = None

    @property
    def protocol(self) -> str:
        """How cases were split, in words."""
        return self.holdout.words if self.holdout else f"{self.num_folds} folds"

    @property
    def dataset(self) -> str:
        """What the data call themselves; several share the task flag custom."""
        return next((fold.cost["task"] for network in self.networks for fold in network.folds if "task" in fold.cost), self.task)

    @property
    def text(self) -> str:
        """For people."""
        finished, published = [network for network in self.networks if network.folds], published_of(self.task, len(self.classes))
        lines = [*self._title(finished), *self._warnings(finished), ""]
        measured = [fold.cost for network in finished for fold in network.folds if "tolerance_mm" in fold.cost]
        titles = surface_titles(sorted({one["tolerance_mm"] for one in measured}), self.length_unit) if measured else ()
        rows = [
            ("", *self.classes, "average", "MIoU", f"± {self._part}s", f"{self._part}s", *titles),
            *((*self._dice_row(network), *self._surface_cells(network)[: len(titles)]) for network in finished),
            *((*_published_row(row), *[""] * len(titles)) for row in published),
        ]
        lines += [*table(rows), *notes(published, self._number_of_cases, self.protocol), "", *cost_table(finished, published)]
        if self.tests:
            lines += ["", f"paired by {self.unit}, Wilcoxon signed-rank test, p corrected for {len(self.tests)} pairs (Holm):"]
            lines += table([("", "difference", "better", "worse", "p", "")] + [self._test_row(test) for test in self.tests])
        for network in self.networks:
            if network.missing:
                lines += [f"{network.name}: {self._part} {', '.join(map(str, network.missing))} not there yet"]
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "task": self.task,
            "protocol": str(self.holdout or KFOLD),
            "num_folds": self.num_folds,
            "classes": self.classes,
            "length_unit": self.length_unit,
            "networks": {network.name: self._network_json(network) for network in self.networks},
            "paired_tests": [dataclasses.asdict(test) for test in self.tests],
            "unit": self.unit,
        }

    def cases_csv(self, patients: Mapping[str, str]) -> str:
        """A line for each case of each network: Dice of each class, then NSD and HD95 of each."""
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["network", "fold", "case", "patient", *self.classes, *surface_columns(self.classes, self.length_unit)])
        for network in self.networks:
            for fold in network.folds:
                for case, dice in fold.dice.items():
                    values = (f"{dice[name]:.6f}" if name in dice else "" for name in self.classes)
                    more = surface_cells(fold.surfaces.get(case, {}), self.classes)
                    writer.writerow([network.name, fold.fold, case, patients.get(case, case), *values, *more])
        return stream.getvalue()

    @property
    def length_unit(self) -> str:
        """Of distances, by the runs that measured some: all are of the same data."""
        costs = [fold.cost for network in self.networks for fold in network.folds]
        return next((cost["length_unit"] for cost in costs if "length_unit" in cost), MILLIMETRES)

    @property
    def _part(self) -> str:
        return "repeat" if self.holdout else "fold"

    @property
    def _number_of_cases(self) -> int | None:
        """Of the task, trained on or not; None of training runs that didn't tell on how many they trained."""
        folds = [fold for network in self.networks for fold in network.folds]
        return max((fold.cost["training_scans"] + len(fold.dice) for fold in folds if fold.cost.get("training_scans")), default=None)

    @property
    def _untrained(self) -> dict[str, float]:
        """Networks of which a run had fewer than `FEWEST_UPDATES`, with how many."""
        updates = {network.name: [fold.cost["updates"] for fold in network.folds if fold.cost.get("updates")] for network in self.networks}
        return {name: min(own) for name, own in updates.items() if own and min(own) < FEWEST_UPDATES}

    def _title(self, finished: Sequence[NetworkResult]) -> list[str]:
        """What the table is of, and how a case counts that several folds validated."""
        times = Counter(case for _, case in {key for network in finished for key in network.measured()})
        several = sum(number > 1 for number in times.values())
        part = self._part
        lines = [
            f"{self.dataset}: Dice and MIoU over {len(times)} whole scans, mean of cases; ± is the deviation of the {part}s' average Dice"
        ]
        if several:
            lines += [
                f"{several} of them were validated in several {part}s: each counts once, by its mean over these, in averages and in tests.",
                f"As {part}s share cases, their deviation is no measure of how sure an average is.",
            ]
        return lines

    def _network_json(self, network: NetworkResult) -> dict[str, Any]:
        return {
            "dice": {name: network.class_mean(name) for name in self.classes},
            "average": network.average(self.classes),
            "miou": network.miou,
            "nsd": {name: network.class_mean(name, "nsd") for name in self.classes},
            "hd95_mm": {name: network.class_mean(name, "hd95") for name in self.classes},
            "fold_averages": network.fold_averages(self.classes),
            "spread": network.spread(self.classes),
            "missing_folds": network.missing,
            "patch_size": patch_of(network),
            "cost": {name: network.cost(name) for name in COSTS},
        }

    def _dice_row(self, network: NetworkResult) -> tuple[str, ...]:
        means = [_text(network.class_mean(name)) for name in self.classes]
        return (
            network.name,
            *means,
            _text(network.average(self.classes)),
            _text(network.miou),
            _text(network.spread(self.classes)),
            f"{len(network.folds)} of {self.num_folds}",
        )

    def _surface_cells(self, network: NetworkResult) -> tuple[str, str]:
        hd95 = network.average(self.classes, "hd95")
        return _text(network.average(self.classes, "nsd")), "-" if hd95 is None else f"{hd95:.2f}"

    def _test_row(self, test: PairedTest) -> tuple[str, ...]:
        verdict = "differ" if test.differs else "not distinguishable"
        if {test.first, test.second} & {*self._untrained}:
            verdict += ", not trained"
        if test.units < FEWEST_UNITS:
            verdict = f"too few to tell ({test.units} in common)"
        return (
            f"{test.first} - {test.second}",
            f"{test.difference:+.4f}",
            str(test.better),
            str(test.worse),
            f"{test.corrected:.2g}",
            verdict,
        )

    def _warnings(self, finished: Sequence[NetworkResult]) -> list[str]:
        """What stands against reading the averages side by side."""
        few = [f"{name} ({updates:.0f})" for name, updates in self._untrained.items()]
        lines = [f"not trained, with fewer than {FEWEST_UPDATES} updates: {', '.join(few)}. Their Dice says little of them."] if few else []
        folds = {network.name: tuple(fold.fold for fold in network.folds) for network in finished}
        if len({*folds.values()}) > 1:
            lines += [f"Averages are over different {self._part}s: compare the paired differences, which are over the cases in common."]
        return lines


def _published_row(row: Published) -> tuple[str, ...]:
    return f"paper: {row.network}", *map(_text, row.dice), _text(row.average), "" if row.miou is None else _text(row.miou), "", ""


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
