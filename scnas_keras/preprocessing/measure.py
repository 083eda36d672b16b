"""Measures the fingerprint of a task: one pass over its voxels, kept per case so that only changed cases are read again."""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from scnas_keras.checks.preparation import check_voxels
from scnas_keras.errors import DataError, counted
from scnas_keras.files import write_text
from scnas_keras.formats.volumes import read_header
from scnas_keras.machine.workers import map_cases
from scnas_keras.preprocessing.cache_folder import check_readable, check_writable, open_folder
from scnas_keras.preprocessing.contents import changed, contents, digest, read_contents
from scnas_keras.preprocessing.cropping import crop_to_nonzero
from scnas_keras.preprocessing.fingerprint import Fingerprint, Intensities
from scnas_keras.preprocessing.sketch import Sketch, merge, sketch
from scnas_keras.tasks.cases import Case, Task
from scnas_keras.tasks.loading import load_image, load_label

FORMAT = 2
FINGERPRINTS = "fingerprints"
"""The folder of the cache that holds what was measured of each case."""
_BYTES_PER_VALUE = 12


@dataclasses.dataclass(frozen=True)
class CaseMeasure:
    """One case: spacing in mm and size in voxels after cropping, along x, y, z; cropped part of the volume; intensities per channel."""

    spacing: tuple[float, ...]
    shape: tuple[int, ...]
    relative_size: float
    intensities: tuple[Sketch | None, ...]


def measure_task(task: Task, cache_dir: str | Path, processes: int | None = None, progress: bool = True) -> Fingerprint:
    """The fingerprint of a task, from all of its labelled cases.

    Args:
        task: a task that passed `verify_headers`.
        cache_dir: where the measures of cases are kept.
        processes: number of workers; by default as many as CPU and free memory allow.
        progress: whether to show a progress bar on stderr while there is something to do.

    Raises:
        OutputError: a folder that can't be made.
        ConfigError: the cache can't be read, or can't be written and cases are to be measured.
        DataError: a case can't be read, its voxels are such that `verify` has errors, or no case has a labelled voxel.
    """
    folder = Path(cache_dir) / FINGERPRINTS
    open_folder(cache_dir, folder)
    known = {name: digest(found) for name, found in read_contents(task.cases, cache_dir).items()}
    files = [_file(folder, case, task, known) for case in task.cases]
    check_readable(cache_dir, files)
    todo = [case for case, file in zip(task.cases, files) if not file.is_file()]
    if todo:
        check_writable(cache_dir, folder, f"{counted(len(todo), 'case')} must be measured")
        work = functools.partial(_measure_to_file, task=dataclasses.replace(task, cases=(), test_cases=()), folder=folder, known=known)
        map_cases(work, todo, f"Measuring {task.name}", _memory(todo, task), processes, progress)
    spacings, shapes, relative_sizes = [], [], []
    totals: list[Sketch | None] = [None] * len(task.channel_names)
    for file in files:  # one case's sketches at a time, so that memory doesn't grow with the cases
        measure = _load(file)
        spacings.append(measure.spacing)
        shapes.append(measure.shape)
        relative_sizes.append(measure.relative_size)
        totals = [merge([found for found in pair if found]) if any(pair) else None for pair in zip(totals, measure.intensities)]
    return Fingerprint(
        name=task.name,
        channel_names=task.channel_names,
        labels=named_labels(task),
        num_training=len(task.cases),
        spacings=tuple(spacings),
        shapes=tuple(shapes),
        relative_size=float(np.median(relative_sizes)),
        intensities=tuple(_summary(task, name, total) for name, total in zip(task.channel_names, totals)),
        cases=tuple(case.name for case in task.cases),
    )


def measure_case(case: Case, task: Task) -> CaseMeasure:
    """Reads and measures one case; DataError for what no training run could use, as `verify` tells it."""
    volume, label = load_image(task, case), load_label(task, case)
    check_voxels(case, volume.array, label, task)
    crop = crop_to_nonzero(volume.array, volume.spacing)
    labelled = label > 0
    if task.ignore_label is not None:
        labelled &= label != task.ignore_label
    channels = [volume.array[..., channel][labelled] for channel in range(volume.array.shape[3])]
    return CaseMeasure(volume.spacing, crop.size, float(np.prod(crop.size) / np.prod(crop.shape)), tuple(map(sketch, channels)))


def _measure_to_file(case: Case, task: Task, folder: Path, known: Mapping[str, str]) -> None:
    measure = dataclasses.asdict(measure_case(case, task))
    if digest(contents(case, folder.parent)) != known[case.name]:
        raise DataError(changed(case))
    for found in filter(None, measure["intensities"]):
        found["bins"] = sorted(found["bins"].items())
    write_text(_file(folder, case, task, known), json.dumps(measure) + "\n")


def _file(folder: Path, case: Case, task: Task, known: Mapping[str, str]) -> Path:
    """Where a case's measure is kept; it depends on what labels and channels are declared as well."""
    declared = json.dumps([task.ignore_label, sorted(task.declared_values), task.is_ct])
    return folder / f"{known[case.name]}-{FORMAT}-{hashlib.sha256(declared.encode()).hexdigest()[:8]}.json"


def _load(file: Path) -> CaseMeasure:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        sketches = [found and Sketch(**(found | {"bins": dict(map(tuple, found["bins"]))})) for found in content["intensities"]]
        return CaseMeasure(tuple(content["spacing"]), tuple(content["shape"]), content["relative_size"], tuple(sketches))
    except (OSError, ValueError, KeyError, TypeError) as error:
        remedy = "Delete it and start again, or choose another folder with --cache_dir=DIR."
        raise DataError(f"{file}: damaged or gone ({error!r}). {remedy}") from error


def _summary(task: Task, channel: str, total: Sketch | None) -> Intensities:
    if total is None:
        raise DataError(
            f"{task.root}: no case has a labelled voxel with a finite value in channel {channel}. "
            "Check images and labels with: scnas verify"
        )
    low, median, high = total.quantiles((0.005, 0.5, 0.995))
    return Intensities(total.high, total.mean, median, total.low, low, high, total.std)


def named_labels(task: Task) -> dict[str, int | tuple[int, ...]]:
    """Class names to values, in the terms of nnU-Net's dataset.json."""
    if task.regions:
        named = {task.labels[0]: 0, **task.regions}
    else:
        named = {name: value for value, name in task.labels.items()}
    return named if task.ignore_label is None else named | {"ignore": task.ignore_label}


def _memory(cases: Sequence[Case], task: Task) -> int:
    """Bytes at the peak of measuring the largest of these cases."""
    headers = [read_header(case.images, task.channel_names, case.own_series) for case in cases]
    return max(int(np.prod(header.shape)) * (header.channels + 1) * _BYTES_PER_VALUE for header in headers)
