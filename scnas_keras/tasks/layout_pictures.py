"""Two folders, images/ and masks/ (or labels/), with files of the same names; 2D pictures need no dataset.json."""

from pathlib import Path

from absl import logging

from scnas_keras.errors import DataError, some_of
from scnas_keras.formats import pictures
from scnas_keras.formats.colours import COLOURS
from scnas_keras.formats.endings import ending_of, is_picture, strip_ending
from scnas_keras.tasks.cases import Case, Task
from scnas_keras.tasks.dataset_json import DatasetJson, channel_names, check_cases
from scnas_keras.tasks.labels import parse_labels
from scnas_keras.tasks.mask_values import REMEDY, labels_in_masks, readable

MASK_FOLDERS = ("masks", "labels")
_MASK = "_mask"
_OTHER_PICTURES = tuple(
    f".{ending}" for ending in "gif webp jp2 j2k jfif heic heif avif svg pdf npy npz ppm pgm pbm pnm tga mat h5 hdf5".split()
)


def is_pictures_layout(root: Path) -> bool:
    """Whether a folder holds images/ with masks/ or labels/."""
    return (root / "images").is_dir() and any((root / name).is_dir() for name in MASK_FOLDERS)


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
    cases, images, masks = _pair(root)
    _tell_passed_over(root / "images", _mask_folder(root))
    if (images or masks) and not (tolerant and cases):
        raise _alone(root, images, masks)
    file = root / "dataset.json"
    if content is not None:
        channels, labels = channel_names(file, content), parse_labels(file, content, binary_255=True)
    else:
        volumes = [path.name for case in cases for path in case.files if not is_picture(path)]
        if volumes:
            raise DataError(
                f"{root}: without a dataset.json, images and masks must be 2D pictures; found {some_of(volumes)}. For volumes, {REMEDY}."
            )
        found = readable(lambda case: pictures.open_file(case.images[0]).channels, cases, tolerant=True)  # headers' faults are told later
        channels = COLOURS if any(count == len(COLOURS) for count in found) else ("gray",)
        labels = labels_in_masks(root, cases, tolerant)
    name = str((content and content.name) or root.resolve().name)
    return Task(name, root, channels, labels.names, check_cases(file, cases), (), labels.regions, labels.ignore_label, labels.label_map)


def unpaired(root: Path) -> tuple[list[Path], list[Path]]:
    """The images without a mask, and the masks without an image."""
    _, images, masks = _pair(root)
    return images, masks


def _mask_folder(root: Path) -> Path:
    """That with masks; DataError if both are there and hold some."""
    folders = [root / name for name in MASK_FOLDERS if (root / name).is_dir()]
    filled = [folder for folder in folders if any(ending_of(path.name) for path in folder.iterdir())]
    if len(filled) > 1:
        raise DataError(
            f"{root}: found masks in {' and in '.join(f'{path.name}/' for path in filled)}. Move one of both folders elsewhere."
        )
    return (filled or folders)[0]


def _pair(root: Path) -> tuple[list[Case], list[Path], list[Path]]:
    """The cases; the images without a mask; the masks without an image."""
    folder = _mask_folder(root)
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
    alone = {f"images without a mask in {_mask_folder(root).name}/": images, "masks without an image in images/": masks}
    problems = [f"{len(paths)} {kind} ({some_of([strip_ending(path.name) for path in paths])})" for kind, paths in alone.items() if paths]
    return DataError(
        f"{root}: found {' and '.join(problems)}. An image and its mask have the same name up to the "
        f"ending; the mask's may also end in {_MASK}. Add or rename the files."
    )


def _tell_passed_over(*folders: Path) -> None:
    """Warns of folders within, and of files that seem to hold pictures in a form that isn't read."""
    for folder in folders:
        paths = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
        found = [path.name + "/" * path.is_dir() for path in paths if path.is_dir() or path.suffix.lower() in _OTHER_PICTURES]
        if found:
            remedy = "Convert them to .png, and move what lies in folders within up"
            logging.warning("%s: passed over %s, which aren't read. %s.", folder, some_of(found), remedy)


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
