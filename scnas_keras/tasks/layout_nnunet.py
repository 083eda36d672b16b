"""nnU-Net's raw layout, version 2: one file per channel, CASE_0000.nii.gz the first, found in folders or listed."""

import json
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from absl import logging

from scnas_keras.errors import DataError, counted, some_of
from scnas_keras.formats.endings import ENDINGS, ending_of, strip_ending
from scnas_keras.formats.foreign import foreign_ending, is_other_scan
from scnas_keras.tasks.cases import Case, Task
from scnas_keras.tasks.dataset_json import DatasetJson, ListedCase, channel_names, check_cases, missing_entry
from scnas_keras.tasks.labels import parse_labels
from scnas_keras.tasks.nearest import nearest

_CHANNEL = re.compile(r"(.+)_(\d{4})")
_DATASET = '"dataset": {"case": {"images": ["a/case_0000.nii.gz"], "label": "b/case.nii.gz"}}'


def load_nnunet(root: Path, content: DatasetJson) -> Task:
    """Reads a folder that nnU-Net would plan: images in imagesTr (and imagesTs), labels in labelsTr.

    Raises DataError for names without a channel's number, missing channels, images and labels without each other, and scans that
    would be left out. Test images for which that holds are named in a warning and left out.
    """
    file = root / "dataset.json"
    channels, labels = channel_names(file, content), parse_labels(file, content)
    if content.dataset is not None:
        cases = listed_cases(file, content.dataset, channels)
    else:
        cases = _cases_in_folders(root, file_ending(file, content), channels)
    cases = check_cases(file, cases)
    tests = _test_cases(root / "imagesTs", file_ending(file, content), channels)
    name = str(content.name or root.resolve().name)
    return Task(name, root, channels, labels.names, cases, tests, labels.regions, labels.ignore_label)


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


def listed_cases(file: Path, listed: Mapping[str, ListedCase], channels: Sequence[str]) -> list[Case]:
    """The cases of "dataset"; DataError if there are none, or a case's files don't fit the channels. They needn't be there."""
    if not listed:
        raise DataError(f"{file}: dataset: found no case, expected {_DATASET}.")
    cases = []
    for name, item in listed.items():
        *files, label = (file.parent / os.path.expanduser(os.path.expandvars(path)) for path in (*item.images, item.label))
        numbers = [int(match[2]) for path in files if (match := _CHANNEL.fullmatch(strip_ending(path.name)))]
        if len(files) not in (1, len(channels)):
            raise DataError(
                f"{file}: dataset.{name}.images: found {len(files)} files, expected 1 or one for each of the {len(channels)} channels "
                f"{', '.join(channels)}. Correct the list, or the channels."
            )
        if len(files) > 1 and len(numbers) == len(files) and numbers != list(range(len(files))):
            raise DataError(
                f"{file}: dataset.{name}.images: found the channels {', '.join(f'{number:04d}' for number in numbers)} by their names, "
                "expected 0000, 0001, ... in this order. Sort the list."
            )
        cases.append(Case(name, tuple(files), label))
    return cases


def file_ending(file: Path, content: DatasetJson) -> str:
    """That of all scans in the folders, in lower case."""
    if content.file_ending is None:
        if content.dataset is not None:  # test images only
            return ".nii.gz"
        raise missing_entry(file, "file_ending")
    if content.file_ending not in ENDINGS:
        advice = " Such files aren't read: convert them to .nii.gz." if foreign_ending(f"a{content.file_ending}") else ""
        raise DataError(f"{file}: file_ending: found {json.dumps(content.file_ending)}, expected one of {', '.join(ENDINGS)}.{advice}")
    return content.file_ending


def files_in(folder: Path, ending: str) -> dict[str, Path]:
    """Name without ending to file; DataError if two have the same."""
    paths = [path for path in _entries(folder) if path.name.lower().endswith(ending)]
    files = {path.name[: -len(ending)]: path for path in paths}
    twice = [path.name for path in paths if path not in files.values()]
    if twice:
        raise DataError(f"{folder}: {some_of(twice)} and another file have the same name up to capitals in the ending. Remove one of them.")
    return files


def left_out(folder: Path, ending: str) -> list[Path]:
    """What a folder holds beside the files of the dataset's ending that is a scan, or holds scans, of a case that isn't among them."""
    known = {name.casefold() for name in files_in(folder, ending)}
    others = [path for path in _entries(folder) if not path.name.lower().endswith(ending)]
    return [
        path
        for path in others
        if (path.is_dir() and any(_is_scan(inner.name) for inner in path.iterdir()))
        or (not path.is_dir() and _is_scan(path.name) and _stem(path.name).casefold() not in known)
    ]


def single_picture(ending: str, groups: Mapping[str, Mapping[int, str]]) -> bool:
    """Whether each case is one colour picture that holds all channels."""
    return ENDINGS[ending].reader == "pictures" and all(list(found) == [0] for found in groups.values())


