"""What the commands that train need of a dataset beside sound files: cases for every part of a fold, classes in them, a plan."""

from collections.abc import Sequence

from scnas_keras.architectures.registry import footprint
from scnas_keras.checks.findings import Finding
from scnas_keras.checks.grids import Grid
from scnas_keras.checks.scan import Scan
from scnas_keras.errors import UserError, some_of
from scnas_keras.planning.planner import Wishes, make_plans
from scnas_keras.preprocessing.fingerprint import Fingerprint, Intensities
from scnas_keras.preprocessing.measure import named_labels
from scnas_keras.tasks.cases import Task
from scnas_keras.tasks.patients import group_by_patient
from scnas_keras.tasks.splits import FEWEST, FOLDS, make_splits, split_fold


def needs(task: Task, scans: Sequence[Scan], spacing: Sequence[float] | None, pattern: str | None) -> list[Finding]:
    """What would stop the commands with their default flags.

    Args:
        task: the task.
        scans: its labelled cases, read.
        spacing: mm that scans will be resampled to, or None.
        pattern: tells the patient by a case's name, or None.
    """
    return [*_regions(task), *_folds(task, scans, pattern), *_plan(task, scans, spacing)]


def _regions(task: Task) -> list[Finding]:
    return [Finding("regions", None, None, f"the regions {', '.join(task.regions)}")] if task.regions else []


def _folds(task: Task, scans: Sequence[Scan], pattern: str | None) -> list[Finding]:
    names = [case.name for case in task.cases]
    groups = group_by_patient(names, pattern)
    what = f"{len(names)} labelled case{'s' * (len(names) != 1)}" + (f" of {len(groups)} patients" if pattern else "")
    if len(groups) < FEWEST:
        return [Finding("too_few_cases", None, None, what)]
    classes = {scan.case.name: bool(scan.structures) for scan in scans if scan.structures is not None}
    if len(classes) == len(names) and not any(classes.values()):
        return [Finding("no_class", None, None, f"none of {len(names)} cases has any class")]
    found = [Finding("few_cases", None, None, f"{what}; --num_folds={len(groups)}")] if len(groups) < FOLDS else []
    folds = make_splits(names, min(FOLDS, len(groups)), groups=groups)
    for number in range(len(folds)):
        split = split_fold(folds, number, groups=groups)
        trained = sorted((*split.train, *split.held_out))
        if not any(classes.get(name, True) for name in trained):
            detail = f"fold {number} trains on {len(trained)} such cases: {some_of(trained)}"
            found.append(Finding("fold_without_class", None, None, detail))
    return found


def _plan(task: Task, scans: Sequence[Scan], spacing: Sequence[float] | None) -> list[Finding]:
    """Whether a plan follows from the headers: from shapes before cropping, and intensities that decide no size."""
    grids = [scan.grid for scan in scans if scan.grid]
    if not grids:
        return []
    intensities = Intensities(max=1, mean=0, median=0, min=-1, percentile_00_5=-1, percentile_99_5=1, std=1)
    try:
        fingerprint = Fingerprint(
            task.name,
            task.channel_names,
            named_labels(task),
            len(task.cases),
            tuple(grid.spacing for grid in grids),
            tuple(_canonical(grid) for grid in grids),
            1.0,
            (intensities,) * len(task.channel_names),
        )
        make_plans(fingerprint, footprint("nnunet"), wishes=Wishes(spacing=spacing, mirror_axes="none"))
    except UserError as error:
        return [Finding("no_plan", None, None, str(error))]
    return []


def _canonical(grid: Grid) -> tuple[int, int, int]:
    """Voxels along x, y and z."""
    left, back, up = (next(axis for axis, code in enumerate(grid.orientation) if code in codes) for codes in ("LR", "AP", "SI"))
    return grid.shape[left], grid.shape[back], grid.shape[up]
