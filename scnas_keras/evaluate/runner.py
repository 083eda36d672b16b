"""From two folders to what is told of them."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence

from scnas_keras.errors import ConfigError, DataError, missing
from scnas_keras.evaluate import comparing
from scnas_keras.evaluate.config import EvaluateConfig
from scnas_keras.evaluate.inputs import Labels, find_labels, find_predictions, is_run, pairs, parse_unions
from scnas_keras.evaluate.report import Evaluation, Results
from scnas_keras.files import check_writable, readable_json, user_path, write_text
from scnas_keras.formats.geometry import MILLIMETRES, canonical_spacing, length_unit
from scnas_keras.formats.volumes import read_header
from scnas_keras.machine.workers import map_cases
from scnas_keras.reporting.evaluation_figure import draw_evaluation
from scnas_keras.tasks.cases import Case


def run_evaluation(config: EvaluateConfig) -> Evaluation:
    """Compares all cases and writes FILE.json, FILE.csv and FILE.png.

    Raises:
        ConfigError: a flag is missing or wrong, or cases lack a label or a segmentation; nothing is compared then.
        DataError: files can't be read, lie elsewhere or hold other values than classes.
        OutputError: the result can't be written.
    """
    if absent := [f"--{name}" for name in ("predictions", "labels", "output") if not getattr(config, name)]:
        raise missing(absent)
    output = user_path(config.output or "")
    if output.suffix.lower() != ".json":
        raise ConfigError(f"--output={config.output}: let the name end in .json.")
    predictions, labels = find_predictions("predictions", config.predictions or ""), find_labels(config.labels or "")
    cases = pairs(predictions, labels.files, config.subset or is_run(config.predictions or ""))
    readers = []
    if config.second_reader:
        second = find_predictions("second_reader", config.second_reader)
        readers = pairs(second, {case.name: case.label_file for case in cases}, subset=True)
    check_writable(output)
    structures = parse_unions(config.unions, _classes(labels, [*cases, *readers], config.processes))
    results = _compare(cases, labels, structures, config, "Comparing")
    second_results = _compare(readers, labels, structures, config, "Comparing the second reader") if readers else None
    unit = length_unit(canonical_spacing(read_header(case.label_file).affine) for case in cases)
    if unit != MILLIMETRES:
        results, second_results = _without_volumes(results), second_results and _without_volumes(second_results)
    evaluation = Evaluation(
        config.predictions or "", config.labels or "", config.tolerance_mm, tuple(structures), results, second_results, unit
    )
    write_text(output, readable_json(evaluation.to_json()))
    write_text(output.with_suffix(".csv"), evaluation.csv)
    draw_evaluation(results, tuple(structures), output.with_suffix(".png"), unit)
    return evaluation


def _classes(labels: Labels, cases: Sequence[Case], processes: int | None) -> dict[int, str]:
    """Value -> name of the foreground classes: the dataset's, or those that are found, named by their values."""
    if labels.task is not None:
        return {value: name for value, name in labels.task.labels.items() if value}
    unique = {case.images + (case.label_file,): case for case in cases}
    named = [Case(str(number), case.images, case.label) for number, case in enumerate(unique.values())]
    in_labels, in_segmentations = (
        set().union(*own) for own in zip(*map_cases(comparing.values_in, named, "Reading", _memory(named), processes))
    )
    if len(in_labels) == len(in_segmentations) == 1 and in_labels != in_segmentations and {1} in (in_labels, in_segmentations):
        raise DataError(
            f"The labels hold 0 and {min(in_labels)}, the segmentations 0 and {min(in_segmentations)}: no class in common. Name the "
            "dataset's folder as --labels, by which values are read as for training, or renumber one of them."
        )
    return {value: str(value) for value in sorted(in_labels | in_segmentations)}


def _compare(cases: Sequence[Case], labels: Labels, structures: Mapping[str, Sequence[int]], config: EvaluateConfig, title: str) -> Results:
    work = functools.partial(comparing.compare, task=labels.task, structures=structures, tolerance=config.tolerance_mm)
    found = map_cases(work, cases, title, _memory(cases), config.processes)
    return {case.name: own for case, own in zip(cases, found)}


def _without_volumes(results: Results) -> Results:
    """Of pictures that don't tell the size of their pixels, and so no volumes."""
    none = {"reference_ml": None, "predicted_ml": None}
    return {case: {name: dataclasses.replace(own, **none) for name, own in structures.items()} for case, structures in results.items()}


def _memory(cases: Sequence[Case]) -> int:
    return comparing.BYTES_PER_VOXEL * max(map(comparing.voxels, cases))
