"""What pictures say of the size of their pixels, of their scale, and of how they are turned.

Sources: the PNG specification (pHYs), JFIF, TIFF 6.0 (ResolutionUnit), the descriptions that ImageJ writes, and the OME-TIFF specification.
"""

import math
import re
from pathlib import Path

from PIL import Image

from scnas_keras.errors import DataError
from scnas_keras.formats.geometry import PIXELS
from scnas_keras.formats.stored import cut_off
from scnas_keras.formats.units import millimetres

_INCH = 25.4  # mm
_NOTHING_MEANT = (1.0, 72.0, 96.0)
"""Pixels per inch that programs write who know nothing of a picture's size."""
_ORIENTATION, _DESCRIPTION, _X, _Y, _UNIT, _PHOTOMETRIC, _BITS = 274, 270, 282, 283, 296, 262, 258
_CENTIMETRES = 3


def pixel_size(path: Path, image: Image.Image) -> tuple[float, float]:
    """Width and height of an opened picture's pixels in mm; `PIXELS` where nothing is known of them."""
    density = image.info.get("jfif_density") if image.info.get("jfif_unit") == 0 else None
    aspect = image.info.get("aspect", density)
    if aspect and _positive(*aspect):  # pixels per unknown length
        return PIXELS[0], PIXELS[1] * aspect[0] / aspect[1]
    tags = getattr(image, "tag_v2", None)
    if tags is None:
        return _of_density(image.info.get("dpi"), _INCH)
    text, density = str(tags.get(_DESCRIPTION, "")), (tags.get(_X), tags.get(_Y))
    if "<OME" in text:
        return _of_ome(path, text)
    fields = imagej_fields(text)
    unit = fields.get("unit", "").lower()
    if unit and unit not in ("pixel", "pixels"):
        length = millimetres(unit)
        if length is None:
            raise DataError(f"{path}: ImageJ's unit of length is {unit!r}. Save it in millimetres or micrometres.")
        return _of_density(density, length, meant=True)
    kind = tags.get(_UNIT, 2)
    if fields or kind not in (2, _CENTIMETRES):
        return (PIXELS[0], PIXELS[1] * float(density[0]) / float(density[1])) if _positive(*density) else PIXELS[:2]
    return _of_density(density, _INCH if kind == 2 else 10.0)


def check_meaning(path: Path, image: Image.Image) -> None:
    """Raises DataError if an opened picture asks to be turned, is inverted, or announces pixels or slices that aren't there."""
    tags = getattr(image, "tag_v2", {})
    turn = (image.getexif() if "exif" in image.info else tags).get(_ORIENTATION, 1)
    if turn != 1:
        raise DataError(
            f"{path}: its orientation tag ({turn}) asks to turn it, which some programs do and others don't. Save it as it is to "
            "be seen, for example with ImageMagick's -auto-orient, and its label with it."
        )
    boxes = [(x, y, min(right, image.width), min(bottom, image.height)) for _, (x, y, right, bottom), *_ in image.tile]
    if boxes and sum((right - x) * (bottom - y) for x, y, right, bottom in boxes) < image.width * image.height:
        raise cut_off(path, f"its pieces don't fill {image.width}x{image.height} pixels")  # Pillow leaves the rest black
    if tags.get(_PHOTOMETRIC) == 0 and max(tags.get(_BITS, (1,))) > 8:
        raise DataError(f"{path}: 0 is white in it, which isn't read with more than 8 bits. Save it with black as 0.")
    images = int(imagej_fields(str(tags.get(_DESCRIPTION, ""))).get("images", 1))
    if images > 1:
        raise DataError(f"{path}: expected one picture, found a stack of ImageJ with {images}. Convert it to .nii.gz or .nrrd.")


def scale(path: Path, image: Image.Image) -> tuple[float, float]:
    """Slope and intercept of an opened picture's numbers, which ImageJ's calibration tells."""
    fields = imagej_fields(str(getattr(image, "tag_v2", {}).get(_DESCRIPTION, "")))
    slope, inter = float(fields.get("c1", 1)), float(fields.get("c0", 0))
    if fields.get("cf", "0") != "0" or not math.isfinite(slope + inter) or not slope:
        raise DataError(f"{path}: ImageJ's calibration of its values isn't a straight line. Save it with the values themselves.")
    return slope, inter


def imagej_fields(text: str) -> dict[str, str]:
    """The fields of a description that ImageJ wrote; none of another."""
    if not text.startswith("ImageJ="):
        return {}
    return {name.strip(): value.strip() for name, _, value in (line.partition("=") for line in text.splitlines())}


def _of_ome(path: Path, text: str) -> tuple[float, float]:
    found = dict(re.findall(r'\b(PhysicalSize[XY](?:Unit)?)="([^"]*)"', text))
    if not {"PhysicalSizeX", "PhysicalSizeY"} <= set(found):
        return PIXELS[:2]
    sizes = []
    for axis in "XY":
        unit = found.get(f"PhysicalSize{axis}Unit", "um")
        length = millimetres(unit)
        if length is None:
            raise DataError(f"{path}: OME's unit of length is {unit!r}. Save it in millimetres or micrometres.")
        sizes.append(float(found[f"PhysicalSize{axis}"]) * length)
    if not _positive(*sizes):
        raise DataError(f"{path}: OME's size of pixels is {sizes} mm. Correct it.")
    return sizes[0], sizes[1]


def _of_density(density, length: float, meant: bool = False) -> tuple[float, float]:
    """Sizes of pixels in mm of which `density` fit into `length` mm; what programs write without knowing counts only where `meant`."""
    if not density or not _positive(*density):
        return PIXELS[:2]
    x, y = map(float, density)
    placeholder = any(abs(x * _INCH / length - value) < 0.05 for value in _NOTHING_MEANT)
    if x == y and placeholder and not meant:
        return PIXELS[:2]
    return length / x, length / y


def _positive(*numbers) -> bool:
    return all(number is not None and math.isfinite(number) and number > 0 for number in numbers)
