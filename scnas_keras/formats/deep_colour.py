"""Pictures of 16 bits a channel of which Pillow keeps the high byte: colours, and gray with alpha.

It takes the byte of a colour that stands first or last, as the file's order of bytes says. Told the other order it takes the other byte.
Gray with alpha (in PNG, high bytes first) has as many bytes as four colours of 8 bits.
"""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from scnas_keras.errors import DataError

_GRAY = "LA;16B"
_OTHER = {"16L": "16B", "16B": "16L", "16N": "16B" if np.little_endian else "16L"}
_PLANES, _APART, _BITS = 284, 2, 258


def deep_channels(path: Path, image: Image.Image) -> int | None:
    """The channels beside alpha of an opened picture of this kind, None for another; DataError for colours that can't be read in full."""
    tags = getattr(image, "tag_v2", {})
    if image.mode in ("RGB", "RGBA") and tags.get(_PLANES) == _APART and max(tags.get(_BITS, (1,))) > 8:
        raise DataError(
            f"{path}: its colours of 16 bits lie apart, which isn't read. Save each channel as a gray picture of 16 bits (CASE_0000.png, "
            "CASE_0001.png, ...), or the picture with 8 bits."
        )
    stored = _stored_mode(image)
    return 1 if stored == _GRAY else 3 if re.fullmatch("RGBA?;16[LBN]", stored) else None


def read_deep(path: Path) -> np.ndarray:
    """The numbers of such a picture, uint16 [row, column, channel]; raises Pillow's errors if it is damaged."""
    with Image.open(path) as image:
        if _stored_mode(image) == _GRAY:
            high, low = np.split(_read(image, lambda args: "RGBA")[..., :2], 2, axis=2)
        else:
            high = np.asarray(image)
            with Image.open(path) as again:
                low = _read(again, _of_other_order)
    return high.astype(np.uint16) << 8 | low


def _read(image: Image.Image, stored: Callable[[str | tuple], str | tuple]) -> np.ndarray:
    """What Pillow reads where it is told another form of the numbers."""
    image.tile = [tile._replace(args=stored(tile.args)) for tile in image.tile]
    return np.asarray(image)


def _stored_mode(image: Image.Image) -> str:
    """What Pillow calls the form of a picture's numbers in its file."""
    args = image.tile[0].args if image.tile else ""
    return args if isinstance(args, str) else str(args[0]) if args else ""


def _of_other_order(args: str | tuple) -> str | tuple:
    mode, rest = (args, None) if isinstance(args, str) else (args[0], args[1:])
    kind, order = mode.split(";")
    other = f"{kind};{_OTHER[order]}"
    return other if rest is None else (other, *rest)
