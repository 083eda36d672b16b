"""A dataset folder in the layout of the Medical Segmentation Decathlon (MSD), described by its dataset.json."""

import dataclasses
import json
import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from scnas_keras.errors import DataError

DATA_DIR_VARIABLE = "SCNAS_DATA_DIR"
MSD_NUMBERS = {"brain": 1, "heart": 2, "liver": 3, "hippocampus": 4, "prostate": 5, "lung": 6, "pancreas": 7,
               "vessel": 8, "spleen": 9, "colon": 10}
LAYOUT = """\
    Task01_BrainTumour/
        dataset.json                    names of channels and labels, list of training cases
        imagesTr/BRATS_001.nii.gz       one image a case; several channels as the fourth axis
        labelsTr/BRATS_001.nii.gz       its labels: 0 background, 1, 2, ..."""
_ENTRY = '"training": [{"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz"}, ...]'


@dataclasses.dataclass(frozen=True)
class Case:
    """One scan: its name, its image files (one, or one per channel), and its label where there is one."""

    name: str
    images: tuple[Path, ...]
    label: Path | None

    @property
    def files(self) -> tuple[Path, ...]:
        """All files of the case."""
        return self.images + ((self.label,) if self.label else ())


@dataclasses.dataclass(frozen=True)
class Task:
    """What dataset.json says.

    Attributes:
        name: the dataset's name, or its folder's where dataset.json has none.
        root: the folder that holds dataset.json.
        channel_names: one per image channel, in order.
        labels: label value to class name; 0 is the background.
        cases: the labelled cases, sorted by name.
    """

    name: str
    root: Path
    channel_names: tuple[str, ...]
    labels: dict[int, str]
    cases: tuple[Case, ...]

    @property
    def num_classes(self) -> int:
        """Number of classes, background included."""
        return len(self.labels)

    @property
    def is_ct(self) -> tuple[bool, ...]:
        """For each channel, whether its values are Hounsfield units."""
        return tuple(name.strip().lower() == "ct" for name in self.channel_names)


def find_task(folder_hint: str, data_dir: str | Path | None = None) -> Path:
    """Finds the folder of a task.

    Args:
        folder_hint: a part of the folder's name, whatever the case of its letters ("hippocampus" finds
            "Task04_Hippocampus"), or else the organ that stands for its MSD number ("vessel" is 8). "custom" takes the
            only task there is.
        data_dir: the task's folder itself (it holds dataset.json) or the folder around it. Default: the environment
            variable SCNAS_DATA_DIR.

    Raises:
        DataError: no such folder, no match, or several.
    """
    data_dir = data_dir or os.environ.get(DATA_DIR_VARIABLE)
    if not data_dir:
        raise DataError(f"No data folder given. Set --data_dir or the environment variable {DATA_DIR_VARIABLE}. "
                        f"The tasks can be downloaded from http://medicaldecathlon.com; unpacked, one looks like this:"
                        f"\n{LAYOUT}")
    root = Path(data_dir).expanduser()
    if not root.is_dir():
        raise DataError(f"{root}: no such folder. Give --data_dir the task's folder or the one around it.")
    if (root / "dataset.json").is_file():
        return root
    tasks = sorted(path.parent for path in root.glob("*/dataset.json"))
    matching = tasks if folder_hint == "custom" else _matching(tasks, folder_hint)
    if len(matching) == 1:
        return matching[0]
    found = ", ".join(task.name for task in matching or tasks) or "none"
    wanted = "exactly one task folder" if folder_hint == "custom" else f'one task folder for "{folder_hint}"'
    raise DataError(f"{root}: expected {wanted}, found {'several' if matching else 'no match'} "
                    f"(task folders: {found}). Give --data_dir the task's folder itself. It must look like this:"
                    f"\n{LAYOUT}")


def load_task(path: str | Path) -> Task:
    """Reads a task folder's dataset.json and checks that all it lists is there.

    Only labelled training cases are read. Channels are named by "modality" (MSD) or "channel_names" (nnU-Net), labels
    are written {"1": "edema"} (MSD) or {"edema": 1} (nnU-Net).

    Raises:
        DataError: dataset.json is missing or broken, or a file that it lists is missing.
    """
    root = Path(path)
    file = root / "dataset.json"
    content = _read_json(file)
    labels = _labels(file, _entry(file, content, "labels"))
    cases = _cases(file, _entry(file, content, "training"))
    missing = [str(path) for case in cases for path in case.files if not path.is_file()]
    if missing:
        raise DataError(f"{file}: {len(missing)} of the files that \"training\" lists are missing: {_some(missing)}. "
                        "Unpack the download again, or take these entries out of dataset.json.")
    return Task(str(content.get("name") or root.resolve().name), root, _channel_names(file, content), labels, cases)


