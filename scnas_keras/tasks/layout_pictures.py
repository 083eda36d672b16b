"""Two folders, images/ and masks/ (or labels/), with files of the same names; 2D pictures need no dataset.json."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
from absl import logging

from scnas_keras.errors import DataError, some_of
from scnas_keras.formats import pictures
from scnas_keras.formats.colours import COLOURS
from scnas_keras.formats.endings import ending_of, is_picture, strip_ending
from scnas_keras.formats.volumes import read_label
from scnas_keras.tasks.cases import Case, Task
from scnas_keras.tasks.dataset_json import DatasetJson, channel_names, check_cases
from scnas_keras.tasks.labels import Labels, parse_labels

MASK_FOLDERS = ("masks", "labels")
MAX_LOOKED_AT = 50
MAX_UNNAMED = 32
"""Classes without names. More of them are rather numbered objects, or shades of a blurred outline."""
NUMBERED = 4
"""Different numbers of values in masks, each 1 to a number without a gap, from which on they are taken for numbered objects."""
_MASK = "_mask"
_OTHER_PICTURES = ".gif", ".webp", ".jp2", ".jfif", ".heic", ".avif", ".svg", ".pdf", ".npy"
_Read = TypeVar("_Read")
_REMEDY = 'write a dataset.json beside the folders, for example {"channel_names": {"0": "CT"}, "labels": {"background": 0, "tumour": 1}}'


def is_pictures_layout(root: Path) -> bool:
    """Whether a folder holds images/ with masks/ or labels/."""
    return (root / "images").is_dir() and bool(_mask_folders(root))


def load_pictures(root: Path, content: DatasetJson | None, tolerant: bool = False) -> Task:
    """Reads such a folder.

    Without dataset.json channels are colours if any picture has some, and the classes are the values found in
    up to 50 masks.

    Args:
        root: the folder.
        content: that of its dataset.json, None if it has none.
        tolerant: whether to pass over images and masks without each other, and over masks that can't be read, as long
            as others can: verification tells them one by one. Images that can't be read are always left to the check of headers.
    """
    folders = _mask_folders(root)
    if len(folders) > 1:
        raise DataError(
            f"{root}: found {' and '.join(f'{path.name}/' for path in folders)}, of which one holds masks. Move the other elsewhere."
        )
    cases, images, masks = _pair(root)
    _tell_passed_over(root / "images", *folders)
    if (images or masks) and not (tolerant and cases):
        raise _alone(root, images, masks)
    file = root / "dataset.json"
    if content is not None:
        channels, labels = channel_names(file, content), parse_labels(file, content, binary_255=True)
    else:
        volumes = [path.name for case in cases for path in case.files if not is_picture(path)]
        if volumes:
            raise DataError(
                f"{root}: without a dataset.json, images and masks must be 2D pictures; found {some_of(volumes)}. For volumes, {_REMEDY}."
            )
        found = _readable(lambda case: pictures.open_file(case.images[0]).channels, cases, tolerant=True)  # headers' faults are told later
        channels = COLOURS if any(count == len(COLOURS) for count in found) else ("gray",)
        labels = _labels_in_masks(root, cases, tolerant)
    name = str((content and content.name) or root.resolve().name)
    return Task(name, root, channels, labels.names, check_cases(file, cases), (), labels.regions, labels.ignore_label, labels.label_map)


def unpaired(root: Path) -> tuple[list[Path], list[Path]]:
    """The images without a mask, and the masks without an image."""
    _, images, masks = _pair(root)
    return images, masks


def _mask_folders(root: Path) -> list[Path]:
    return [root / name for name in MASK_FOLDERS if (root / name).is_dir()]


def _pair(root: Path) -> tuple[list[Case], list[Path], list[Path]]:
    """The cases; the images without a mask; the masks without an image."""
    folder = _mask_folders(root)[0]
    images, masks = _files(root / "images"), _files(folder)
    marked = [name for name in masks if name.endswith(_MASK) and name not in images]
    twice = [name for name in marked if name.removesuffix(_MASK) in masks]
    if twice:
        raise DataError(f"{folder}: {some_of(twice)} and a mask without {_MASK} belong to the same image. Remove one of them.")
    masks = {name.removesuffix(_MASK) if name in marked else name: path for name, path in masks.items()}
    cases = [Case(name, (images[name],), masks[name]) for name in images if name in masks]
    return (
        cases,
        [path for name, path in images.items() if name not in masks],
        [path for name, path in masks.items() if name not in images],
    )


def _alone(root: Path, images: list[Path], masks: list[Path]) -> DataError:
    alone = {f"images without a mask in {_mask_folders(root)[0].name}/": images, "masks without an image in images/": masks}
    problems = [f"{len(paths)} {kind} ({some_of([strip_ending(path.name) for path in paths])})" for kind, paths in alone.items() if paths]
    return DataError(
        f"{root}: found {' and '.join(problems)}. An image and its mask have the same name up to the "
        f"ending; the mask's may also end in {_MASK}. Add or rename the files."
    )


def _readable(read: Callable[[Case], _Read], cases: list[Case], tolerant: bool) -> Iterator[_Read]:
    """What `read` gives for the cases; if tolerant, without those where it fails, unless it fails for all."""
    failed = []
    for case in cases:
        try:
            yield read(case)
        except DataError as error:
            failed.append(error)
            if not tolerant or len(failed) == len(cases):
                raise


def _tell_passed_over(*folders: Path) -> None:
    """Warns of folders within, and of files that seem to hold pictures of a kind that isn't read."""
    for folder in folders:
        paths = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
        found = [path.name + "/" * path.is_dir() for path in paths if path.is_dir() or path.suffix.lower() in _OTHER_PICTURES]
        if found:
            logging.warning(
                "%s: passed over %s. Pictures are read as .png, .tif, .bmp or .jpg, and not from folders within.", folder, some_of(found)
            )


