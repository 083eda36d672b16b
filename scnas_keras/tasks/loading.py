"""A dataset's folder, in any layout: found, and read into a `Task`."""

import contextlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from scnas_keras.errors import DataError, some_of
from scnas_keras.files import user_path
from scnas_keras.formats.geometry import Volume
from scnas_keras.formats.volumes import Allocate, in_memory, read_image, read_label
from scnas_keras.tasks.cases import Case, Task
from scnas_keras.tasks.dataset_json import channel_names, is_text, read_dataset
from scnas_keras.tasks.layout_chaos import is_chaos, load_chaos
from scnas_keras.tasks.layout_decathlon import load_decathlon
from scnas_keras.tasks.layout_nnunet import load_nnunet
from scnas_keras.tasks.layout_pictures import is_pictures_layout, load_pictures
from scnas_keras.tasks.layout_promise12 import is_promise12, load_promise12
from scnas_keras.tasks.names import DATA_DIR_VARIABLE
from scnas_keras.tasks.nearest import nearest

MSD_NUMBERS = {
    "brain": 1,
    "heart": 2,
    "liver": 3,
    "hippocampus": 4,
    "prostate": 5,
    "lung": 6,
    "pancreas": 7,
    "vessel": 8,
    "spleen": 9,
    "colon": 10,
}
LAYOUTS = """\
  Medical Segmentation Decathlon:
    Task01_BrainTumour/
        dataset.json                    "modality", "labels", and "training": a list of images with their labels
        imagesTr/BRATS_001.nii.gz       one image a case; several channels as the fourth axis
        labelsTr/BRATS_001.nii.gz       its labels: 0 background, 1, 2, ...
  nnU-Net:
    Dataset001_BrainTumour/
        dataset.json                    "channel_names", "labels", "file_ending"
        imagesTr/BRATS_001_0000.nii.gz  one file per channel: _0000, _0001, ...
        labelsTr/BRATS_001.nii.gz       its labels
  2D pictures (dataset.json with "channel_names" and "labels" only if classes need names):
    Nuclei/
        images/a.png                    gray or RGB; also .tif, .bmp, .jpg
        masks/a.png                     its labels: 0 background, 1, 2, ...; or 0 and 255
  CHAOS, CT scans:
    CHAOS_Train_Sets/Train_Sets/CT/
        1/DICOM_anon/i0000,0000b.dcm    a folder a patient, with all slices
        1/Ground/liver_GT_000.png       a mask for each slice, in the order of their names
  PROMISE12:
    TrainingData/                       or TrainingData_Part1/, ... in one folder
        Case00.mhd                      a scan, with its voxels in Case00.raw
        Case00_segmentation.mhd         its labels: 0 background, 1 prostate"""
_WITHOUT_JSON: tuple[tuple[Callable[[Path], bool], Callable[[Path], Task]], ...] = (
    (is_pictures_layout, lambda root: load_pictures(root, None)),
    (is_chaos, load_chaos),
    (is_promise12, load_promise12),
)
"""Layouts that need no dataset.json: what tells them, and what reads them."""


def find_task(folder_hint: str, data_dir: str | Path | None = None) -> Path:
    """Finds the folder of a task.

    Args:
        folder_hint: a part of the folder's name, whatever the case of its letters ("hippocampus" finds
            "Task04_Hippocampus"), or else the organ that stands for its MSD number ("vessel" is 8). "custom" takes the
            only task there is.
        data_dir: the task's folder itself (it has one of the layouts) or the folder around it. Default: the environment
            variable SCNAS_DATA_DIR.

    Raises:
        DataError: no such folder, no match, several, or one that can't be read.
    """
    data_dir = data_dir or os.environ.get(DATA_DIR_VARIABLE)
    if not data_dir:
        raise DataError(
            f"No data folder given. Set --data_dir or the environment variable {DATA_DIR_VARIABLE}. "
            "The tasks can be downloaded from http://medicaldecathlon.com; unpacked, they look like the "
            f"first of these layouts:\n{LAYOUTS}"
        )
    root = user_path(data_dir)
    with _reading(root):
        return _find(root, folder_hint)


