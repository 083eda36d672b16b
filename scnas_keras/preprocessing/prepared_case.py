"""A case in the cache: how its files are written, and how they're read.

    image.npy           float16 or float32 [a, b, c, channels], normalised
    label.npy           uint8 [a, b, c]; `OUTSIDE` marks background outside of the nonzero mask, where the plan uses it
    foreground.npy      int32 [n, 3], voxels of each class, ordered by class
    meta.json           source files, the crop that leads back to the scan, voxels listed per class, the arrays' bytes

Arrays are in the plan's axes. float16 keeps 11 bits of a number, so that rounding to it changes a value by 2^-11 of its
size at most: an intensity of 2 standard deviations by 0.001 of them, far less than a scan's noise. An image that isn't
normalised may hold values for which that is too much, or that float16 doesn't reach: it is stored as float32.
"""

import dataclasses
import functools
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from scnas_keras.checks.ranges import intensity_ranges
from scnas_keras.preprocessing.cropping import Crop
from scnas_keras.preprocessing.foreground import foreground_index
from scnas_keras.preprocessing.names import FLOAT32
from scnas_keras.preprocessing.scans import Preprocessed
from scnas_keras.tasks.cases import Case

OUTSIDE = 255
ARRAYS = ("image.npy", "label.npy", "foreground.npy")
MOST_ROUNDED = 1 / 200
_SLAB_VOXELS = 2**20


@dataclasses.dataclass(frozen=True)
class PreparedCase:
    """A case in the cache. Arrays are memory-mapped: slicing one reads the slice's bytes only."""

    name: str
    folder: Path

    def __reduce__(self):
        return PreparedCase, (self.name, self.folder)

    @property
    def files(self) -> tuple[Path, ...]:
        """What is in its folder."""
        return tuple(self.folder / name for name in ("meta.json", *ARRAYS))

    def image(self) -> np.ndarray:
        """Normalised image, float16 or float32 [a, b, c, channels], memory-mapped."""
        return np.load(self.folder / "image.npy", mmap_mode="r")

    def label(self) -> np.ndarray:
        """Segmentation, uint8 [a, b, c], memory-mapped. `OUTSIDE` is background that the nonzero mask leaves out."""
        return np.load(self.folder / "label.npy", mmap_mode="r")

    @functools.cached_property
    def shape(self) -> tuple[int, int, int]:
        """Size in voxels along the plan's axes."""
        return tuple(self._meta["shape"])

    @functools.cached_property
    def crop(self) -> Crop:
        """Where this case lies in its scan, for `restore_rows`."""
        return Crop(**{key: tuple(value) for key, value in self._meta["crop"].items()})

    @functools.cached_property
    def ranges(self) -> tuple[tuple[float, float], ...]:
        """`checks.ranges.intensity_ranges` of the scan."""
        return tuple((low, high) for low, high in self._meta["ranges"])

    @functools.cached_property
    def classes(self) -> dict[int, int]:
        """The classes present but the background: value to the number of its voxels that `foreground_voxel` knows."""
        return {int(value): count for value, count in self._meta["foreground"].items()}

    def foreground_voxel(self, value: int, index: int) -> tuple[int, int, int]:
        """Voxel `index`, from 0 up to `classes[value]`, of a class: its indices along the plan's axes."""
        if not 0 <= index < self.classes[value]:
            raise IndexError(f"class {value} of {self.name} lists {self.classes[value]} voxels, got index {index}")
        before = sum(count for other, count in self.classes.items() if other < value)
        return tuple(map(int, np.load(self.folder / "foreground.npy", mmap_mode="r")[before + index]))

    @functools.cached_property
    def _meta(self) -> dict:
        return json.loads((self.folder / "meta.json").read_text(encoding="utf-8"))


def write_case(
    folder: Path,
    case: Case,
    scan: Preprocessed,
    label: np.ndarray,
    classes: list[int],
    storage: str,
    ranges: Sequence[tuple[float, float]],
) -> None:
    """Writes a case's files to an empty folder, each on the disk for good when this returns.

    Args:
        folder: an empty folder.
        case: its name and source files are noted.
        scan: from `preprocess_image`.
        label: integers [a, b, c] from 0 to 255; to 254 where the scan has an outside.
        classes: label values that patches may be centred on, ascending.
        ranges: `intensity_ranges` of the scan as it was read.
        storage: "float16", unless that can't hold the image (`holds_float16`), or "float32".

    Raises:
        OSError: the disk is full, for example.
    """
    label = np.array(label, np.uint8, order="C")
    if scan.outside is not None:
        label[scan.outside & (label == 0)] = OUTSIDE
    voxels, listed = foreground_index(label, classes, case.name)
    storage = storage if holds_float16(scan.image) else FLOAT32
    for name, array, dtype in zip(ARRAYS, (scan.image, label, voxels), (storage, label.dtype, voxels.dtype)):
        write_file(folder / name, functools.partial(_write_array, array=array, dtype=np.dtype(dtype)))
    meta = {
        "name": case.name,
        "images": list(map(str, case.images)),
        "label": str(case.label),
        "shape": label.shape,
        "foreground": listed,
        "ranges": ranges,
        "crop": dataclasses.asdict(scan.crop),
        "bytes": {name: (folder / name).stat().st_size for name in ARRAYS},
    }
    write_file(folder / "meta.json", lambda file: file.write((json.dumps(meta, indent=2) + "\n").encode()))


def holds_float16(image: np.ndarray) -> bool:
    """Whether float16 reaches all values of an image [a, b, c, channels], and resolves the contrast of each channel.

    The contrast is the distance of the 0.5 and 99.5 percentiles; rounding may change a value between these by a 200th of it.
    """
    limit = float(np.finfo(np.float16).max)
    for channel, (low, high) in enumerate(intensity_ranges(image)):
        values = image[..., channel]
        if values.max() > limit or values.min() < -limit:
            return False
        step = float(np.spacing(np.float16(max(abs(low), abs(high)))))
        if high > low and step / 2 > MOST_ROUNDED * (high - low):
            return False
    return True


def is_whole(folder: Path) -> bool:
    """Whether a case's files are there, each as long as it was when it was written."""
    try:
        sizes = json.loads((folder / "meta.json").read_text(encoding="utf-8"))["bytes"]
        return all((folder / name).stat().st_size == sizes[name] for name in ARRAYS)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def write_file(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Writes a file and waits until it's on the disk."""
    with path.open("wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())


def _write_array(file: BinaryIO, array: np.ndarray, dtype: np.dtype) -> None:
    """np.save slab by slab: converts without a copy of all, and a full disk gives the system's own error."""
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": array.shape}
    np.lib.format.write_array_header_1_0(file, header)
    thickness = max(1, _SLAB_VOXELS // max(1, int(np.prod(array.shape[1:]))))
    for first in range(0, len(array), thickness):
        file.write(np.ascontiguousarray(array[first : first + thickness], dtype).data)
