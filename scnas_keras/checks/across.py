"""What can only be told by comparing the labelled cases of a task with each other."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from scnas_keras.checks.findings import FEW_CASES, SPACING_FACTOR, Finding
from scnas_keras.checks.scan import Scan
from scnas_keras.errors import some_of, times
from scnas_keras.formats.endings import strip_ending
from scnas_keras.tasks.cases import Task
from scnas_keras.tasks.dataset_json import read_dataset
from scnas_keras.tasks.labels import IGNORE
from scnas_keras.tasks.nearest import CHANNEL
from scnas_keras.tasks.patients import group_by_patient, guess_pattern

BIG_FACTOR, BIG_BYTES = 4.0, 1 << 28
MIN_EXTENT = 2.0


def header_comparisons(scans: Sequence[Scan], task: Task) -> list[Finding]:
    """All that headers tell of the labelled cases together."""
    known = [scan for scan in scans if scan.grid]
    return [
        *_mixed_channels(known),
        *_orientations(known),
        *_spacing_outliers(known),
        *_missing_units(known),
        *_unit_spacings(known, task),
        *_big_scans(known),
        *_declared_counts(task),
        *_other_names(task),
        *_ignore_spellings(task),
    ]


def voxel_comparisons(scans: Sequence[Scan], task: Task, target: Sequence[float] | None) -> list[Finding]:
    """All that voxels tell of the labelled cases together. `target` is the spacing in mm they will be resampled to."""
    return [*_small_structures(scans, task, target), *_rare_classes(scans, task)]


def shared_patients(task: Task, pattern: str | None) -> list[Finding]:
    """Patients with several labelled cases, by `pattern` or one guessed from the names.

    Raises:
        ConfigError: the pattern is invalid or doesn't match all names.
    """
    names = [case.name for case in task.cases]
    pattern = pattern or guess_pattern(names)
    if pattern is None:
        return []
    return [
        Finding("shared_patient", cases[0], None, f"{patient}: {len(cases)} cases ({some_of(cases)}), by --group_pattern='{pattern}'")
        for patient, cases in group_by_patient(names, pattern).items()
        if len(cases) > 1
    ]


def median_spacing(scans: Sequence[Scan]) -> tuple[float, ...] | None:
    """The median of the spacings along each canonical axis, in mm; None if there's none."""
    spacings = [scan.grid.spacing for scan in scans if scan.grid]
    return tuple(np.median(spacings, axis=0).tolist()) if spacings else None


def spacing_factor(spacing: Sequence[float], other: Sequence[float]) -> float:
    """By what factor two spacings differ in the axis where they differ most."""
    ratio = np.asarray(spacing) / np.asarray(other)
    return float(np.maximum(ratio, 1 / ratio).max())


def millimetres(spacing: Sequence[float]) -> str:
    """A spacing for people: 0.7 x 0.7 x 1.25 mm."""
    return " x ".join(f"{step:.4g}" for step in spacing) + " mm"


def _mixed_channels(scans: Sequence[Scan]) -> list[Finding]:
    numbers = [scan.grid.channels for scan in scans]
    return [scan.finding("mixed_channels", f"{scan.grid.channels}; most cases have {usual}") for scan, usual in _unusual(scans, numbers)]


def _orientations(scans: Sequence[Scan]) -> list[Finding]:
    codes = [scan.grid.orientation for scan in scans]
    return [
        scan.finding("orientation", f"{scan.grid.orientation}; {codes.count(usual)} cases are {usual}")
        for scan, usual in _unusual(scans, codes)
    ]


def _unusual(scans: Sequence[Scan], values: Sequence[object]) -> Iterator[tuple[Scan, object]]:
    """The scans that don't have the most frequent value, each with that value."""
    for usual, _ in Counter(values).most_common(1):
        yield from ((scan, usual) for scan, value in zip(scans, values) if value != usual)


def _spacing_outliers(scans: Sequence[Scan]) -> list[Finding]:
    median = median_spacing(scans)
    return [
        scan.finding("spacing_outlier", f"{millimetres(scan.grid.spacing)}; the median is {millimetres(median)}")
        for scan in scans
        if spacing_factor(scan.grid.spacing, median) > SPACING_FACTOR
    ]


