"""Preprocessed cases on disk, addressed by what they were made from.

    CACHE_DIR/Hippocampus-3f2a.../          one folder per plan and storage
        plan.json                           the plan, for people
        hippocampus_001-9c04.../            one folder per case and what its files hold; see `prepared_case`

A case's folder is filled under a temporary name and then renamed, so that a folder under its own name is complete, and
runs that prepare the same case at once both end with the same. One that was damaged later (cut, or a file removed) is
made again. What files hold is told by digests (`contents`), so that nothing is made again because files were touched or
copied. A file replaced by another of the same place, size and time isn't noticed.
"""

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from absl import logging

from scnas_keras.checks.intensities import apart
from scnas_keras.checks.preparation import check_voxels
from scnas_keras.checks.ranges import intensity_ranges
from scnas_keras.errors import ConfigError, DataError, OutputError, counted
from scnas_keras.files import write_text, writing
from scnas_keras.machine.workers import map_cases
from scnas_keras.preprocessing.budget import check_disk, memory_needed
from scnas_keras.preprocessing.cache_folder import check_readable, check_writable, open_folder
from scnas_keras.preprocessing.contents import changed, contents, digest, read_contents
from scnas_keras.preprocessing.names import FLOAT16, STORAGES
from scnas_keras.preprocessing.plan import PreprocessingPlan
from scnas_keras.preprocessing.prepared_case import OUTSIDE, PreparedCase, is_whole, write_case
from scnas_keras.preprocessing.scans import preprocess_image, preprocess_label
from scnas_keras.tasks.cases import Case, Task
from scnas_keras.tasks.loading import load_image, load_label

__all__ = ["CACHE_FORMAT", "OUTSIDE", "PreparedCase", "prepare"]

CACHE_FORMAT = 6
_LONGEST_SLUG = 200
"""Bytes of a name that a folder bears: files' names may take 255."""
_PARTIAL = ".partial-"
_ABANDONED_AFTER = 24 * 3600.0


def prepare(
    task: Task,
    plan: PreprocessingPlan,
    cache_dir: str | Path,
    processes: int | None = None,
    progress: bool = True,
    storage: str = FLOAT16,
) -> list[PreparedCase]:
    """Preprocesses the cases of a task that the cache doesn't hold yet, or whose files have changed.

    Args:
        task: the task; its headers should have passed `verify_headers`.
        plan: how to preprocess.
        cache_dir: where the cache lies; several tasks, plans and runs can share it.
        processes: number of workers; by default as many as cores and free memory allow.
        progress: whether to show a progress bar on stderr while there is something to do.
        storage: "float16" or "float32", the type of the images in the cache. Images that float16 can't hold are float32 all the same.

    Returns:
        One prepared case for each case of the task, in the same order.

    Raises:
        ConfigError: another storage; the cache can't be read, or can't be written and cases are to be prepared.
        OutputError: a folder that can't be made.
        DataError: the disk is too small, the labels don't fit in a byte, or some cases are faulty: it names up to 10 of
            them with their faults, and all others are in the cache.
    """
    if storage not in STORAGES:
        raise ConfigError(f"--storage={storage}: prepared images are stored as {' or '.join(STORAGES)}.")
    _check_labels(task, plan)
    folder = _open_folder(task, plan, storage, cache_dir)
    known = {name: digest(found) for name, found in read_contents(task.cases, cache_dir).items()}
    prepared = [PreparedCase(case.name, _case_folder(folder, case, known)) for case in task.cases]
    check_readable(cache_dir, (place for done in prepared for place in (done.folder, *done.files)))
    todo = tuple(case for case, done in zip(task.cases, prepared) if not is_whole(done.folder))
    damaged = [done.name for done in prepared if done.folder.is_dir() and not is_whole(done.folder)]
    if damaged:
        logging.warning("%s: %d cases are damaged and are prepared again: %s", folder, len(damaged), ", ".join(damaged[:5]))
    if todo:
        for place in (folder, *(done.folder for done in prepared if done.name in damaged)):
            check_writable(cache_dir, place, f"{counted(len(todo), 'case')} must be prepared")
        check_disk(todo, plan, storage, folder)
        if not (folder / "plan.json").exists():
            write_text(folder / "plan.json", plan.to_json())
        work = functools.partial(
            _prepare_case, task=dataclasses.replace(task, cases=(), test_cases=()), plan=plan, folder=folder, storage=storage, known=known
        )
        map_cases(work, todo, f"Preparing {task.name}", memory_needed(todo, plan), processes, progress)
    for group in apart(task.channel_names, {case.name: case.ranges for case in prepared}):
        logging.warning("%s: %s. scnas verify tells more", task.name, group.text)
    return prepared


