"""DICOM in: a folder of slices, any one slice of it, or one object of many frames, through pydicom and its decoders.

All are a list of frames (`scnas_keras.formats.frames`), sorted by their positions and checked alike.
"""

import dataclasses
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from scnas_keras.errors import DataError
from scnas_keras.formats.endings import ENDINGS, dicom_files, ending_of, is_unfinished, plain_files, reader_of
from scnas_keras.formats.foreign import told_absent
from scnas_keras.formats.geometry import make_affine
from scnas_keras.formats.instances import Instance, read_instance, read_pixels, without_image
from scnas_keras.formats.stacks import check_alike, find_step
from scnas_keras.formats.stored import Allocate, Stored, unreadable
from scnas_keras.formats.unfinished import doubts_of_unfinished, unfinished_files, with_unfinished

_PACKED = ".gz", ".bz2", ".xz", ".zst", ".zip"


def open_file(path: Path, own_series: bool = False) -> Stored:
    """Reads the headers of all frames of a series; the third axis follows their positions, sheared by a tilted gantry.

    Args:
        path: a folder of slices, one of them, or an object of many frames.
        own_series: whether the slices in a folder may each have a series and a frame of reference of their own.

    Raises:
        DataError: no series or several, a file that can't be read, frames that don't fit together, or a gap between them.
        ConfigError: pydicom isn't installed.
    """
    return open_series(path, own_series)[0]


def open_series(path: Path, own_series: bool = False) -> tuple[Stored, list[Path]]:
    """`open_file`, and the file of each frame in the order of the third axis."""
    instances = _series(path, own_series)
    frames = [frame for instance in instances for frame in instance.frames]
    alone = not path.is_dir() and len(frames) > 1 == len(instances)
    unfinished = [] if alone else [file for file in unfinished_files(path if path.is_dir() else path.parent) if file != path]
    check_alike(path, instances, frames)
    normal = np.cross(*frames[0].axes.T)
    normal /= np.linalg.norm(normal)
    frames.sort(key=lambda frame: float(frame.position @ normal))
    try:
        step, doubts = find_step(path, frames, instances, normal)
    except DataError as error:
        raise with_unfinished(error, unfinished) from error
    doubts += doubts_of_unfinished(unfinished, instances[0].series, frames, step)
    matrix = np.column_stack([frames[0].axes, step])
    first, (width, height) = instances[0], instances[0].size
    scales = {(frame.slope, frame.inter) for frame in frames}
    one = len(scales) == 1
    kind = np.result_type(*(instance.kind for instance in instances)) if one else np.dtype(np.float32)

    def voxels(_: Allocate) -> np.ndarray:
        array = np.empty((len(frames), height, width, first.samples), kind)
        places = {(frame.file, frame.number): place for place, frame in enumerate(frames)}
        for instance in instances:
            pixels = read_pixels(instance)
            for frame in instance.frames:
                values = pixels[frame.number].reshape(array.shape[1:])
                scaled = values if one else values * np.float64(frame.slope) + frame.inter
                array[places[frame.file, frame.number]] = scaled
        return array.transpose(2, 1, 0, 3)

    slope, inter = scales.pop() if one else (1.0, 0.0)
    affine = make_affine(matrix, frames[0].position)
    shape = (width, height, len(frames))
    padding = _padding(instances, slope, inter) if one else ()
    stored = Stored(path, shape, first.samples, affine, voxels, slope, inter, doubts=doubts, indexed=first.indexed, padding=padding)
    return stored, [frame.file for frame in frames]


def series_files(path: Path) -> list[Path]:
    """The files that are read where a file is named: it alone, or with it the slices beside it of its series, by name."""
    return sorted(instance.path for instance in _series(path))


def _padding(instances: Sequence[Instance], slope: float, inter: float) -> tuple[tuple[float, float], ...]:
    """What the files declare to be padding, in the values that their stored numbers mean; not told of frames with several scales."""
    found = set()
    for instance in instances:
        if instance.padding:
            numbers = [instance.white - number if instance.white is not None else number for number in instance.padding]
            ends = sorted(number * slope + inter for number in numbers)
            found.add((ends[0], ends[1]))
    return tuple(sorted(found))


