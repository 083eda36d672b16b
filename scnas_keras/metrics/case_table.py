"""The Dice of every case and class as CSV, as training runs leave it."""

import csv
import io
import math
import pathlib
from collections.abc import Mapping, Sequence

from scnas_keras.errors import ConfigError
from scnas_keras.files import write_text


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
