"""Preprocessed cases on disk, addressed by what they were made from.

    CACHE_DIR/Hippocampus-3f2a.../          one folder per plan
        plan.json                           the plan, for people
        hippocampus_001-9c04.../            one folder per case and state of its files
            image.npy                       float32 [x, y, z, channels]
            label.npy                       uint8 [x, y, z]
            foreground.npz                  per class, up to 10000 of its voxels, int32 [n, 3]
            meta.json                       source files, and the crop that leads back to the scan

A case's folder is filled under a temporary name and then renamed, so that a folder under its own name is complete.
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
import zlib
from pathlib import Path

import numpy as np

from scnas_keras.planning.plans import Plan
from scnas_keras.preprocessing.scans import Crop, preprocess_image, preprocess_label
from scnas_keras.preprocessing.resampling import resampled_shape
from scnas_keras.data.tasks import Case, Task
from scnas_keras.verification.checks import verify_voxels
from scnas_keras.formats.volumes import read_header, read_image, read_label
from scnas_keras.data.workers import map_cases
from scnas_keras.errors import DataError
from scnas_keras.files import write_text

CACHE_FORMAT = 1
MAX_FOREGROUND = 10_000
_PARTIAL = ".partial-"
_ABANDONED_AFTER = 24 * 3600.0


@dataclasses.dataclass(frozen=True)
class PreparedCase:
    """A case in the cache. Arrays are memory-mapped: slicing one reads the slice's bytes only."""

    name: str
    folder: Path

    def image(self) -> np.ndarray:
        """Normalised image, float32 [x, y, z, channels], memory-mapped."""
        return np.load(self.folder / "image.npy", mmap_mode="r")

    def label(self) -> np.ndarray:
        """Segmentation, uint8 [x, y, z], memory-mapped."""
        return np.load(self.folder / "label.npy", mmap_mode="r")

    def foreground(self) -> dict[int, np.ndarray]:
        """For each class present but the background, some of its voxels' indices: int32 [n, 3]."""
        with np.load(self.folder / "foreground.npz") as file:
            return {int(value): file[value] for value in file.files}

    @functools.cached_property
    def shape(self) -> tuple[int, int, int]:
        """Size in voxels."""
        return self.label().shape

    @functools.cached_property
    def crop(self) -> Crop:
        """Where this case lies in its scan, for `restore_probabilities`."""
        meta = json.loads((self.folder / "meta.json").read_text(encoding="utf-8"))
        return Crop(**{key: tuple(value) for key, value in meta["crop"].items()})


def prepare(task: Task, plan: Plan, cache_dir: str | Path, processes: int | None = None,
            progress: bool = True) -> list[PreparedCase]:
    """Preprocesses the cases of a task that the cache doesn't hold yet, or whose files have changed.

    Args:
        task: the task; its headers should have passed `verify_headers`.
        plan: how to preprocess.
        cache_dir: where the cache lies; several tasks, plans and runs can share it.
        processes: number of workers; by default as many as CPU and free memory allow.
        progress: whether to show a progress bar on stderr while there is something to do.

    Returns:
        One prepared case for each case of the task, in the same order.

    Raises:
        DataError: some cases are faulty. It names up to 10 of them with their faults; all others are in the cache.
    """
    folder = Path(cache_dir) / f"{_slug(task.name)}-{_digest([CACHE_FORMAT, plan.to_json()])}"
    folder.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(folder)
    if not (folder / "plan.json").exists():
        write_text(folder / "plan.json", plan.to_json())
    prepared = [PreparedCase(case.name, folder / f"{_slug(case.name)}-{_case_digest(case)}") for case in task.cases]
    todo = tuple(case for case, done in zip(task.cases, prepared) if not done.folder.is_dir())
    if todo:
        work = functools.partial(_prepare_case, task=dataclasses.replace(task, cases=()), plan=plan, folder=folder)
        map_cases(work, todo, f"Preparing {task.name}", _memory(todo, plan), processes, progress)
    changed = [case.name for case in prepared if not case.folder.is_dir()]
    if changed:
        raise DataError(f"{task.root}: the files of {', '.join(changed[:5])} ({len(changed)} cases) changed while they "
                        "were read. Start again when nothing writes to the folder any more.")
    return prepared


def _prepare_case(case: Case, task: Task, plan: Plan, folder: Path) -> None:
    target = folder / f"{_slug(case.name)}-{_case_digest(case)}"
    volume, (label, _) = read_image(case.images), read_label(case.label)
    if volume.array.shape[3] != len(task.channel_names) or volume.array.shape[:3] != label.shape:
        raise DataError(f"{case.label}: the label has shape {label.shape}, its image {volume.array.shape}, and "
                        f"dataset.json declares {len(task.channel_names)} channels. A label needs the voxel grid of "
                        "its image, and the image the declared channels as fourth axis.")
    problems = verify_voxels(case, volume.array, label, task)
    if problems:
        raise DataError("\n    ".join(problems))
    image, crop = preprocess_image(volume, plan)
    label = preprocess_label(label, crop, image.shape[:3])
    partial = Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=folder))
    try:
        _save(partial / "image.npy", np.save, image)
        _save(partial / "label.npy", np.save, np.ascontiguousarray(label, np.uint8))
        _save(partial / "foreground.npz", lambda file, voxels: np.savez(file, **voxels), _foreground(case.name, label))
        meta = {"name": case.name, "images": list(map(str, case.images)), "label": str(case.label), "crop": dataclasses.asdict(crop)}
        _save(partial / "meta.json", lambda file, text: file.write(text.encode()), json.dumps(meta, indent=2) + "\n")
        partial.chmod(0o755)
        try:
            os.rename(partial, target)
        except OSError:
            if not target.is_dir():  # it's there when another run was faster
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _foreground(name: str, label: np.ndarray) -> dict[str, np.ndarray]:
    voxels = {}
    for value in np.unique(label[label > 0]):
        random = np.random.default_rng([zlib.crc32(name.encode()), int(value)])
        found = np.flatnonzero(label == value)
        chosen = np.sort(random.permutation(found)[:MAX_FOREGROUND])
        voxels[str(value)] = np.stack(np.unravel_index(chosen, label.shape), axis=1).astype(np.int32)
    return voxels


def _save(path: Path, write, content) -> None:
    with path.open("wb") as file:
        write(file, content)
        file.flush()
        os.fsync(file.fileno())


def _case_digest(case: Case) -> str:
    stats = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in case.files]
    return _digest(stats)


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def _slug(name: str) -> str:
    return re.sub(r"[^\w.-]+", "_", name)


def _memory(cases: tuple[Case, ...], plan: Plan) -> int:
    """Bytes at the peak of preparing the largest of these cases: some copies of it before and after resampling."""
    largest = 0
    for case in cases:
        try:
            header = read_header(case.images)
        except DataError:
            continue  # reported when its turn comes
        after = resampled_shape(header.shape, header.spacing, plan.spacing)
        largest = max(largest, int(np.prod(header.shape)) * (8 * header.channels + 24)
                      + int(np.prod(after)) * (4 * header.channels + 24))
    return largest


def _remove_abandoned(folder: Path) -> None:
    """Removes what runs that were killed left behind; a younger folder may belong to a run that is at work."""
    for partial in folder.glob(f"{_PARTIAL}*"):
        with contextlib.suppress(FileNotFoundError):  # renamed or removed meanwhile by a run beside this one
            if partial.stat().st_mtime < time.time() - _ABANDONED_AFTER:
                shutil.rmtree(partial, ignore_errors=True)
