"""What an assessment tells, as tables for people, JSON and CSV. Imports no framework."""

import csv
import dataclasses
import io
import statistics
from collections.abc import Sequence
from typing import Any

from scnas_keras.assess.genotypes import Agreement
from scnas_keras.assess.verdict import Evidence, verdict, verdict_of_runs
from scnas_keras.metrics.comparison import Comparison
from scnas_keras.progress import clock
from scnas_keras.reporting.text_table import table

FOUND, RANDOM, SAMPLED = "found", "random", "sampled"


@dataclasses.dataclass(frozen=True)
class NetworkRow:
    """One network of an assessment; a sampled one has no genotype, hence no cost."""

    name: str
    kind: str
    shared_dice: float
    shared_loss: float
    parameters: int | None = None
    multiply_adds: int | None = None


@dataclasses.dataclass(frozen=True)
class Report:
    """An assessed search.

    Attributes:
        run: its folder.
        relaxation, seed, epochs, seconds, judged_on, validation_dice, entropy: of the search; the Dice is of the part that it was judged
            on.
        patches: on which networks with shared weights were compared.
        networks: the found one first.
    """

    run: str
    relaxation: str
    seed: int
    epochs: int
    seconds: float
    judged_on: str
    validation_dice: float
    entropy: float
    patches: int
    networks: tuple[NetworkRow, ...]

    def of_kind(self, kind: str) -> list[NetworkRow]:
        return [row for row in self.networks if row.kind == kind]

    @property
    def evidence(self) -> Evidence:
        sampled = tuple(row.shared_dice for row in self.of_kind(SAMPLED))
        return Evidence(self.relaxation, self.epochs, self.entropy, sampled, self.shared)

    @property
    def shared(self) -> Comparison:
        """The found network against the random ones, with shared weights."""
        (found,) = self.of_kind(FOUND)
        return Comparison(found.shared_dice, self.of_random("shared_dice"))

    def of_random(self, column: str) -> tuple[float, ...]:
        """A column of the random networks that have it."""
        return tuple(value for row in self.of_kind(RANDOM) if (value := getattr(row, column)) is not None)

    @property
    def gap(self) -> dict[str, float]:
        """The discretisation gap in Dice and in loss; above zero, deriving made it worse."""
        (found,), sampled = self.of_kind(FOUND), self.of_kind(SAMPLED)
        dice, loss = [row.shared_dice for row in sampled], [row.shared_loss for row in sampled]
        return {
            "derived_dice": found.shared_dice,
            "sampled_dice": statistics.fmean(dice),
            "sampled_dice_deviation": statistics.stdev(dice),
            "dice": statistics.fmean(dice) - found.shared_dice,
            "derived_loss": found.shared_loss,
            "sampled_loss": statistics.fmean(loss),
            "sampled_loss_deviation": statistics.stdev(loss),
            "loss": found.shared_loss - statistics.fmean(loss),
        }

    def to_json(self) -> dict[str, Any]:
        evidence = self.evidence
        own = {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name != "networks"}
        return own | {
            "gap": self.gap,
            "shared_weights": evidence.shared.to_json(),
            "networks": [dataclasses.asdict(row) for row in self.networks],
            "verdict": verdict(evidence),
        }


def networks_csv(report: Report) -> str:
    """Every network of an assessment, a row each; empty where there is no value."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, [field.name for field in dataclasses.fields(NetworkRow)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(dataclasses.asdict(row) for row in report.networks)
    return stream.getvalue()


def report_text(report: Report) -> str:
    """An assessed search as a table, its last line the verdict."""
    evidence, gap = report.evidence, report.gap
    rows = [("Dice", "found", "random", "best random", "rank", "improvement", "p"), _comparison_row("shared weights", evidence.shared)]
    columns = [("parameters", "M parameters", 1e6), ("multiply_adds", "G multiply-adds", 1e9)]
    costs = [("Cost", "found", "random"), *(_cost_row(report, *column) for column in columns)]
    return "\n".join(
        [
            f"{report.run}: {report.relaxation}, seed {report.seed}, epochs {report.epochs} in {clock(report.seconds)}, "
            f"{report.judged_on.replace('_', '-')} Dice {report.validation_dice:.3f}, entropy {report.entropy:.3f}",
            *table(rows),
            "improvement: found over the mean of random, and the spread of random; p: of so good a rank if the found one were a random one",
            *table(costs),
            f"Discretisation gap on {report.patches} patches: {gap['dice']:+.3f} Dice (derived {gap['derived_dice']:.3f}, sampled "
            f"{gap['sampled_dice']:.3f} ± {gap['sampled_dice_deviation']:.3f}), {gap['loss']:+.3f} loss (derived "
            f"{gap['derived_loss']:.3f}, sampled {gap['sampled_loss']:.3f} ± {gap['sampled_loss_deviation']:.3f})",
            verdict(evidence),
        ]
    )


def runs_text(reports: Sequence[Report], agreements: Sequence[tuple[str, str, Agreement]]) -> str:
    """Several searches in one table, the agreement of every pair, and the verdict on that."""
    rows = [("run", "relaxation", "seed", "epochs", "time", "Dice", "entropy", "gap", "improvement")]
    for report in reports:
        evidence = report.evidence
        rows.append(
            (
                report.run,
                report.relaxation,
                str(report.seed),
                str(report.epochs),
                clock(report.seconds),
                f"{report.validation_dice:.3f}",
                f"{report.entropy:.3f}",
                f"{report.gap['dice']:+.3f}",
                _improvement(evidence.shared),
            )
        )
    pairs = [("same on edges", "", "operation", "by chance", "group", "by chance")]
    for first, second, pair in agreements:
        shares = (pair.operations, pair.chance_operations, pair.groups, pair.chance_groups)
        pairs.append((first, second, *(f"{share:.0%}" for share in shares)))
    return "\n".join([*table(rows), *table(pairs), verdict_of_runs([pair for *_, pair in agreements])])


def _comparison_row(title: str, comparison: Comparison) -> tuple[str, ...]:
    return (
        title,
        f"{comparison.found:.3f}",
        f"{comparison.mean:.3f} ± {comparison.deviation:.3f}",
        f"{max(comparison.random):.3f}",
        f"{comparison.rank} of {len(comparison.random) + 1}",
        _improvement(comparison),
        f"{comparison.p:.2f}",
    )


def _cost_row(report: Report, column: str, unit: str, scale: float) -> tuple[str, ...]:
    (found,), random = report.of_kind(FOUND), [value / scale for value in report.of_random(column)]
    return unit, f"{getattr(found, column) / scale:.3g}", f"{statistics.fmean(random):.3g} ± {statistics.stdev(random):.2g}"


def _improvement(comparison: Comparison) -> str:
    if comparison.improvement is None:
        return "?"
    return f"{comparison.improvement:+.1%} ± {comparison.improvement_deviation:.1%}"