def _find(root: Path, folder_hint: str) -> Path:
    if not is_text(str(root)):
        raise DataError(f"{ascii(str(root))}: the folder's name isn't text in UTF-8. Rename it, for example with convmv.")
    if root.exists() and not root.is_dir():
        raise DataError(f"{root}: is a file, not a folder. Give --data_dir the task's folder or the one around it.")
    if not root.is_dir():
        raise DataError(f"{root}: no such folder.{nearest(root)} Give --data_dir the task's folder or the one around it.")
    if is_task(root):
        return root
    tasks, closed = [], {}
    for folder in sorted(folder for folder in root.iterdir() if folder.is_dir()):
        try:
            tasks += [folder] * is_task(folder)
        except PermissionError as error:  # as of lost+found, which is at the top of many disks
            closed[folder] = error
    matching = tasks if folder_hint == "custom" else _matching(tasks, folder_hint)
    if len(matching) == 1:
        return matching[0]
    for folder in [*closed] if folder_hint == "custom" else _matching([*closed], folder_hint):
        if not matching:
            with _reading(folder):
                raise closed[folder]
    found = ", ".join(task.name for task in matching or tasks) or f"none; the folder holds {_contents(root)}"
    above = next((folder for folder in list(root.absolute().parents)[:2] if not tasks and is_task(folder)), None)
    if above:
        raise DataError(f"{root}: is a folder inside of the task {above}. Give --data_dir={above}.")
    wanted = "a task here or one folder below" if folder_hint == "custom" else f'one task folder for "{folder_hint}"'
    raise DataError(
        f"{root}: expected {wanted}, found {'several' if matching else 'none'} "
        f"(task folders: {found}). Give --data_dir the task's folder itself. It must have one of these "
        f"layouts:\n{LAYOUTS}"
    )


def is_task(folder: Path) -> bool:
    """Whether a folder has one of the layouts."""
    return (folder / "dataset.json").is_file() or any(fits(folder) for fits, _ in _WITHOUT_JSON)


def load_task(path: str | Path) -> Task:
    """Reads a task folder of any layout and checks that all its files are there.

    Raises:
        DataError: the folder has none of the layouts, dataset.json is broken, files are missing, or a folder can't be read.
    """
    with _reading(Path(path)):
        return _load(Path(path))


def _load(root: Path) -> Task:
    file = root / "dataset.json"
    if not file.is_file():
        for fits, load in _WITHOUT_JSON:
            if fits(root):
                return load(root)
        raise DataError(
            f"{file}: not found, and no folders images/ and masks/ either; {root} holds {_contents(root)}. "
            f"A task folder has one of these layouts:\n{LAYOUTS}"
        )
    content = read_dataset(file)
    channel_names(file, content)  # whatever the layout
    if content.training is not None:
        return load_decathlon(root, content)
    if content.dataset is not None or content.file_ending is not None:
        return load_nnunet(root, content)
    if is_pictures_layout(root):
        return load_pictures(root, content)
    raise DataError(
        f'{file}: found neither "training" nor "file_ending", expected one of them, or folders images/ and masks/ '
        f"beside it ({root} holds {_contents(root)}). A task folder has "
        f"one of these layouts:\n{LAYOUTS}"
    )


def load_image(task: Task, case: Case, allocate: Allocate = in_memory) -> Volume:
    """The image of a case with the task's channels, which three equal ones of a gray picture may be; see `read_image`."""
    return read_image(case.images, allocate, task.channel_names, case.own_series)


def load_label(task: Task, case: Case) -> np.ndarray:
    """The label of a case, integers [x, y, z] in canonical axes, in the task's label values.

    Raises DataError for the reasons of `read_label`. Values that the task doesn't declare stay as they are:
    verification reports them.
    """
    stored, _ = read_label(case.label_file)
    if not task.label_map:
        return stored
    label = stored.copy()
    for value, replacement in task.label_map.items():
        label[stored == value] = replacement
    return label


@contextlib.contextmanager
def _reading(folder: Path) -> Iterator[None]:
    """What a folder's rights forbid is told as a DataError."""
    try:
        yield
    except PermissionError as error:
        place = Path(error.filename or folder)
        closed = next((outer for outer in reversed([place, *place.parents]) if not os.access(outer, os.X_OK)), place)
        raise DataError(
            f"{closed}: can't be read ({error.strerror}). Ask for the right to enter the folder (chmod u+rx), or give another --data_dir."
        ) from error


def _contents(folder: Path) -> str:
    entries = sorted(folder.iterdir()) if folder.is_dir() else []
    return some_of([path.name + "/" * path.is_dir() for path in entries if not path.name.startswith(".")]) or "nothing"


def _matching(folders: Sequence[Path], hint: str) -> list[Path]:
    """Folders that bear the hint in their name; only if none does, the one with its MSD number."""
    word = _letters(hint)
    by_name = [folder for folder in folders if word in _letters(folder.name)]
    number = MSD_NUMBERS.get(word)
    numbered = re.compile(rf"(?i)(task|dataset)0*{number}(?!\d)")
    return by_name or [folder for folder in folders if number and numbered.match(folder.name)]


def other_organ(folder: Path, hint: str) -> str | None:
    """The organ of the Decathlon whose name a folder bears, where that is another than the hint's."""
    if _letters(hint) not in MSD_NUMBERS or _matching([folder], hint):
        return None
    return next((organ for organ in MSD_NUMBERS if _matching([folder], organ)), None)


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
