"""What the folder of a trained network tells of it: how it was trained, and how good it was."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

from scnas_keras.documents import parse
from scnas_keras.metrics.case_table import nsd_cases, read_case_table, read_surface_table
from scnas_keras.runs.run_folder import CASES, SUMMARY, SURFACES

_REMEDY = "Restore it from a copy, or name another folder."
_SELECTED = "select.json"


@dataclasses.dataclass(frozen=True)
class Found:
    """Of a run's folder, or of the final that a selection kept.

    Attributes:
        folder: of the training run; None where only the model's files are.
        summary: its summary.json; empty without one.
        dice, nsd, hd95: case -> class -> value, over the scans that judged it.
        verdict: the sentence of a selection.
    """

    folder: pathlib.Path | None = None
    summary: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    dice: Mapping[str, Mapping[str, float]] = dataclasses.field(default_factory=dict)
    nsd: Mapping[str, Mapping[str, float]] = dataclasses.field(default_factory=dict)
    hd95: Mapping[str, Mapping[str, float]] = dataclasses.field(default_factory=dict)
    verdict: str | None = None


def find(folder: pathlib.Path) -> Found:
    """Reads what there is.

    Raises:
        DataError, ConfigError: a file is damaged.
    """
    verdict = None
    if (folder / _SELECTED).is_file():
        selected = parse(folder / _SELECTED, _REMEDY)
        contest = selected.get("contest") or {}
        verdict = contest.get("text")
        folder = folder / "finals" / str(selected.get("kept"))
    if not (folder / SUMMARY).is_file():
        return Found(verdict=verdict)
    summary = parse(folder / SUMMARY, _REMEDY)
    dice = read_case_table(folder / CASES, _REMEDY) if (folder / CASES).is_file() else {}
    surfaces = read_surface_table(folder / SURFACES, _REMEDY)
    hd95 = {case: {name: one.hd95 for name, one in classes.items() if one.hd95 is not None} for case, classes in surfaces.items()}
    return Found(folder, summary, dice, nsd_cases(surfaces), hd95, verdict)
