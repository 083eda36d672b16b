"""What was measured of every case and class as CSV, as training runs leave it."""

import csv
import dataclasses
import io
import math
import pathlib
from collections.abc import Mapping, Sequence

from scnas_keras.errors import ConfigError
from scnas_keras.files import write_text
from scnas_keras.metrics.structure import Surfaces


def write_case_table(path: pathlib.Path, dice: Mapping[str, Sequence[float]], classes: Sequence[str]) -> None:
    """A line a case, with its Dice of each class; nan where a class is in neither label nor segmentation."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["case", *classes])
    writer.writerows([name, *(f"{value:.6f}" for value in values)] for name, values in dice.items())
    write_text(path, stream.getvalue())


def read_case_table(path: pathlib.Path, remedy: str) -> dict[str, dict[str, float]]:
    """Case -> class -> Dice; a class that is in neither label nor segmentation is left out.

    Args:
        path: of the file.
        remedy: last sentence of a message.

    Raises:
        ConfigError: the file is damaged.
    """
    try:
        with open(path, newline="", encoding="utf-8") as stream:
            rows = {row.pop("case"): {name: float(value) for name, value in row.items()} for row in csv.DictReader(stream)}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path}: damaged ({type(error).__name__}: {error}). {remedy}") from error
    return {case: {name: value for name, value in row.items() if not math.isnan(value)} for case, row in rows.items()}


def write_surface_table(path: pathlib.Path, surfaces: Mapping[str, Mapping[str, Surfaces]]) -> None:
    """A line a case and class: case, class, nsd, and in mm hd95 and assd; empty where they aren't defined."""
    stream = io.StringIO()
    names = [field.name for field in dataclasses.fields(Surfaces)]
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["case", "class", *names])
    for case, classes in surfaces.items():
        for name, found in classes.items():
            writer.writerow([case, name, *("" if value is None else f"{value:.6f}" for value in dataclasses.astuple(found))])
    write_text(path, stream.getvalue())


def read_surface_table(path: pathlib.Path, remedy: str) -> dict[str, dict[str, Surfaces]]:
    """Case -> class -> what `write_surface_table` wrote; nothing if there is no file, as a training run need not measure surfaces.

    Raises:
        ConfigError: the file is damaged.
    """
    found: dict[str, dict[str, Surfaces]] = {}
    if not path.is_file():
        return found
    try:
        with open(path, newline="", encoding="utf-8") as stream:
            for row in csv.DictReader(stream):
                case, name = row.pop("case"), row.pop("class")
                found.setdefault(case, {})[name] = Surfaces(**{key: float(value) if value else None for key, value in row.items()})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path}: damaged ({type(error).__name__}: {error}). {remedy}") from error
    return found


def of_measure(surfaces: Mapping[str, Mapping[str, Surfaces]], measure: str) -> dict[str, dict[str, float]]:
    """Case -> class -> "nsd" or "hd95", without classes in which it isn't defined: as `read_case_table` gives Dice."""
    found = {case: {name: getattr(own, measure) for name, own in classes.items()} for case, classes in surfaces.items()}
    return {case: {name: value for name, value in classes.items() if value is not None} for case, classes in found.items()}


def class_mean(surfaces: Mapping[str, Mapping[str, Surfaces]], name: str, measure: str) -> float | None:
    """The mean of a measure over the cases in which it is defined for a class; None if there is none."""
    values = [getattr(classes[name], measure) for classes in surfaces.values() if name in classes]
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else None


def surface_titles(tolerances: Sequence[float], unit: str) -> tuple[str, str]:
    """Headings of NSD, at the distances up to which surfaces count as equal, and HD95."""
    return f"NSD at {', '.join(f'{one:g}' for one in tolerances)} {unit}", f"HD95 {unit}"


def surface_columns(classes: Sequence[str], unit: str) -> list[str]:
    """Headings of what `surface_cells` gives, with the unit of distances."""
    return [f"{name} {title}" for title in ("NSD", f"HD95 {unit}") for name in classes]


def surface_cells(surfaces: Mapping[str, Surfaces], classes: Sequence[str]) -> list[str]:
    """NSD of each class of a case, then HD95; empty where it isn't defined or wasn't measured."""
    values = [getattr(surfaces[name], measure) if name in surfaces else None for measure in ("nsd", "hd95") for name in classes]
    return ["" if value is None else f"{value:.6f}" for value in values]
