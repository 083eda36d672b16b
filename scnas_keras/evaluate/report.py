"""An evaluation as text, JSON and CSV."""

import csv
import dataclasses
import io
from collections.abc import Mapping
from typing import Any

from scnas_keras.formats.geometry import MILLIMETRES
from scnas_keras.metrics.structure import MEASURES, StructureMetrics
from scnas_keras.metrics.summary import Summary, summarize
from scnas_keras.reporting.text_table import table

Results = Mapping[str, Mapping[str, StructureMetrics]]
"""Case -> structure -> how well it was segmented."""
CONVENTIONS = {
    "in_neither": "a structure that neither label nor segmentation has doesn't count",
    "in_one": "Dice, Jaccard and NSD are 0 where only one of both has it; distances aren't defined there and don't count",
    "surfaces": "elements between voxels with their areas, as in DeepMind's surface-distance (arXiv 1809.04430)",
    "hd95_mm": "the greater of the two directions' 95th percentiles of distances",
    "assd_mm": "mean of the two directions' mean distances",
    "lesions": "connected components of 26 neighbours; found if one of its voxels was predicted",
    "interval": "95 % bootstrap interval of the mean over cases (percentiles, 9999 resamples)",
}
_DECIMALS = {"dice": 3, "nsd": 3, "hd95": 1, "assd": 2}


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """All that an evaluation says.

    Attributes:
        predictions, labels: folders, as given.
        tolerance_mm: of NSD.
        structures: classes, then unions.
        results: of the segmentations.
        second_reader: of a second person's labels, the same cases or some of them; None without.
        length_unit: of distances, "mm" or "pixels".
    """

    predictions: str
    labels: str
    tolerance_mm: float
    structures: tuple[str, ...]
    results: Results
    second_reader: Results | None = None
    length_unit: str = MILLIMETRES

    @property
    def text(self) -> str:
        """For people."""
        lines = self._table(self.results, f"{len(self.results)} cases")
        if self.second_reader is not None:
            lines += ["", *self._table(self.second_reader, f"second reader, {len(self.second_reader)} cases")]
        return "\n".join([*lines, "", *self._notes()])

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        document = {
            "predictions": self.predictions,
            "labels": self.labels,
            "tolerance_mm": self.tolerance_mm,
            "length_unit": self.length_unit,
            "conventions": CONVENTIONS,
            "summary": self._summary(self.results),
            "cases": _as_json(self.results),
        }
        if self.second_reader is not None:
            document["second_reader"] = {"summary": self._summary(self.second_reader), "cases": _as_json(self.second_reader)}
        return document

    @property
    def csv(self) -> str:
        """A line a case and structure; an empty field where a number isn't defined."""
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        columns = [field.name for field in dataclasses.fields(StructureMetrics)]
        writer.writerow(["reader", "case", "structure", *columns])
        for reader, results in (("segmentation", self.results), ("second_reader", self.second_reader or {})):
            for case, structures in results.items():
                for name, own in structures.items():
                    writer.writerow([reader, case, name, *(_field(getattr(own, column)) for column in columns)])
        return stream.getvalue()

    def _summary(self, results: Results) -> dict[str, Any]:
        return {
            name: {measure: dataclasses.asdict(_summary_of(results, name, measure)) for measure in MEASURES}
            | _lesions(results, name)
            | (_volumes(results, name) if self.length_unit == MILLIMETRES else {})
            for name in self.structures
        }

    def _table(self, results: Results, title: str) -> list[str]:
        unit = self.length_unit
        header = (title, "Dice", "low", "high", "median", "NSD", f"HD95 {unit}", f"ASSD {unit}", "lesions", "found", "invented")
        rows = []
        for name in self.structures:
            dice = _summary_of(results, name, "dice")
            others = [_number(_summary_of(results, name, measure).mean, _DECIMALS[measure]) for measure in ("nsd", "hd95", "assd")]
            lesions = _lesions(results, name)
            rows.append(
                (name, *(_number(value, 3) for value in (dice.mean, dice.low, dice.high, dice.median)), *others)
                + tuple(str(lesions[key]) for key in ("lesions", "lesions_found", "false_positives"))
            )
        return table([header, *rows])

    def _notes(self) -> list[str]:
        lines = [
            f"means over cases; low and high: 95 % bootstrap interval of the mean Dice; NSD at {self.tolerance_mm:g} {self.length_unit}"
        ]
        for name in self.structures:
            one_sided = sum(
                1 for structures in self.results.values() if structures[name].dice is not None and structures[name].hd95 is None
            )
            absent = sum(1 for structures in self.results.values() if structures[name].dice is None)
            if one_sided:
                lines.append(f"{name}: only label or segmentation has it in {one_sided}: Dice 0 there, no distance")
            if absent:
                lines.append(f"{name}: in neither label nor segmentation of {absent}, which don't count")
        return lines


def _summary_of(results: Results, name: str, measure: str) -> Summary:
    return summarize(getattr(structures[name], measure) for structures in results.values())


def _lesions(results: Results, name: str) -> dict[str, Any]:
    keys = ("lesions", "lesions_found", "false_positives")
    totals: dict[str, Any] = {key: sum(getattr(structures[name], key) for structures in results.values()) for key in keys}
    totals["lesion_sensitivity"] = totals["lesions_found"] / totals["lesions"] if totals["lesions"] else None
    totals["false_positives_per_case"] = totals["false_positives"] / len(results)
    return totals


def _volumes(results: Results, name: str) -> dict[str, Any]:
    differences = [structures[name].predicted_ml - structures[name].reference_ml for structures in results.values()]
    return {"volume_difference_ml": dataclasses.asdict(summarize(differences))}


def _as_json(results: Results) -> dict[str, Any]:
    return {case: {name: dataclasses.asdict(own) for name, own in structures.items()} for case, structures in results.items()}


def _field(value: float | int | None) -> str:
    return "" if value is None else str(value) if isinstance(value, int) else f"{value:.6g}"


def _number(value: float | None, decimals: int) -> str:
    return "-" if value is None else f"{value:.{decimals}f}"
