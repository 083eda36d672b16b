"""What pictures say of the size of their pixels, of their scale, of the kind of their numbers, and of how they are turned.

Sources: the PNG specification (pHYs, sCAL, pCAL), JFIF, TIFF 6.0 (ResolutionUnit, SampleFormat, ExtraSamples), the descriptions that
ImageJ writes, and the OME-TIFF specification.
"""

import io
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

from PIL import Image
from PIL.TiffImagePlugin import OPEN_INFO, ImageFileDirectory_v2

from scnas_keras.errors import DataError
from scnas_keras.formats.geometry import PIXELS
from scnas_keras.formats.stored import cut_off
from scnas_keras.formats.units import millimetres

_INCH = 25.4  # mm
_NOTHING_MEANT = (1.0, 72.0, 96.0)
"""Pixels per inch that programs write who know nothing of a picture's size."""
_NO_UNITS = {"pixel", "pixels", "px", "null", "reference frame"}
"""Units of ImageJ and OME that say nothing of a length."""
_ORIENTATION, _DESCRIPTION, _X, _Y, _UNIT, _PHOTOMETRIC, _BITS = 274, 270, 282, 283, 296, 262, 258
_SAMPLES, _EXTRA, _FORMAT, _WIDTH, _HEIGHT, _FILL = 277, 338, 339, 256, 257, 266
_CENTIMETRES, _UNSPECIFIED = 3, 0
_FORMATS = {1: "unsigned", 2: "signed", 3: "floating point", 5: "complex signed", 6: "complex floating point"}
_COLOURS = 2, 5, 6, 8


def pixel_size(path: Path, image: Image.Image) -> tuple[float, float]:
    """Width and height of an opened picture's pixels in mm; `PIXELS` where nothing is known of them."""
    if shown := _of_subject(path, image):
        return shown
    density = image.info.get("jfif_density") if image.info.get("jfif_unit") == 0 else None
    aspect = image.info.get("aspect", density)
    if aspect and _positive(*aspect):  # pixels per unknown length
        return PIXELS[0], PIXELS[1] * aspect[0] / aspect[1]
    tags = getattr(image, "tag_v2", None)
    if tags is None:
        return _of_density(image.info.get("dpi"), _INCH)
    density = tags.get(_X), tags.get(_Y)
    if pixels := _ome_pixels(path, _description(tags)):
        return _of_ome(path, pixels)
    fields = imagej_fields(_description(tags))
    units = fields.get("unit", ""), fields.get("yunit", fields.get("unit", ""))
    if set(map(str.lower, units)) - {"", *_NO_UNITS}:
        across, down = (_known(path, "ImageJ", unit) for unit in units)
        return (across / float(density[0]), down / float(density[1])) if _positive(*density) else PIXELS[:2]
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
    if b"pCAL" in _png_chunks(path, image):
        raise DataError(f"{path}: its pCAL gives its numbers another meaning, which isn't read. Save it with the values themselves.")
    if _UNSPECIFIED in tags.get(_EXTRA, ()):
        raise DataError(
            f"{path}: its pixels have a further channel of unspecified meaning beside gray or colour. Save it without, or each channel "
            "as a gray picture of its own (CASE_0000.tif, CASE_0001.tif, ...)."
        )
    images = int(imagej_fields(_description(tags)).get("images") or 1)
    if images > 1:
        raise DataError(f"{path}: expected one picture, found a stack of ImageJ with {images}. Convert it to .nii.gz or .nrrd.")
    for pixels in _ome_pixels(path, _description(tags)):
        slices, times, channels = (int(pixels.get(f"Size{axis}", 1)) for axis in "ZTC")
        if slices > 1 or times > 1 or channels > tags.get(_SAMPLES, 1):
            raise DataError(
                f"{path}: expected one picture, found one of a stack of OME with {slices} slices, {times} time points and {channels} "
                "channels. Convert the whole to .nii.gz or .nrrd."
            )


def stored_kind(image: Image.Image) -> str | None:
    """The kind of numbers that an opened picture's bytes are, as numpy calls it, where Pillow takes them for another."""
    tags = getattr(image, "tag_v2", {})
    numbers = tags.get(_FORMAT, (1,))[0], tags.get(_BITS, (1,))[0], image.mode
    return {(2, 8, "L"): "i1", (1, 32, "I"): "u4"}.get(numbers)


def unread_kind(path: Path) -> str | None:
    """What a TIFF holds that is no picture as they are read here, such as "5 channels of floating point with 64 bits"; None otherwise."""
    try:
        with path.open("rb") as stream:
            start = stream.read(8)
            tags = ImageFileDirectory_v2(start + (stream.read(8) if 43 in start[2:4] else b""))  # BigTIFF's is longer
            stream.seek(tags.next)
            tags.load(stream)
        tags[_WIDTH], tags[_HEIGHT]
        channels, bits, formats, white = int(tags.get(_SAMPLES, 1)), tags[_BITS], tags.get(_FORMAT, (1,)), tags[_PHOTOMETRIC]
        each = bits * channels if len(bits) == 1 else bits
        known = (tags.prefix, white, (*set(formats),), tags.get(_FILL, 1), each, tags.get(_EXTRA, ())) in OPEN_INFO
    except Exception:  # Pillow has no common one for damaged files
        return None
    if known:
        return None
    colour, order = "gray" if white not in _COLOURS else "colour", ", big-endian" if tags.prefix == b"MM" else ""
    number, turned = _FORMATS.get(formats[0], "unknown"), ", 0 being white" if white == 0 else ""
    return f"{channels} {colour} channel{'s' * (channels > 1)} of {number} numbers with {bits[0]} bits{order}{turned}"