def _open_folder(task: Task, plan: PreprocessingPlan, storage: str, cache_dir: str | Path) -> Path:
    """The folder of all cases that are prepared alike, made if need be, without what killed runs left."""
    # The label map isn't part of the plan, since predictions don't need it.
    content = [CACHE_FORMAT, plan.to_json(), storage, sorted(task.label_map.items())]
    folder = Path(cache_dir) / f"{_slug(task.name)}-{_digest(content)}"
    open_folder(cache_dir, folder)
    _remove_abandoned(folder)
    return folder


def _prepare_case(case: Case, task: Task, plan: PreprocessingPlan, folder: Path, storage: str, known: Mapping[str, str]) -> None:
    target = _case_folder(folder, case, known)
    if is_whole(target):  # another run was faster
        return
    _remove(target)
    label = load_label(task, case)  # before the image, since reading it takes the most memory
    volume = load_image(task, case)
    if digest(contents(case, folder.parent)) != known[case.name]:
        raise DataError(changed(case))
    check_voxels(case, volume.array, label, task)
    scan, ranges = preprocess_image(volume, plan), intensity_ranges(volume.array)
    del volume
    label = preprocess_label(label, scan.crop, plan)
    classes = sorted(value for value in task.labels if value > 0)
    try:
        with writing(target):
            _store(target, lambda partial: write_case(partial, case, scan, label, classes, storage, ranges))
    except OutputError as error:
        raise OutputError(f"{error} Or choose a folder on a larger disk with --cache_dir.") from error


def _remove(target: Path) -> None:
    """Removes a damaged case, if it's there: away under its name at once, so that no half of it is ever seen."""
    if target.is_dir():
        with writing(target):
            partial = Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=target.parent))
        with contextlib.suppress(FileNotFoundError):  # another run was faster
            os.rename(target, partial / target.name)
        shutil.rmtree(partial, ignore_errors=True)


def _store(target: Path, fill) -> None:
    """Makes the folder `target` with what `fill` writes to it, all or nothing."""
    partial = Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=target.parent))
    try:
        fill(partial)
        partial.chmod(0o755)
        _sync(partial)
        try:
            os.rename(partial, target)
        except OSError:
            if not target.is_dir():  # it's there when another run was faster
                raise
        _sync(target.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _check_labels(task: Task, plan: PreprocessingPlan) -> None:
    largest = OUTSIDE - 1 if any(plan.mask_channels) else OUTSIDE
    beyond = [value for value in sorted(task.declared_values) if not 0 <= value <= largest]
    if beyond:
        mark = f" {OUTSIDE} marks what lies outside of the nonzero mask." if largest < OUTSIDE else ""
        raise DataError(
            f"{task.root / 'dataset.json'}: prepared labels can hold the values 0 to {largest}, but it "
            f"declares {', '.join(map(str, beyond[:5]))}.{mark} Renumber the labels."
        )


def _case_folder(folder: Path, case: Case, known: Mapping[str, str]) -> Path:
    return folder / f"{_slug(case.name)}-{known[case.name]}"  # the digest tells apart what is cut alike


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def _slug(name: str) -> str:
    return re.sub(r"[^\w.-]+", "_", name).encode()[:_LONGEST_SLUG].decode(errors="ignore")


def _sync(folder: Path) -> None:
    """Waits until a folder's list of names is on the disk; Windows does so by itself."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _remove_abandoned(folder: Path) -> None:
    """Removes what runs that were killed left behind; a younger folder may belong to a run that is at work."""
    for partial in folder.glob(f"{_PARTIAL}*"):
        with contextlib.suppress(FileNotFoundError):  # renamed or removed meanwhile by a run beside this one
            if partial.stat().st_mtime < time.time() - _ABANDONED_AFTER:
                shutil.rmtree(partial, ignore_errors=True)