def _missing_units(scans: Sequence[Scan]) -> list[Finding]:
    without = [scan for scan in scans if not scan.grid.unit]
    if not without:
        return []
    return [Finding("no_unit", None, None, f"{len(without)} of {len(scans)} cases, for example {without[0].case.name}")]


def _unit_spacings(scans: Sequence[Scan], task: Task) -> list[Finding]:
    unit = [scan for scan in scans if scan.grid.spacing == (1.0, 1.0, 1.0)]
    if unit and len(unit) == len(scans) and any(task.is_ct):
        return [Finding("unit_spacing", None, None, f"all {len(unit)} cases; CT scans hardly ever have it")]
    if len(unit) >= len(scans) / 2:
        return []
    others = f"{len(scans) - len(unit)} of {len(scans)} cases have another spacing"
    return [scan.finding("unit_spacing", others) for scan in unit]


def _big_scans(scans: Sequence[Scan]) -> list[Finding]:
    sizes = [4 * scan.grid.voxels * scan.grid.channels for scan in scans]
    usual = float(np.median(sizes)) if sizes else 0
    return [
        scan.finding("big_scan", f"{times(scan.grid.shape)}, {size / usual:.1f} times the median; {size / 1e9:.1f} GB as float32")
        for scan, size in zip(scans, sizes)
        if size > max(BIG_FACTOR * usual, BIG_BYTES)
    ]


def _other_names(task: Task) -> list[Finding]:
    """Images whose name is that of another case: cases are called as their labels are."""
    names = {case.name for case in task.cases}
    crossed = []
    for case in task.cases:
        image = strip_ending(case.images[0].name)
        own = {image, CHANNEL.sub("", image)}
        if case.name not in own and own & names:
            crossed.append(case)
    if not crossed:
        return []
    first = crossed[0]
    detail = f"{len(crossed)} of {len(task.cases)} cases, for example {first.images[0].name} with {first.label.name}"
    return [Finding("other_name", None, task.root / "dataset.json", detail)]


def _ignore_spellings(task: Task) -> list[Finding]:
    return [
        Finding("ignore_spelling", None, task.root / "dataset.json", f'"{name}", the value {value}')
        for value, name in task.labels.items()
        if name.strip().casefold() == IGNORE
    ]


def _declared_counts(task: Task) -> list[Finding]:
    file = task.root / "dataset.json"
    if not file.is_file():
        return []
    content = read_dataset(file)
    counts = {"numTraining": (content.numTraining, len(task.cases)), "numTest": (content.numTest, len(task.test_cases))}
    return [
        Finding("declared_count", None, file, f"{key} is {declared}, but there are {count}")
        for key, (declared, count) in counts.items()
        if declared is not None and str(declared) != str(count)
    ]


def _small_structures(scans: Sequence[Scan], task: Task, target: Sequence[float] | None) -> list[Finding]:
    findings = []
    for scan in scans:
        for value, structure in (scan.structures or {}).items():
            axes = zip("xyz", structure.extent, target)
            sizes = ", ".join(
                f"{extent:.3g} mm along {axis} (target {step:.3g} mm)" for axis, extent, step in axes if extent < MIN_EXTENT * step
            )
            if sizes:
                findings.append(
                    Finding("small_structure", scan.case.name, scan.case.label, f"class {value} ({task.labels[value]}) measures {sizes}")
                )
    return findings


def _rare_classes(scans: Sequence[Scan], task: Task) -> list[Finding]:
    read = [scan for scan in scans if scan.structures is not None]
    owners = defaultdict(list)
    for scan in read:
        for value in scan.structures:
            owners[value].append(scan.case.name)
    findings = []
    for value, name in task.labels.items():
        cases = owners[value]
        if value == 0 or len(cases) >= min(FEW_CASES, len(read)):
            continue
        found = f"{len(cases)} of {len(read)} cases ({', '.join(cases)})" if cases else f"none of {len(read)} cases"
        key = "rare_class" if cases else "absent_class"
        findings.append(Finding(key, None, None, f"class {value} ({name}) is in {found}"))
    return findings
