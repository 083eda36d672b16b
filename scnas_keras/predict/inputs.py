"""What a prediction is asked to segment: scans found under --image, and where each one's segmentation goes."""

import dataclasses
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from absl import logging

from scnas_keras.errors import ConfigError, DataError, counted, some_of
from scnas_keras.files import user_path
from scnas_keras.formats.endings import ENDINGS, PROBABILITIES, WRITABLE, ending_of, holds_dicom, is_picture, reader_of, strip_ending
from scnas_keras.formats.foreign import is_other_scan, told, told_absent
from scnas_keras.formats.geometry import GRAY, NO_UNIT, UNFINISHED
from scnas_keras.formats.volumes import Allocate, Volume, in_memory, read_image
from scnas_keras.predict.channels import absent_channels, check_order
from scnas_keras.tasks.layout_chaos import are_slices
from scnas_keras.tasks.layout_nnunet import group_channels
from scnas_keras.tasks.nearest import nearest

LIKELY_MM = 0.01, 20.0
"""Voxel sizes outside of which a header without a unit probably means another one than millimetres."""


@dataclasses.dataclass(frozen=True)
class Scan:
    """A scan: its name, its files (one, one per channel, or a folder of DICOM slices), and its segmentation's file."""

    name: str
    files: tuple[Path, ...]
    output: Path

    @property
    def probabilities(self) -> Path:
        """The file of the classes' probabilities."""
        return self.output.with_name(f"{strip_ending(self.output.name)}{PROBABILITIES}.nii.gz")

    def outputs(self, overlay: bool, probabilities: bool) -> list[Path]:
        """All that is written for it."""
        return [self.output, *([self.overlay] if overlay else []), *([self.probabilities] if probabilities else [])]

    @property
    def overlay(self) -> Path:
        """The picture that shows the segmentation over the scan."""
        picture = self.output.with_name(f"{strip_ending(self.output.name)}.png")
        return picture if picture != self.output else picture.with_name(f"{picture.stem}_overlay.png")


def find_images(image: str) -> list[Path]:
    """What --image names: a file, a folder, or several files with commas between them, one per channel of a scan.

    Raises ConfigError if something isn't there.
    """
    one = os.path.exists(os.path.expanduser(image))  # a comma may be part of a name
    if not one and not all(map(str.strip, image.split(","))):
        raise ConfigError(f"--image={image}: a name between the commas is empty.")
    paths = [user_path(part) for part in ([image] if one else map(str.strip, image.split(",")))]
    missing = [path for path in paths if not path.exists()]
    if missing:
        why = told_absent(missing[0])
        more = f" It is {why}" if why else nearest(missing[0])
        raise ConfigError(f"--image={image}: {some_of([str(path) for path in missing])} is neither a file nor a folder.{more}")
    folders = [str(path) for path in paths if path.is_dir()]
    if folders and len(paths) > 1:
        raise ConfigError(f"--image={image}: the files of a scan's channels are wanted between commas, but {folders[0]} is a folder.")
    return paths


def collect_scans(image: str, output: str, channels: Sequence[str]) -> list[Scan]:
    """The scans under --image with their places under --output.

    A folder of DICOM slices is one scan. In any other folder each file is one, and each folder of DICOM slices in it;
    if the model has several channels, CASE_0000, CASE_0001, ... are one.

    Args:
        image: see `find_images`.
        output: the segmentation's file; for a folder of scans, the folder for them.
        channels: names of the model's, in order.

    Raises:
        ConfigError: there are no scans, their names say other channels than they would be used as, or segmentations can't be written
            under these names.
    """
    paths, target = find_images(image), user_path(output)
    if paths[0].is_dir() and not holds_dicom(paths[0]):
        scans = _folder_scans(paths[0], target, channels)
    else:
        volumes = _volume_files(paths[0]) if paths[0].is_dir() else []
        if volumes:
            raise ConfigError(
                f"--image={image}: holds both DICOM slices and other scans "
                f"({some_of([path.name for path in volumes])}). Name the scan that you mean, or move the "
                "slices into a folder of their own."
            )
        check_order(paths, channels)
        scans = [_single_scan(tuple(paths), target)]
    repeated = [str(path) for path, count in Counter(scan.output for scan in scans).items() if count > 1]
    if repeated:
        raise ConfigError(
            f"--image={image}: several scans would be written to {some_of(repeated)}. Rename them, or segment them one by one."
        )
    return scans


def check_targets(scans: Iterable[Scan], overlay: bool, probabilities: bool = False) -> None:
    """Raises ConfigError if a segmentation, its overlay or its probabilities would overwrite a scan, or one another."""
    scans = list(scans)
    sources = {(stat.st_dev, stat.st_ino) for scan in scans for stat in (file.stat() for file in scan.files)}
    targets = [path for scan in scans for path in scan.outputs(overlay, probabilities)]
    if len({*targets}) < len(targets):
        twice = next(path for path, count in Counter(targets).items() if count > 1)
        raise ConfigError(f"--output: {twice} would be written twice. Rename the scans. Nothing was changed.")
    for target in targets:
        if os.path.exists(target) and (target.stat().st_dev, target.stat().st_ino) in sources:
            raise ConfigError(f"--output would overwrite the scan {target}; name another place. Nothing was changed.")


