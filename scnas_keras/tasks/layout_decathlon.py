"""The layout of the Medical Segmentation Decathlon (MSD): dataset.json lists every case."""

import os
from collections.abc import Sequence
from pathlib import Path

from absl import logging

from scnas_keras.errors import DataError
from scnas_keras.formats.endings import ending_of, strip_ending
from scnas_keras.tasks.cases import Case, Task
from scnas_keras.tasks.dataset_json import DatasetJson, ListedImage, ListedPair, channel_names, check_cases, missing_entry
from scnas_keras.tasks.labels import parse_labels


def load_decathlon(root: Path, content: DatasetJson) -> Task:
    """Reads the cases that "training" and "test" list. Test images that aren't there are left out, as many delete them.

    An image may also be nnU-Net's files of one channel each (a_0000.nii.gz, ...) where "image" says a.nii.gz.
    """
    file = root / "dataset.json"
    channels, labels = channel_names(file, content), parse_labels(file, content)
    cases = _training(file, content.training or (), len(channels))
    tests = _test(file, content.test, len(channels))
    there = [case for case in tests if all(map(os.path.exists, case.images))]
    if len(there) < len(tests):
        missing = len(tests) - len(there)
        logging.info("%s: %d of %d test images are not there; they are left out", file, missing, len(tests))
    name = str(content.name or root.resolve().name)
    return Task(name, root, channels, labels.names, check_cases(file, cases), _sound(file, there), labels.regions, labels.ignore_label)


def _training(file: Path, listed: Sequence[ListedPair], channels: int) -> list[Case]:
    cases = []
    for item in listed:
        image, label = file.parent / item.image, file.parent / item.label
        if not image.name.startswith("._"):  # macOS leaves such companions in archives
            cases.append(Case(strip_ending(label.name), image_files(image, channels), label))
    if not cases:
        raise missing_entry(file, "training")
    return cases


def _test(file: Path, listed: Sequence[str | ListedImage], channels: int) -> Sequence[Case]:
    images = [item if isinstance(item, str) else item.image for item in listed]
    paths = [file.parent / image for image in images if not Path(image).name.startswith("._")]
    return [Case(strip_ending(path.name), image_files(path, channels), None) for path in paths]


def _sound(file: Path, tests: Sequence[Case]) -> tuple[Case, ...]:
    """The test images; none, and a warning, if names or files make no cases: training doesn't need them."""
    try:
        return check_cases(file, tests)
    except DataError as error:
        logging.warning("Test images are left out: %s", error)
        return ()


def image_files(image: Path, channels: int) -> tuple[Path, ...]:
    """The file of an image, or those of its channels where these are there instead."""
    if not image.name or os.path.exists(image):
        return (image,)
    name, ending = strip_ending(image.name), ending_of(image.name) or ""
    files = [image.with_name(f"{name}_{channel:04d}{ending}") for channel in range(channels)]
    return tuple(files) if os.path.exists(files[0]) else (image,)