def _entries(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")] if folder.is_dir() else []


def _is_scan(name: str) -> bool:
    return not name.startswith(".") and (ending_of(name) is not None or is_other_scan(name))


def _stem(name: str) -> str:
    return name[: len(name) - len(ending_of(name) or foreign_ending(name) or "")]


def _cases_in_folders(root: Path, ending: str, channels: tuple[str, ...]) -> list[Case]:
    folders = root / "imagesTr", root / "labelsTr"
    files = [_files(folder, ending) for folder in folders]
    images, problems = _scans(files[0], ending, channels)
    if problems:
        raise DataError(f"{folders[0]}: {_some_problems(problems)}")
    for folder in folders:
        if others := left_out(folder, ending):
            raise DataError(
                f'{folder}: {len(others)} entries would be left out, as they don\'t end in {ending}, the "file_ending" of dataset.json: '
                f"{some_of([path.name + '/' * path.is_dir() for path in others])}. Convert them to {ending}, or move them elsewhere."
            )
    labels = files[1]
    unlabelled, alone = sorted(images.keys() - labels.keys()), sorted(labels.keys() - images.keys())
    problems = []
    if unlabelled:
        problems.append(f"{len(unlabelled)} images without a label ({some_of(unlabelled)}; expected labelsTr/{unlabelled[0]}{ending})")
    if alone:
        problems.append(f"{len(alone)} labels without an image ({some_of(alone)}; expected imagesTr/{alone[0]}_0000{ending})")
    if problems:
        expected = folders[1] / f"{unlabelled[0]}{ending}" if unlabelled else folders[0] / f"{alone[0]}_0000{ending}"
        raise DataError(
            f"{root}: found {' and '.join(problems)}.{nearest(expected)} Add the missing files, or move these out of the folders."
        )
    return [Case(name, images[name], labels[name]) for name in images]


def _test_cases(folder: Path, ending: str, channels: tuple[str, ...]) -> tuple[Case, ...]:
    """The test images that are as they should be; others are told."""
    try:
        files = files_in(folder, ending)
    except DataError as error:
        logging.warning("Test images are left out: %s", error)
        return ()
    scans, problems = _scans(files, ending, channels)
    if others := left_out(folder, ending):
        problems.append(f"{some_of([path.name for path in others])} don't end in {ending}.")
    if problems:
        logging.warning("%s: some test images are left out: %s", folder, _some_problems(problems))
    return tuple(Case(name, paths, None) for name, paths in sorted(scans.items()))


def _files(folder: Path, ending: str) -> dict[str, Path]:
    """`files_in`; DataError if there are none."""
    files = files_in(folder, ending)
    if not files:
        held = some_of([path.name for path in _entries(folder)]) or "nothing"
        there = f"it holds {held}" if folder.is_dir() else f"there is no such folder.{nearest(folder)}"
        raise DataError(f'{folder}: no file ends in {ending}, the "file_ending" of dataset.json ({there}). Correct one of the two.')
    return files


def _scans(files: Mapping[str, Path], ending: str, channels: tuple[str, ...]) -> tuple[dict[str, tuple[Path, ...]], list[str]]:
    """Case name to image files, one per channel or a single picture that holds all, of cases that are whole; what is wrong with others."""
    groups, unnumbered = group_channels(files)
    problems = []
    if unnumbered:
        problems.append(
            f"{len(unnumbered)} of the image files have no number of their channel in the name: "
            f"{some_of([files[name].name for name in unnumbered])}. nnU-Net's layout wants CASE_0000{ending} "
            f"for the first channel ({channels[0]}), CASE_0001{ending} for the second, and CASE{ending} "
            f"for the label: {files[unnumbered[0]].name} should be called {unnumbered[0]}_0000{ending}."
        )
    wanted = range(1 if single_picture(ending, groups) else len(channels))
    wrong = {
        case: [f"case {case} has no channel {number:04d} ({channels[number]}), expected {case}_{number:04d}{ending}" for number in absent]
        + [f"{files[found[number]].name} is a channel that dataset.json doesn't name" for number in unknown]
        for case, found in groups.items()
        if (absent := [number for number in wanted if number not in found]) + (unknown := sorted(set(found) - set(wanted)))
    }
    if wrong:
        told = [text for texts in wrong.values() for text in texts]
        problems.append(
            f"dataset.json names {counted(len(channels), 'channel')}, but {_some_problems(told, '; ')}. Add the missing files, or correct "
            '"channel_names".'
        )
    whole = {case: tuple(files[found[number]] for number in sorted(found)) for case, found in groups.items() if case not in wrong}
    return whole, problems


def _some_problems(problems: Sequence[str], between: str = " ") -> str:
    return between.join(problems[:5]) + (f"{between}and {len(problems) - 5} more" if len(problems) > 5 else "")