def _files(folder: Path) -> dict[str, Path]:
    """Name without ending to file."""
    paths = [path for path in sorted(folder.iterdir()) if ending_of(path.name) and not path.name.startswith(".")]
    files = {strip_ending(path.name): path for path in paths}
    if not files:
        raise DataError(
            f"{folder}: no pictures (.png, .tif, .bmp, .jpg) or volumes in it; it holds "
            f"{some_of([path.name for path in sorted(folder.iterdir())]) or 'nothing'}."
        )
    repeated = [path.name for path in paths if files[strip_ending(path.name)] is not path]
    if repeated:
        raise DataError(f"{folder}: {some_of(repeated)} and another file have the same name up to the ending. Rename or remove one.")
    return files


def _labels_in_masks(root: Path, cases: list[Case], tolerant: bool) -> Labels:
    chosen = [cases[index] for index in np.unique(np.linspace(0, len(cases) - 1, MAX_LOOKED_AT).astype(int))]
    holders, counts = defaultdict(list), set()
    for case, found in _readable(lambda case: (case, _values(case.label_file)), chosen, tolerant):
        foreground = found - {0}
        counts.add(len(foreground) if foreground == {*range(1, len(foreground) + 1)} else None)
        for value in found:
            holders[value].append(case.label_file.name)
    values = sorted(holders)
    looked = "all" if len(chosen) == len(cases) else f"{len(chosen)} that were looked at of"
    where = f"{root}: {looked} {len(cases)} masks hold the values {some_of(list(map(str, values)))}"
    if values == [0] or len(values) > MAX_UNNAMED:
        ((fullest, most),) = Counter(name for names in holders.values() for name in names).most_common(1)
        complaint = "no foreground" if values == [0] else f"more than {MAX_UNNAMED} classes, {most} of them in {fullest}"
        raise DataError(
            f"{where}: {complaint}. Masks must hold one number per class, not one per object, nor blurred outlines. If they do: {_REMEDY}."
        )
    counts -= {0}
    if None not in counts and len(counts) >= NUMBERED:
        lasts = some_of([str(count) for count in sorted(counts)])
        raise DataError(
            f"{where}: each holds all numbers from 1 up to one of its own ({lasts}), as numbered objects do. Masks must hold one number "
            f"per class. If these are classes: {_REMEDY}."
        )
    if values[0] == 0 and len(values) == 2:
        found = Labels({0: "background", 1: "foreground"}, label_map={} if values[1] == 1 else {values[1]: 1})
    elif values == list(range(len(values))):
        found = Labels({value: f"class {value}" if value else "background" for value in values})
    else:
        rarest = min(values, key=lambda value: len(holders[value]))
        raise DataError(
            f"{where}, but classes must be 0 (background), 1, 2, ... without a gap, or 0 and one other "
            f"value; {rarest} is the rarest, in {some_of(holders[rarest])}. Renumber "
            f"the masks; or, if a class is only missing from them: {_REMEDY}."
        )
    logging.info("%s; taken as %s", where, ", ".join(f"{value} {name}" for value, name in found.names.items()))
    return found


def _values(mask: Path) -> set[int]:
    label, _ = read_label(mask)
    small = label.dtype == np.uint8  # counting is faster than sorting
    return set((np.flatnonzero(np.bincount(label.ravel())) if small else np.unique(label)).tolist())
