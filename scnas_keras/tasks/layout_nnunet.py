"""nnU-Net's raw layout, version 2: one file per channel, CASE_0000.nii.gz the first, found in folders or listed."""

import json
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from scnas_keras.errors import DataError
from scnas_keras.formats.endings import ENDINGS
from scnas_keras.tasks.cases import Case, Task
from scnas_keras.tasks.dataset_json import DatasetJson, ListedCase, channel_names, check_cases, missing_entry, parse_labels, some

_CHANNEL = re.compile(r"(.+)_(\d{4})")
_DATASET = '"dataset": {"case": {"images": ["a/case_0000.nii.gz"], "label": "b/case.nii.gz"}}'


def load_nnunet(root: Path, content: DatasetJson) -> Task:
    """Reads a folder that nnU-Net would plan: images in imagesTr (and imagesTs), labels in labelsTr.

    Raises DataError for names without a channel's number, missing channels, and images and labels without each other.
    """
    file = root / "dataset.json"
    channels, labels = channel_names(file, content), parse_labels(file, content)
    if content.dataset is not None:
        cases = listed_cases(file, content.dataset)
    else:
        cases = _cases_in_folders(root, _file_ending(file, content), channels)
    tests = root / "imagesTs"
    scans = _scans(tests, _file_ending(file, content), channels) if tests.is_dir() and any(tests.iterdir()) else {}
    test_cases = tuple(Case(name, files, None) for name, files in sorted(scans.items()))
    name = str(content.name or root.resolve().name)
    return Task(name, root, channels, labels.names, check_cases(file, cases), test_cases, labels.regions, labels.ignore_label)


def group_channels(names: Iterable[str]) -> tuple[dict[str, dict[int, str]], list[str]]:
    """Names without ending by case and number of channel, {"a": {0: "a_0000", 1: "a_0001"}}; and those without one."""
    groups, others = defaultdict(dict), []
    for name in names:
        match = _CHANNEL.fullmatch(name)
        if match:
            groups[match[1]][int(match[2])] = name
        else:
            others.append(name)
    return dict(groups), others


def listed_cases(file: Path, listed: Mapping[str, ListedCase]) -> list[Case]:
    """The cases of "dataset"; DataError if there are none. Their files needn't be there."""
    if not listed:
        raise DataError(f"{file}: dataset: found no case, expected {_DATASET}.")
    cases = []
    for name, item in listed.items():
        *files, label = (file.parent / os.path.expanduser(os.path.expandvars(path)) for path in (*item.images, item.label))
        cases.append(Case(name, tuple(files), label))
    return cases


def _file_ending(file: Path, content: DatasetJson) -> str:
    if content.file_ending is None:
        raise missing_entry(file, "file_ending")
    if content.file_ending not in ENDINGS:
        raise DataError(f"{file}: file_ending: found {json.dumps(content.file_ending)}, expected one of {', '.join(ENDINGS)}.")
    return content.file_ending


def _cases_in_folders(root: Path, ending: str, channels: tuple[str, ...]) -> list[Case]:
    images, labels = _scans(root / "imagesTr", ending, channels), _files(root / "labelsTr", ending)
    unlabelled, alone = sorted(images.keys() - labels.keys()), sorted(labels.keys() - images.keys())
    problems = []
    if unlabelled:
        problems.append(f"{len(unlabelled)} images without a label ({some(unlabelled)}; expected labelsTr/{unlabelled[0]}{ending})")
    if alone:
        problems.append(f"{len(alone)} labels without an image ({some(alone)}; expected imagesTr/{alone[0]}_0000{ending})")
    if problems:
        raise DataError(f"{root}: found {' and '.join(problems)}. Add the missing files, or move these out of the folders.")
    return [Case(name, images[name], labels[name]) for name in images]


def _files(folder: Path, ending: str) -> dict[str, Path]:
    """Name without ending to file."""
    entries = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")] if folder.is_dir() else []
    files = {path.name[: -len(ending)]: path for path in entries if path.name.lower().endswith(ending)}
    if not files:
        held = some([path.name for path in entries]) or "nothing"
        there = f"it holds {held}" if folder.is_dir() else "there is no such folder"
        raise DataError(f'{folder}: no file ends in {ending}, the "file_ending" of dataset.json ({there}). Correct one of the two.')
    return files


def _scans(folder: Path, ending: str, channels: tuple[str, ...]) -> dict[str, tuple[Path, ...]]:
    """Case name to image files, one per channel, or a single picture that holds all."""
    files = _files(folder, ending)
    groups, unnumbered = group_channels(files)
    if unnumbered:
        raise DataError(
            f"{folder}: {len(unnumbered)} of the image files have no number of their channel in the name: "
            f"{some([files[name].name for name in unnumbered])}. nnU-Net's layout wants CASE_0000{ending} "
            f"for the first channel ({channels[0]}), CASE_0001{ending} for the second, and CASE{ending} "
            f"for the label: {files[unnumbered[0]].name} should be called {unnumbered[0]}_0000{ending}."
        )
    if ENDINGS[ending].reader == "pictures" and all(list(found) == [0] for found in groups.values()):
        channels = channels[:1]
    problems = [
        f"case {case} has no channel {number:04d} ({channels[number]}), expected {case}_{number:04d}{ending}"
        for case, found in groups.items()
        for number in range(len(channels))
        if number not in found
    ]
    problems += [
        f"{found[number]}{ending} is a channel that dataset.json doesn't name"
        for found in groups.values()
        for number in sorted(found)
        if number >= len(channels)
    ]
    if problems:
        raise DataError(
            f"{folder}: dataset.json names {len(channels)} channels, but "
            + "; ".join(problems[:5])
            + (f"; and {len(problems) - 5} more" if len(problems) > 5 else "")
            + '. Add the missing files, or correct "channel_names".'
        )
    return {case: tuple(files[found[number]] for number in sorted(found)) for case, found in groups.items()}
