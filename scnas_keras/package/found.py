"""What the folder of a trained network tells of it: how it was trained, and how good it was."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

from scnas_keras.documents import load
from scnas_keras.documents.ranges import Name
from scnas_keras.metrics.case_table import of_measure, read_case_table, read_surface_table
from scnas_keras.runs.run_folder import CASES, FINALS, SELECTED, SUMMARY, SURFACES

_REMEDY = "Restore it from a copy, or name another folder."


@dataclasses.dataclass(frozen=True)
class Found:
    """Of a run's folder, or of the final that a selection kept.

    Attributes:
        folder: of the training run; None where only the model's files are.
        summary: its summary.json; empty without one.
        dice, nsd, hd95: case -> class -> value, over the scans that judged it.
        verdict: what a selection concluded, in sentences.
    """

    folder: pathlib.Path | None = None
    summary: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    dice: Mapping[str, Mapping[str, float]] = dataclasses.field(default_factory=dict)
    nsd: Mapping[str, Mapping[str, float]] = dataclasses.field(default_factory=dict)
    hd95: Mapping[str, Mapping[str, float]] = dataclasses.field(default_factory=dict)
    verdict: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class _Selected:
    """What is read of select.json."""

    kept: Name
    conclusions: tuple[str, ...] = ()


def find(folder: pathlib.Path) -> Found:
    """Reads what there is.

    Raises:
        DataError, ConfigError: a file is damaged.
    """
    verdict: tuple[str, ...] = ()
    if (folder / SELECTED).is_file():
        selected = load(folder / SELECTED, _Selected, _REMEDY, other_keys=True)
        verdict = tuple(line for line in selected.conclusions if "scnas " not in line)  # without commands of that place
        folder = folder / FINALS / selected.kept
    if not (folder / SUMMARY).is_file():
        return Found(verdict=verdict)
    summary = load(folder / SUMMARY, dict[str, Any], _REMEDY)
    dice = read_case_table(folder / CASES, _REMEDY) if (folder / CASES).is_file() else {}
    surfaces = read_surface_table(folder / SURFACES, _REMEDY)
    return Found(folder, summary, dice, of_measure(surfaces, "nsd"), of_measure(surfaces, "hd95"), verdict)