def _series(path: Path, own_series: bool = False) -> list[Instance]:
    """The files of the only series in a folder, or of the series that a slice belongs to."""
    if not path.is_dir():
        named = read_instance(path)
        if named is None:
            raise without_image(path)
        if len(named.frames) > 1:
            return [named]
        beside = [file for file in _slice_files(path.parent) if file != path]
        others = [instance for file in beside if (instance := read_instance(file)) and instance.series == named.series]
        _refuse_left_out(path.parent, named.series)
        return [named, *others]
    series = defaultdict(list)
    for file in _slice_files(path):
        if instance := read_instance(file):
            series[instance.series].append(instance)
    if not series:
        names = sorted(file.name for file in path.iterdir())
        raise DataError(
            f"{path}: no DICOM series found (it holds: {', '.join(names[:5]) or 'nothing'}). "
            "Name the folder that directly holds the slices of one scan."
        )
    single = all(len(own) == len(own[0].frames) == 1 for own in series.values())
    if single and own_series:
        series = {"": [dataclasses.replace(own, series="", reference="") for (own,) in series.values()]}
    if len(series) > 1:
        apart = " If they are one scan whose slices were made anonymous one by one, give all of them one SeriesInstanceUID and one "
        apart += "FrameOfReferenceUID."
        raise DataError(
            f"{path}: expected one DICOM series, found {len(series)}:{''.join(_described(series[uid]) for uid in sorted(series))}\n"
            f"Name one slice file of the series that you mean, or move each series into a folder of its own.{apart if single else ''}"
        )
    _refuse_left_out(path, next(iter(series)))
    return next(iter(series.values()))


def _refuse_left_out(folder: Path, series: str) -> None:
    """Raises DataError for what lies beside the slices of a series, isn't read, and may be more of them: those at an end leave no gap."""
    for path in sorted(folder.iterdir()):
        if not path.name.startswith(".") and (why := _left_out(path, series)):
            raise DataError(f"{path}: may be a part of the scan beside it, which would lack its slices: {why}")


def _left_out(path: Path, series: str) -> str | None:
    """Why an entry of a folder may hold slices of a series that aren't read, and what to do; None for what doesn't look like it."""
    if path.is_dir():
        inside = "it is a folder with slices of the same series. Put all slices of a scan into one folder, and other scans elsewhere."
        return inside if series and any(_series_of(file) == series for file in dicom_files(path)) else None
    if not path.exists():
        return f"it is {told_absent(path)} If it is none, remove the link." if _is_called_slice(path) else None
    whole = path.with_suffix("")
    packed = path.suffix.lower() in _PACKED and ending_of(whole.name) in (".dcm", ".ima")
    if packed and not whole.exists() and reader_of(path) != "dicom":
        return f"a file that ends in {path.suffix} isn't read. Unpack it, or remove it if it is none."
    return None


def _series_of(file: Path) -> str | None:
    try:
        instance = read_instance(file)
    except DataError:  # another scan's damage is no matter here
        return None
    return instance.series if instance else None


def _is_called_slice(path: Path) -> bool:
    ending = ending_of(path.name)
    return ENDINGS[ending].reader == "dicom" if ending else not path.suffix or path.suffix[1:].isdigit()


def _described(instances: Sequence[Instance]) -> str:
    first, slices = instances[0], sum(len(instance.frames) for instance in instances)
    called = f" ({first.description})" if first.description else ""
    return f"\n    {first.series}{called}: {slices} slices, for example {first.path.name}"


def _slice_files(folder: Path) -> list[Path]:
    """What may be slices in a folder; an empty file would be a gap otherwise."""
    for file in plain_files(folder):
        if _is_called_slice(file) and not is_unfinished(file.name) and file.stat().st_size == 0:
            raise unreadable(file, "DICOM", "empty")
    return list(dicom_files(folder))
