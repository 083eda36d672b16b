"""What an evaluation compares: which file with which, and which structures."""

import dataclasses
from collections.abc import Collection, Mapping
from pathlib import Path

from absl import logging

from scnas_keras.errors import ConfigError, counted, some_of
from scnas_keras.files import user_path
from scnas_keras.formats.endings import ENDINGS, PROBABILITIES, ending_of, is_picture, plain_files, strip_ending
from scnas_keras.runs.run_folder import FINALS, FLAGS, SELECTED
from scnas_keras.tasks.cases import Case, Task
from scnas_keras.tasks.loading import is_task, load_task

VALIDATION = "validation"
"""The folder of a training run that holds its segmentations."""


@dataclasses.dataclass(frozen=True)
class Labels:
    """The reference.

    Attributes:
        task: the dataset that says what values mean; None for a plain folder of files.
        files: case -> label file.
    """

    task: Task | None
    files: Mapping[str, Path]


def find_predictions(flag: str, folder: str) -> dict[str, Path]:
    """Case -> segmentation of a folder, or of the training run that it is.

    Raises:
        ConfigError: it isn't there, or holds none.
    """
    root = user_path(folder)
    if (root / SELECTED).is_file():
        raise ConfigError(f"--{flag}={folder}: the folder of a selection. Name the final that it kept, a folder in {root / FINALS}.")
    return _segmentations(flag, root / VALIDATION if is_run(folder) else root)


def is_run(folder: str) -> bool:
    """Whether a folder is that of a training run, whose segmentations are of some of the dataset's cases only."""
    root = user_path(folder)
    return (root / FLAGS).is_file() and (root / VALIDATION).is_dir()


def find_labels(folder: str) -> Labels:
    """The labels of a dataset, or of a folder of label files.

    Raises:
        ConfigError: it isn't there, or holds none.
        DataError: the dataset is broken.
    """
    root = user_path(folder)
    if is_task(root):
        task = load_task(root)
        return Labels(task, {case.name: case.label_file for case in task.cases})
    return Labels(None, _segmentations("labels", root))


def pairs(predictions: Mapping[str, Path], labels: Mapping[str, Path], subset: bool) -> list[Case]:
    """Cases with their segmentation as the image.

    Args:
        predictions, labels: case -> file.
        subset: cases that lack one of both are left out instead of refused.

    Raises:
        ConfigError: cases lack one of both, or all do.
    """
    common = [name for name in labels if name in predictions]
    only = {
        ("segmentation", "label"): [name for name in labels if name not in predictions],
        ("label", "segmentation"): [name for name in predictions if name not in labels],
    }
    if not common:
        raise ConfigError(
            f"No segmentation is called like a label: {some_of(sorted(predictions), 3)}; {some_of(sorted(labels), 3)}. A segmentation has "
            "the name of its label's file."
        )
    for (lacking, there), names in only.items():
        told = f"no {lacking} of {counted(len(names), there)}: {some_of(names)}"
        if names and not subset:
            raise ConfigError(f"There is {told}. Add the files, or give --subset to leave these cases out.")
        if names:
            logging.info("left out, as there is %s", told)
    return [Case(name, (predictions[name],), labels[name]) for name in common]


def parse_unions(text: str | None, classes: Mapping[int, str]) -> dict[str, tuple[int, ...]]:
    """Structure -> values of its classes: each class by itself, then the unions.

    Args:
        text: NAME=CLASS+CLASS,... with values or names of classes; None for no unions.
        classes: value -> name, background left out.

    Raises:
        ConfigError: of another form, an unknown class, or a name that a class has.
    """
    found = {name: (value,) for value, name in classes.items()}
    values = {**{name: value for value, name in classes.items()}, **{str(value): value for value in classes}}
    for part in filter(None, (text or "").split(",")):
        name, equals, members = (word.strip() for word in part.partition("="))
        chosen = [member.strip() for member in members.split("+")]
        if not (name and equals and all(chosen)):
            raise ConfigError(f'--unions={text}: expected NAME=CLASS+CLASS with commas between unions, found "{part}".')
        if unknown := [member for member in chosen if member not in values]:
            known = ", ".join(f"{value} ({own})" for value, own in classes.items())
            raise ConfigError(f"--unions={text}: {some_of(unknown)} is no class; there are {known}.")
        if name in found:
            raise ConfigError(f"--unions={text}: there is a structure called {name} already. Choose another name.")
        found[name] = tuple(sorted({values[member] for member in chosen}))
    return found


def _segmentations(flag: str, folder: Path) -> dict[str, Path]:
    """Case -> file; overlays, which `predict` draws beside segmentations, aren't any."""
    if not folder.is_dir():
        raise ConfigError(f"--{flag}={folder}: {'a file, and a folder is wanted' if folder.exists() else 'no such folder'}.")
    files = [path for path in plain_files(folder) if _may_be_label(path)]
    names = {strip_ending(path.name) for path in files}
    files = [path for path in files if not _are_probabilities(strip_ending(path.name), names)]
    if volumes := [path for path in files if not is_picture(path)]:
        files = volumes
    else:
        files = [path for path in files if not path.stem.endswith("_overlay")]
    found: dict[str, Path] = {}
    for path in files:
        name = strip_ending(path.name)
        if name in found:
            raise ConfigError(f"--{flag}={folder}: {found[name].name} and {path.name} are of one case. Take one out.")
        found[name] = path
    if not found:
        endings = [ending for ending, kind in ENDINGS.items() if kind.label and kind.reader != "dicom"]
        raise ConfigError(f"--{flag}={folder}: holds no segmentations (files that end in {', '.join(endings)}).")
    return found


def _are_probabilities(name: str, names: Collection[str]) -> bool:
    """What `predict --save_probabilities` writes beside a segmentation."""
    return name.endswith(PROBABILITIES) and name.removesuffix(PROBABILITIES) in names


def _may_be_label(path: Path) -> bool:
    ending = ending_of(path.name)
    return ending is not None and ENDINGS[ending].label and ENDINGS[ending].reader != "dicom"
