"""Colours of 16 bits a channel, of which Pillow keeps the high byte.

It takes the byte that stands first or last, as the file's order of bytes says. Told the other order it takes the other byte.
"""

import re
from pathlib import Path

import numpy as np
from PIL import Image

from scnas_keras.errors import DataError

_OTHER = {"16L": "16B", "16B": "16L", "16N": "16B" if np.little_endian else "16L"}
_PLANES, _APART, _BITS = 284, 2, 258
_REMEDY = "Save each channel as a gray picture of 16 bits (CASE_0000.png, CASE_0001.png, ...), or the picture with 8 bits."


def is_deep(path: Path, image: Image.Image) -> bool:
    """Whether an opened picture has colours of 16 bits; DataError for those that can't be read in full."""
    tags = getattr(image, "tag_v2", {})
    apart = tags.get(_PLANES) == _APART and max(tags.get(_BITS, (1,))) > 8
    stored = _stored_mode(image)
    if stored.startswith("LA;16") or (apart and image.mode in ("RGB", "RGBA")):
        raise DataError(f"{path}: {'its colours lie apart' if apart else 'gray with alpha'}, of 16 bits, which isn't read. {_REMEDY}")
    return re.fullmatch("RGBA?;16[LBN]", stored) is not None


def read_deep(path: Path) -> np.ndarray:
    """The colours of such a picture, uint16 [row, column, channel]; raises Pillow's errors if it is damaged."""
    with Image.open(path) as image:
        high = np.asarray(image)
    with Image.open(path) as image:
        image.tile = [tile._replace(args=_of_other_order(tile.args)) for tile in image.tile]
        low = np.asarray(image)
    return high.astype(np.uint16) << 8 | low


def _stored_mode(image: Image.Image) -> str:
    """What Pillow calls the form of a picture's numbers in its file."""
    if not image.tile:
        return ""
    args = image.tile[0].args
    return args if isinstance(args, str) else str(args[0]) if args else ""


def _of_other_order(args: str | tuple) -> str | tuple:
    mode, rest = (args, None) if isinstance(args, str) else (args[0], args[1:])
    kind, order = mode.split(";")
    other = f"{kind};{_OTHER[order]}"
    return other if rest is None else (other, *rest)