def scale(path: Path, image: Image.Image) -> tuple[float, float]:
    """Slope and intercept of an opened picture's numbers, which ImageJ's calibration tells."""
    fields = imagej_fields(_description(getattr(image, "tag_v2", {})))
    slope, inter = float(fields.get("c1", 1)), float(fields.get("c0", 0))
    if fields.get("cf", "0") != "0" or not math.isfinite(slope + inter) or not slope:
        raise DataError(f"{path}: ImageJ's calibration of its values isn't a straight line. Save it with the values themselves.")
    return slope, inter


def imagej_fields(text: str) -> dict[str, str]:
    """The fields of a description that ImageJ wrote; none of another."""
    if not text.startswith("ImageJ="):
        return {}
    return {name.strip(): value.strip() for name, _, value in (line.partition("=") for line in text.splitlines())}


def _png_chunks(path: Path, image: Image.Image) -> Mapping[bytes, bytes]:
    """The chunks of an opened PNG before its pixels; some of them Pillow leaves out."""
    chunks = {}
    if image.format == "PNG":
        with path.open("rb") as stream:
            stream.seek(8)
            while len(start := stream.read(8)) == 8 and start[4:] != b"IDAT":
                chunks[start[4:]] = stream.read(int.from_bytes(start[:4]))
                stream.seek(4, io.SEEK_CUR)  # the check sum
    return chunks


def _of_subject(path: Path, image: Image.Image) -> tuple[float, float] | None:
    """Width and height in mm that a PNG tells of what a pixel shows (sCAL), apart from the size to print it at."""
    content = _png_chunks(path, image).get(b"sCAL", b"")
    if content[:1] != b"\1":  # metres; 2 is an angle
        return None
    across, down = (1000 * float(number) for number in content[1:].split(b"\0")[:2])
    if not _positive(across, down):
        raise DataError(f"{path}: its sCAL is {across:g}, {down:g} mm. Correct it.")
    return across, down


def _description(tags: Mapping) -> str:
    """A TIFF's description up to its end, a NUL; UTF-8 where it is: Pillow takes its bytes for Latin-1."""
    text = tags.get(_DESCRIPTION, "")
    whole = text if isinstance(text, bytes) else str(text).encode("latin-1", "replace")
    content = whole.partition(b"\0")[0]  # Pillow drops no more than one
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _ome_pixels(path: Path, text: str) -> Sequence[Mapping[str, str]]:
    """The attributes of the images that OME-XML describes; none of another description."""
    if not re.search(r"<(\w+:)?OME\b", text):
        return []
    if "<!" in text.replace("<!--", "").replace("<![CDATA[", ""):
        raise DataError(f"{path}: its OME-XML declares a document type or entities, which aren't read. Save it again without.")
    try:
        root = ElementTree.fromstring(text.strip())
    except ElementTree.ParseError as error:
        raise DataError(f"{path}: its OME-XML can't be read ({error}). Save it again, or as .png.") from error
    return [element.attrib for element in root.iter() if element.tag.rpartition("}")[2] == "Pixels"]


def _of_ome(path: Path, images: Sequence[Mapping[str, str]]) -> tuple[float, float]:
    found = {tuple(_of_ome_image(path, pixels)) for pixels in images}
    if len(found) > 1:
        raise DataError(f"{path}: its OME-XML describes several images, whose pixels differ in size. Save each as a file of its own.")
    across, down = found.pop()
    return across, down


def _of_ome_image(path: Path, pixels: Mapping[str, str]) -> Sequence[float]:
    if not {"PhysicalSizeX", "PhysicalSizeY"} <= set(pixels):
        return PIXELS[:2]
    numbers, units = [float(pixels[f"PhysicalSize{axis}"]) for axis in "XY"], [pixels.get(f"PhysicalSize{axis}Unit", "um") for axis in "XY"]
    known = not {unit.lower() for unit in units} <= _NO_UNITS
    across, down = (number * (_known(path, "OME", unit) if known else 1) for number, unit in zip(numbers, units, strict=True))
    if not _positive(across, down):
        raise DataError(f"{path}: OME's size of pixels is {[across, down]}{' mm' * known}. Correct it.")
    return (across, down) if known else (PIXELS[0], PIXELS[1] * down / across)


def _known(path: Path, program: str, unit: str) -> float:
    length = millimetres(unit)
    if length is None:
        raise DataError(f"{path}: {program}'s unit of length is {unit!r}. Save it in millimetres or micrometres.")
    return length


def _of_density(density, length: float) -> tuple[float, float]:
    """Sizes of pixels in mm of which `density` fit into `length` mm; what programs write without knowing doesn't count."""
    if not density or not _positive(*density):
        return PIXELS[:2]
    x, y = map(float, density)
    placeholder = any(abs(x * _INCH / length - value) < 0.05 for value in _NOTHING_MEANT)
    return PIXELS[:2] if x == y and placeholder else (length / x, length / y)


def _positive(*numbers) -> bool:
    return all(number is not None and math.isfinite(number) and number > 0 for number in numbers)
