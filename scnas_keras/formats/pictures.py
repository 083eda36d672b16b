"""2D pictures (.png, .tif, .tiff, .bmp, .jpg) in and out, through Pillow.

A picture is a volume [x, y, 1, channels]: x is the column, y the row, both counted from the top left.
"""

import io
import re
import struct
from pathlib import Path

import numpy as np
from nibabel.affines import voxel_sizes
from PIL import Image

from scnas_keras.errors import ConfigError, DataError
from scnas_keras.files import write_bytes
from scnas_keras.formats.deep_colour import deep_channels, read_deep
from scnas_keras.formats.geometry import PIXELS, Geometry
from scnas_keras.formats.picture_headers import check_meaning, pixel_size, scale, stored_kind, unread_kind
from scnas_keras.formats.stored import Allocate, Stored, cut_off, unreadable

_CHANNELS = {"1": 1, "L": 1, "I": 1, "F": 1, "I;16": 1, "I;16B": 1, "I;16L": 1, "I;16N": 1, "P": 1, "PA": 1, "LA": 1, "RGB": 3, "RGBA": 3}
_ERRORS = (OSError, SyntaxError, TypeError, ValueError, EOFError, struct.error, Image.DecompressionBombError)


def open_file(path: Path) -> Stored:
    """Reads size and kind of a picture: gray of 8 or 16 bits or floating point, RGB of 8 or 16, or indexed (a label). Alpha is left out."""
    try:
        with Image.open(path) as image:
            (width, height), mode, pages = image.size, image.mode, getattr(image, "n_frames", 1)
            stored_mode = str(image.tile[0][3]) if image.tile else ""
            spacing, (slope, inter) = (*pixel_size(path, image), PIXELS[2]), scale(path, image)
            check_meaning(path, image)
            kind, deep = stored_kind(image), deep_channels(path, image)
    except _ERRORS as error:
        if unread := unread_kind(path):
            raise DataError(
                f"{path}: a TIFF of {unread}, which isn't read. Convert it to .nii.gz or .nrrd, or to gray of 8, 16 or 32 bits or floating "
                "point of 32 bits, each channel a file of its own (CASE_0000.tif, CASE_0001.tif, ...)."
            ) from error
        raise unreadable(path, "picture", error) from error
    if pages > 1:
        raise DataError(
            f"{path}: expected one picture, found {pages} pages. Save each page as a file of its own, or "
            "convert the stack to .nii.gz or .nrrd, which also store its spacing."
        )
    if mode not in _CHANNELS:
        raise DataError(f"{path}: pictures of the kind {mode} have no known channels. Save it as gray or RGB.")
    channels = deep or _CHANNELS[mode]

    def voxels(_: Allocate) -> np.ndarray:
        try:
            with Image.open(path) as image:
                array = read_deep(path) if deep else np.asarray(image)
                check_meaning(path, image)  # again, for PNG may tell behind its pixels
                palette = image.getpalette("RGB") if image.mode in ("P", "PA") else None
        except _ERRORS as error:
            raise cut_off(path, error) from error
        array = array.reshape(height, width, -1).astype(np.uint8 if array.dtype == bool else array.dtype, copy=False)
        if kind:
            array = array.view(kind)
        if few := re.search(r"\bL;([24])", stored_mode):  # Pillow stretches them to 0...255
            array = array // (255 // (2 ** int(few[1]) - 1))
        _check_shown(path, array[..., :channels], array[..., channels:], palette)
        return array[..., :channels].transpose(1, 0, 2)[:, :, None, :]  # without alpha

    affine = np.diag([*spacing, 1.0])
    return Stored(path, (width, height, 1), channels, affine, voxels, slope, inter, indexed=mode in ("P", "PA"))


def _check_shown(path: Path, array: np.ndarray, alpha: np.ndarray, palette: list[int] | None) -> None:
    """Raises DataError for a picture whose numbers aren't what it shows.

    Args:
        path: of the picture.
        array: its numbers [row, column, channel].
        alpha: [row, column, 0 or 1].
        palette: red, green and blue of each number of an indexed one; None of another.
    """
    if alpha.size and np.ptp(alpha) and not np.ptp(array, axis=(0, 1)).any():
        raise DataError(f"{path}: what it shows is in its alpha channel, which isn't read: all else is of one value. Save it as gray.")
    shown = _shown(array, palette)
    black = [number for number, colour in shown.items() if not any(colour)]
    gray = all(len({*colour}) == 1 for colour in shown.values())
    grays = [colour[0] for colour in shown.values()]
    if (gray and grays != sorted(grays)) or (black and 0 in shown and 0 not in black):
        told = ", ".join(f"{number} is {'black' if number in black else colour}" for number, colour in shown.items())
        raise DataError(
            f"{path}: its palette gives its numbers colours in another order ({told}), so that it isn't clear which of both are meant. "
            "Save it as gray."
        )


def shown_colours(path: Path) -> dict[int, tuple[int, int, int]]:
    """The numbers that an indexed picture holds -> red, green and blue by its palette; nothing for another picture.

    Raises DataError for one that can't be read.
    """
    try:
        with Image.open(path) as image:
            return _shown(np.asarray(image), image.getpalette("RGB")) if image.mode == "P" else {}
    except _ERRORS as error:
        raise unreadable(path, "picture", error) from error


def _shown(array: np.ndarray, palette: list[int] | None) -> dict[int, tuple[int, int, int]]:
    """The numbers in an indexed picture -> their colours, in order; nothing without a palette."""
    numbers = np.flatnonzero(np.bincount(array.ravel())) if palette else []
    return {int(number): tuple(palette[3 * number : 3 * number + 3]) for number in numbers if 3 * number < len(palette)}


def write_file(path: Path, array: np.ndarray, geometry: Geometry) -> None:
    """Writes a label [x, y, 1] as a gray picture of 8 or 16 bits, with the size of its pixels if that is known."""
    if geometry.shape[2] != 1:
        raise ConfigError(f"{path}: a volume of shape {geometry.shape} doesn't fit into a picture; let the name end in .nii.gz.")
    if array.dtype.itemsize > 2:
        raise ConfigError(f"{path}: a picture holds label values up to 65535, found {array.max()}; let the name end in .nii.gz.")
    stream = io.BytesIO()
    kind, options = ("PNG", {}) if path.suffix.lower() == ".png" else ("TIFF", {"compression": "tiff_adobe_deflate"})
    width, height, _ = voxel_sizes(geometry.affine)
    if (width, height) != PIXELS[:2]:
        options |= {"dpi": (25.4 / width, 25.4 / height)}
    Image.fromarray(np.ascontiguousarray(array[:, :, 0].T)).save(stream, kind, **options)
    write_bytes(path, stream.getvalue())