def read_scan(scan: Scan, channels: Sequence[str], allocate: Allocate = in_memory) -> Volume:
    """Reads a scan into an array that `allocate` makes; DataError if it can't be read or lacks some of the model's channels."""
    if len(scan.files) not in (1, len(channels)):
        raise DataError(
            f"{scan.name}: the model needs {counted(len(channels), 'channel')} ({', '.join(channels)}), found files for "
            f"{len(scan.files)}: {some_of([file.name for file in scan.files])}.{absent_channels(scan.files, channels)} Give one file per "
            "channel, in order, or one file with all."
        )
    volume = read_image(scan.files, allocate, channels, own_series=all(map(are_slices, scan.files)))
    if volume.array.shape[3] == 1 < len(channels):
        raise DataError(
            f"{scan.files[0]}: the model needs {counted(len(channels), 'channel')} ({', '.join(channels)}), found 1."
            f"{absent_channels(scan.files, channels)} Give one file per channel, in order and with commas between them, or one file with "
            "all."
        )
    likely = all(LIKELY_MM[0] <= step <= LIKELY_MM[1] for step in volume.spacing)
    for doubt in volume.geometry.doubts:
        if doubt.kind == UNFINISHED:
            logging.warning("%s: %s. Download or copy the scan again if it ends too early.", scan.files[0], doubt.text)
        elif doubt.kind == GRAY:
            logging.info("%s: %s, as in training.", scan.files[0], doubt.text)
        elif doubt.kind != NO_UNIT or not likely:
            sizes = " x ".join(f"{step:.4g}" for step in volume.spacing)
            logging.warning("%s: the header has %s. Voxels are %s mm.", scan.files[0], doubt.text, sizes)
    return volume


def _single_scan(files: tuple[Path, ...], target: Path) -> Scan:
    name = next(iter(group_channels([_name(files[0])])[0]), _name(files[0])) if len(files) > 1 else _name(files[0])
    if target.is_dir():
        target = target / f"{name}{_output_ending(files[0])}"
    ending = ending_of(target.name)
    if ending not in WRITABLE or (is_picture(target) and not is_picture(files[0])):
        fitting = [ending for ending in WRITABLE if ENDINGS[ending].reader != "pictures" or is_picture(files[0])]
        raise ConfigError(
            f"--output={target}: let the name end in .nii.gz, or another of {', '.join(fitting)}; or name an existing folder."
        )
    return Scan(name, files, target)


def _folder_scans(folder: Path, target: Path, channels: Sequence[str]) -> list[Scan]:
    if target.is_file():
        raise ConfigError(f"--output={target}: --image is a folder of scans, so --output must be a folder as well, not a file.")
    if ending_of(target.name) and not target.is_dir():
        raise ConfigError(f"--output={target}: --image is a folder of scans, so --output is one too, and this is called like a file.")
    found = {}
    by_ending = defaultdict(dict)
    for path in _volume_files(folder):
        by_ending[ending_of(path.name)][strip_ending(path.name)] = path
    for files in by_ending.values():
        found |= {paths: name for name, paths in _by_case(files, len(channels)).items()}
    found |= {(path,): path.name for path in sorted(folder.iterdir()) if path.is_dir() and holds_dicom(path)}
    if not found:
        raise ConfigError(f"--image={folder}: found neither files that end in {', '.join(ENDINGS)}, nor DICOM slices, nor folders of them.")
    if others := [path for path in sorted(folder.iterdir()) if path.is_file() and is_other_scan(path.name)]:
        logging.warning("%s: %d files are left out, such as %s: %s", folder, len(others), others[0].name, told(others[0]))
    scans = [Scan(name, files, target / f"{name}{_output_ending(files[0])}") for files, name in found.items()]
    return sorted(scans, key=lambda scan: scan.name)


def _volume_files(folder: Path) -> list[Path]:
    """Files in a folder that are a scan each, or a channel of one."""
    return [
        path
        for path in sorted(folder.iterdir())
        if path.is_file() and not path.name.startswith(".") and reader_of(path) not in (None, "dicom")
    ]


def _by_case(files: dict[str, Path], channels: int) -> dict[str, tuple[Path, ...]]:
    """Case name to files; numbers at the ends of names are those of channels only if the model can have them all."""
    groups, others = group_channels(files)
    if channels == 1:
        numbered = [case for case, found in groups.items() if len(found) > 1 and 0 in found]
        if len(numbered) > 1:
            logging.warning(
                "By their names %s of %s and others are channels of one scan. The model has one channel: each file is segmented by itself.",
                ", ".join(f"{number:04d}" for number in sorted(groups[numbered[0]])[:3]),
                numbered[0],
            )
        groups, others = {}, list(files)
    cases = {name: (files[name],) for name in others}
    for case, numbered in groups.items():
        if len(numbered) > 1 and 0 in numbered and max(numbered) < channels:
            cases[case] = tuple(files[numbered[number]] for number in sorted(numbered))
        else:
            cases |= {name: (files[name],) for name in numbered.values()}
    return cases


def _name(path: Path) -> str:
    return path.resolve().name if path.is_dir() else strip_ending(path.name)


def _output_ending(path: Path) -> str:
    """The ending of a scan's segmentation where only a folder is named for it."""
    reader = reader_of(path)
    return {"dicom": ".nii.gz", "pictures": ".png"}.get(reader, ending_of(path.name) or ".nii.gz")