def _matching(folders: Sequence[Path], hint: str) -> list[Path]:
    """Folders that bear the hint in their name; only if none does, the one with its MSD number."""
    word = _letters(hint)
    by_name = [folder for folder in folders if word in _letters(folder.name)]
    number = MSD_NUMBERS.get(word)
    return by_name or [folder for folder in folders if number and re.match(rf"(?i)task0*{number}(?!\d)", folder.name)]


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _read_json(file: Path) -> dict:
    if not file.is_file():
        raise DataError(f"{file}: not found. A task folder holds a dataset.json and looks like this:\n{LAYOUT}")
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        raise DataError(f"{file}: broken JSON in line {error.lineno}, column {error.colno}: {error.msg}. "
                        "Mend this place, or download the file again.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: not a text file in UTF-8 ({error}). Download the file again.") from error
    if not isinstance(content, dict):
        raise DataError(f"{file}: expected a JSON object {{...}}, found {type(content).__name__}.")
    return content


def _entry(file: Path, content: dict, key: str) -> object:
    if key not in content:
        examples = {"labels": '"labels": {"0": "background", "1": "tumour"}', "training": _ENTRY}
        raise DataError(f'{file}: the key "{key}" is missing (found: {", ".join(content) or "nothing"}). '
                        f"Add it, for example {examples[key]}.")
    return content[key]


def _channel_names(file: Path, content: dict) -> tuple[str, ...]:
    names = content.get("modality", content.get("channel_names"))
    try:
        by_index = {int(index): str(name) for index, name in names.items()}
    except (AttributeError, ValueError):
        by_index = {}
    if not by_index or sorted(by_index) != list(range(len(by_index))):
        raise DataError(f'{file}: the image channels must be named under "modality" (or "channel_names"), numbered '
                        f'from 0, for example "modality": {{"0": "FLAIR", "1": "T1w"}}; found {json.dumps(names)}.')
    return tuple(by_index[index] for index in range(len(by_index)))


def _labels(file: Path, entry: object) -> dict[int, str]:
    try:
        nnunet = all(isinstance(value, int) for value in entry.values())
        pairs = [(value, name) if nnunet else (int(name), str(value)) for name, value in entry.items()]
    except (AttributeError, ValueError):
        pairs = []
    labels = dict(sorted(pairs))
    if not 2 <= len(pairs) <= 256 or list(labels) != list(range(len(pairs))):
        raise DataError(f'{file}: "labels" must name the values 0 (background), 1, 2, ... up to at most 255 without a '
                        f'gap, for example {{"0": "background", "1": "tumour"}}; found {json.dumps(entry)}. '
                        "Renumber the labels here and in the label files.")
    return labels


def _cases(file: Path, entry: object) -> tuple[Case, ...]:
    cases = []
    for item in entry if isinstance(entry, list) else []:
        if not (isinstance(item, dict) and isinstance(item.get("image"), str) and isinstance(item.get("label"), str)):
            raise DataError(f"{file}: every training entry must name an image and a label, found "
                            f"{json.dumps(item)}. Expected: {_ENTRY}.")
        image, label = file.parent / item["image"], file.parent / item["label"]
        if not image.name.startswith("._"):  # macOS leaves such companions in archives
            cases.append(Case(re.sub(r"\.nii(\.gz)?$", "", label.name), (image,), label))
    if not cases:
        raise DataError(f'{file}: "training" lists no labelled case. Expected: {_ENTRY}.')
    repeated = [name for name, count in Counter(case.name for case in cases).items() if count > 1]
    if repeated:
        raise DataError(f"{file}: {len(repeated)} case names occur more than once: {_some(repeated)}. Every label file "
                        "needs a name of its own; rename the files or take out the repeated entries.")
    return tuple(sorted(cases, key=lambda case: case.name))


def _some(names: Sequence[str], limit: int = 5) -> str:
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")
