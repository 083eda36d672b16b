"""Loads what is there of a dataset, so that one missing file doesn't keep the others from being verified."""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

from scnas_keras.checks.findings import Finding
from scnas_keras.formats.endings import ending_of, strip_ending
from scnas_keras.tasks.cases import Task
from scnas_keras.tasks.dataset_json import DatasetJson, ListedCase, ListedPair, channel_names, read_dataset
from scnas_keras.tasks.layout_decathlon import image_files, load_decathlon
from scnas_keras.tasks.layout_nnunet import file_ending, files_in, group_channels, left_out, listed_cases, load_nnunet, single_picture
from scnas_keras.tasks.layout_pictures import is_pictures_layout, load_pictures, unpaired
from scnas_keras.tasks.loading import load_task
from scnas_keras.tasks.nearest import nearest


def load_present(root: Path) -> tuple[Task, list[Finding]]:
    """The task of those labelled cases that have all their files, and what is missing or belongs to no case.

    Raises:
        DataError: as `load_task`, but for missing files only if no case is complete.
    """
    file = root / "dataset.json"
    content = read_dataset(file) if file.is_file() else None
    if content and content.training is not None:
        return _decathlon(root, content)
    if content and content.dataset is not None:
        return _listed(root, content)
    if content and content.file_ending is not None:
        return _nnunet(root, content)
    if is_pictures_layout(root):
        return _pictures(root, content)
    return load_task(root), []


def _decathlon(root: Path, content: DatasetJson) -> tuple[Task, list[Finding]]:
    channels, findings, present, listed = len(channel_names(root / "dataset.json", content)), [], [], set()
    for item in content.training:
        files = _files_of(root, item, channels)
        listed.update(files)
        missing = [path for path in files if not os.path.exists(path)]
        findings += [Finding("missing", strip_ending(files[-1].name), path, f"dataset.json lists it.{nearest(path)}") for path in missing]
        if not missing:
            present.append(item)
    task = load_decathlon(root, dataclasses.replace(content, training=tuple(present))) if present else load_task(root)
    listed.update(path for case in task.test_cases for path in case.files)
    places = {_place(path) for path in listed}
    findings += [
        Finding("unlisted", None, path, "dataset.json doesn't list it")
        for name in ("imagesTr", "labelsTr")
        for path in _scans(root / name)
        if _place(path) not in places
    ]
    return task, findings


def _place(path: Path) -> tuple[str, str]:
    """A file's folder without links, and its name: the same whether a list names it from the dataset's folder or from the root."""
    return os.path.realpath(path.parent), path.name


def _files_of(root: Path, item: ListedPair, channels: int) -> Sequence[Path]:
    """A training entry's images and, last, its label; none for a companion that macOS left."""
    image = root / item.image
    return () if image.name.startswith("._") else (*image_files(image, channels), root / item.label)


def _nnunet(root: Path, content: DatasetJson) -> tuple[Task, list[Finding]]:
    file = root / "dataset.json"
    ending, channels = file_ending(file, content), channel_names(file, content)
    files, labels = files_in(root / "imagesTr", ending), files_in(root / "labelsTr", ending)
    images, unnumbered = group_channels(files)
    if unnumbered or not labels:
        return load_task(root), []
    if single_picture(ending, images):
        channels = channels[:1]
    others = [path for name in ("imagesTr", "labelsTr") for path in left_out(root / name, ending)]
    findings = [Finding("left_out", None, path, f'doesn\'t end in {ending}, the "file_ending" of dataset.json') for path in others]
    present = {}
    for name in sorted({*images, *labels}):
        found = images.get(name, {})
        if max(found, default=0) >= len(channels):
            return load_task(root), []  # which tells that there are too many channels
        missing = [root / "imagesTr" / f"{name}_{channel:04d}{ending}" for channel in range(len(channels)) if channel not in found]
        missing += [] if name in labels else [root / "labelsTr" / f"{name}{ending}"]
        findings += [Finding("missing", name, path, f"case {name} needs it.{nearest(path)}") for path in missing]
        if not missing:
            images_of = tuple(f"imagesTr/{files[found[channel]].name}" for channel in sorted(found))
            present[name] = ListedCase(images_of, f"labelsTr/{labels[name].name}")
    return (load_nnunet(root, dataclasses.replace(content, dataset=present)) if findings and present else load_task(root)), findings


def _listed(root: Path, content: DatasetJson) -> tuple[Task, list[Finding]]:
    findings, present = [], {}
    file = root / "dataset.json"
    for case in listed_cases(file, content.dataset, channel_names(file, content)):
        missing = [path for path in case.files if not os.path.exists(path)]
        findings += [Finding("missing", case.name, path, f"dataset.json lists it.{nearest(path)}") for path in missing]
        if not missing:
            present[case.name] = content.dataset[case.name]
    return (load_nnunet(root, dataclasses.replace(content, dataset=present)) if findings and present else load_task(root)), findings


def _pictures(root: Path, content: DatasetJson | None) -> tuple[Task, list[Finding]]:
    images, masks = unpaired(root)
    findings = [Finding("missing", strip_ending(path.name), path, "it has no mask of the same name") for path in images]
    findings += [Finding("missing", strip_ending(path.name), path, "it has no image of the same name") for path in masks]
    return load_pictures(root, content, tolerant=True), findings


def _scans(folder: Path) -> list[Path]:
    """Files in a folder that may be scans or labels."""
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    return [path for path in paths if ending_of(path.name) and not path.name.startswith(".")]
