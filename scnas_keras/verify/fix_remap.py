"""--fix=remap: label values become consecutive whole numbers, in the files and in dataset.json."""

import functools
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from scnas_keras.checks.scan import memory, read_headers, stored_label
from scnas_keras.checks.voxels import value_counts
from scnas_keras.documents import parse
from scnas_keras.errors import ConfigError, DataError
from scnas_keras.files import write_text
from scnas_keras.formats.volumes import write_label
from scnas_keras.machine.workers import map_cases
from scnas_keras.tasks.cases import Case
from scnas_keras.tasks.labels import IGNORE, label_pairs
from scnas_keras.tasks.loading import load_task
from scnas_keras.tasks.spellings import usual
from scnas_keras.verify.fixed_copy import check_fixable, fixed_copy

ROUNDING = 0.01


def remap_labels(source: Path, target: Path, processes: int | None = None) -> str:
    """Writes a copy of a dataset with consecutive label values.

    Values within 0.01 of whole numbers are rounded, gaps in the declared values closed. Values that dataset.json
    doesn't declare are taken for the declared classes, in rising order, only where there are as many.

    Args:
        source: the dataset's folder, which isn't changed.
        target: the copy's folder, which must not exist.
        processes: number of workers; by default as many as cores and free memory allow.

    Returns:
        A sentence that says what was done.

    Raises:
        ConfigError: nothing is to be fixed, or `target` can't be used.
        DataError: what values mean can't be told; nothing is written.
    """
    file = source / "dataset.json"
    check_fixable(source, ())
    content = usual(parse(file))
    declared = _declared(file, content.get("labels") if isinstance(content, dict) else None)
    order = [value for _, value in sorted(declared, key=lambda pair: (pair[0] == IGNORE, pair[1]))]
    consecutive = {value: index for index, value in enumerate(order)}
    with fixed_copy(source, target) as folder:
        labels = content["labels"]
        content["labels"] = _renumbered(labels, declared, consecutive)
        write_text(folder / "dataset.json", json.dumps(content, indent=2) + "\n")
        task = load_task(folder)
        check_fixable(folder, task.cases)
        bytes_per_case = memory([read_headers(case, task) for case in task.cases])
        values = map_cases(_stored_values, task.cases, "Reading labels", bytes_per_case, processes)
        mapping = remapping(order, sorted({round(value) for found in values for value in found}), file)
        changing = [case for case, found in zip(task.cases, values) if any(mapping[round(value)] != value for value in found)]
        if not changing and content["labels"] == labels:
            raise ConfigError(f"--fix=remap: all labels of {source} have consecutive whole numbers; there is nothing to fix.")
        work = functools.partial(_rewrite, mapping=mapping)
        map_cases(work, changing, "Fixing labels", bytes_per_case, processes)
    changes = ", ".join(f"{value} -> {index}" for value, index in mapping.items() if value != index) or ("rounded" if changing else "none")
    return f"{target}: copy of {source} with other values ({changes}) in {len(changing)} of {len(task.cases)} labels"


def remapping(declared: Sequence[int], found: Sequence[int], file: Path) -> dict[int, int]:
    """Value in the label files -> consecutive value.

    Args:
        declared: values that dataset.json declares, 0 first, the value of what isn't annotated last, else in rising order.
        found: values that the label files hold, in rising order.
        file: dataset.json, for messages.

    Raises:
        DataError: there are undeclared values, and not as many values as classes, or the class of a declared one would
            change.
    """
    mapping = {value: index for index, value in enumerate(declared)}
    unknown = [value for value in found if value not in mapping]
    if not unknown:
        return mapping
    nonzero = [value for value in found if value != 0]
    guess = {0: 0} | {value: index for index, value in enumerate(nonzero, start=1)}
    changed = [value for value in nonzero if value in mapping and guess[value] != mapping[value]]
    if len(nonzero) != len(declared) - 1 or changed:
        raise DataError(
            f"{file}: declares the label values {_list(declared)}, but the files hold {_list(found)}; "
            f"which class is meant by {_list(unknown)} can't be told. Declare these values under "
            '"labels" in dataset.json and try again. Nothing was written.'
        )
    return guess


def _declared(file: Path, labels: object) -> list[tuple[str, int]]:
    """Names and values of what "labels" declares, by number (Decathlon) or by name (nnU-Net); the background too where it isn't named."""
    single = isinstance(labels, dict) and all(type(value) in (int, str) for value in labels.values())
    pairs = [(name, values[0]) for name, values in label_pairs(labels)] if single else []
    found = [value for _, value in pairs]
    if not found or len(set(found)) < len(found) or min(found) < 0:
        raise DataError(
            f'{file}: --fix=remap needs "labels" that name single values of 0 or more, each once, for example '
            f'{{"0": "background", "255": "tumour"}}; found {json.dumps(labels)}. Correct them and try again.'
        )
    return pairs if 0 in found else [("background", 0), *pairs]


def _renumbered(labels: dict, declared: Sequence[tuple[str, int]], mapping: dict[int, int]) -> dict:
    if all(isinstance(value, int) for value in labels.values()):
        return {name: mapping[value] for name, value in declared}
    return {str(mapping[value]): name for name, value in declared}


def _stored_values(case: Case) -> tuple[float, ...]:
    """The values in a label file, before rounding."""
    values, counts = value_counts(stored_label(case.label)[0])
    with np.errstate(invalid="ignore"):
        off = ~(np.abs(values - np.round(values)) <= ROUNDING)  # also NaN and infinite ones
    if off.any():
        raise DataError(
            f"{case.label.name}: {counts[off].sum()} voxels are farther than {ROUNDING} from whole "
            f"numbers, for example {values[off][0]:g}. If it was resampled with interpolation, do that "
            "again with nearest-neighbour; otherwise export it again."
        )
    return tuple(values.tolist())


def _rewrite(case: Case, mapping: dict[int, int]) -> None:
    array, geometry = stored_label(case.label)
    rounded, result = np.round(array), np.zeros(array.shape, np.int32)
    for value, index in mapping.items():
        result[rounded == value] = index
    write_label(case.label, result, geometry)


def _list(values: Iterable[int]) -> str:
    shown = [str(value) for value in values]
    return ", ".join(shown[:20]) + (f" and {len(shown) - 20} more" if len(shown) > 20 else "")
