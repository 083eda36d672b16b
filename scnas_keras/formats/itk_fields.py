"""The text of NRRD and MetaImage headers as fields, and what in them ITK would misread without a word.

Sources: the NRRD format (teem.sourceforge.net/nrrd/format.html) and the MetaIO documentation (itk.org/Wiki/MetaIO).
"""

import dataclasses
import itertools
import math
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from scnas_keras.errors import DataError

_LONGEST = 1 << 20  # bytes of a header
_MOST_FILES = 10_000  # that it leaves its voxels to
_MOST_AXES = 10  # for which MetaIO has room; it writes past it
_DIRECTIVE = re.compile(r"%(0?\d?)d")
"""What stands for a number in the name of several files."""
SPACINGS, PLACES, MATRICES = (
    ("ElementSpacing", "ElementSize"),
    ("Origin", "Offset", "Position"),
    ("TransformMatrix", "Rotation", "Orientation"),
)
"""Fields of a MetaImage that say the same; ITK takes the first that is there."""
_META_NAMES = {
    name.lower(): name
    for name in (
        *(*SPACINGS, *PLACES, *MATRICES, "ObjectType", "NDims", "DimSize", "HeaderSize", "BinaryData", "BinaryDataByteOrderMSB"),
        *("ElementByteOrderMSB", "CompressedData", "CompressedDataSize", "CenterOfRotation", "AnatomicalOrientation", "ElementType"),
        *("ElementNumberOfChannels", "ElementDataFile", "ElementToIntensityFunctionSlope", "ElementToIntensityFunctionOffset"),
        "DistanceUnits",
    )
}
_ENCODINGS = ("raw", "txt", "text", "ascii", "hex", "gz", "gzip")
"""Those of NRRD that ITK reads."""
_DOMAIN_KINDS = ("", "???", "none", "domain", "space", "time")
"""Kinds of NRRD axes that ITK takes for axes of a volume."""


@dataclasses.dataclass(frozen=True)
class Text:
    """A header's text.

    Attributes:
        fields: values by name in lower case, of NRRD without spaces in the name. Of a field that is there twice, the last.
        names: the files that it leaves its voxels to, as it names them; none where they follow it.
        listed: how many axes each of these has, where they are a list or a pattern and it says so.
        several: whether they are a list or a pattern.
        size: bytes of the header, behind which voxels may follow.
        misspelt: names of fields in another case than MetaIO's.
        twice: names of fields that are there twice, with different values; NRRD's own reader refuses these.
    """

    fields: Mapping[str, str]
    names: tuple[str, ...]
    listed: int | None
    several: bool
    size: int
    misspelt: tuple[str, ...]
    twice: tuple[str, ...]


def is_nrrd(path: Path) -> bool:
    """Whether a file of the two kinds is an NRRD file, by its name."""
    return path.name.lower().endswith(".nrrd")


def read_text(path: Path) -> Text:
    """Reads a header of either kind; of a file that is neither, whatever looks like fields."""
    nrrd = is_nrrd(path)
    separator, last = (":", "datafile") if nrrd else ("=", "elementdatafile")
    with path.open("rb") as stream:
        begin = stream.read(_LONGEST)
    lines = iter(begin.split(b"\n"))
    fields, misspelt, twice, size = {}, [], [], 0
    for line in lines:
        size += len(line) + 1
        text = _decoded(line)
        if nrrd and not text:
            break
        name, found, value = text.partition(separator if nrrd or separator in text else ":")  # which MetaIO takes for the other
        if not found or (nrrd and value.startswith("=")):  # name:=value is a note of NRRD
            continue
        name, value = name.strip(), value.strip()
        key = name.lower().replace(" ", "") if nrrd else name.lower()
        if not nrrd and key in _META_NAMES and not _equal(fields.get(key, value), value):
            twice.append(name)
        fields[key] = value
        if not nrrd and _META_NAMES.get(key, name) != name:
            misspelt.append(name)
        if key == last and (not nrrd or value.split()[:1] == ["LIST"]):
            break
    names, listed, several = _named(fields, nrrd, fields.get(last, ""), lines)
    return Text(fields, names, listed, several, min(size, len(begin)), tuple(misspelt), tuple(twice))


def check_fields(path: Path, text: Text) -> None:
    """Raises DataError for fields that ITK reads past or replaces, and for encodings that it doesn't read."""
    for key, name in (("headersize", "HeaderSize"), ("byteskip", "byte skip"), ("lineskip", "line skip")):
        if not re.fullmatch(r"-?\d{1,18}", value := text.fields.get(key, "0"), re.ASCII):
            raise DataError(f"{path}: its {name} is '{shown(value)}', which must be a whole number. Correct it.")
    if {"ndims", "dimension"} & set(text.fields):  # else it may be no such file at all
        (_check_nrrd if is_nrrd(path) else _check_meta)(path, text)


def numbers(value: str, count: int) -> list[float] | None:
    """The finite numbers of a field that must have `count`; None if they are others."""
    found = [number for word in value.split() if (number := _number(word)) is not None and math.isfinite(number)]
    return found if len(found) == len(value.split()) == count else None


def shown(value: str) -> str:
    """The beginning of a value as it can stand in a message."""
    return "".join(letter if letter.isprintable() else "?" for letter in value[:80])


def voxel_file(path: Path, text: Text, name: str) -> Path | None:
    """The file that a header means by a name; None if it isn't there. MetaIO tries other endings behind the name of an only one."""
    endings = ("",) if text.several or is_nrrd(path) else ("", ".gz", ".Z")
    files = (path.parent / (name + ending) for ending in endings)
    return next((file for file in files if os.path.isfile(file)), None)  # False for names that no file can have


def _equal(one: str, other: str) -> bool:
    """Whether two values are the same words or numbers."""
    return one == other or (values := numbers(one, len(one.split()))) is not None and values == numbers(other, len(other.split()))


def _decoded(line: bytes) -> str:
    try:
        return line.decode("utf-8").strip()
    except UnicodeDecodeError:
        return line.decode("latin-1").strip()


def _named(fields: Mapping[str, str], nrrd: bool, value: str, rest: Iterator[bytes]) -> tuple[tuple[str, ...], int | None, bool]:
    """The files that a value names, the axes of each if told, and whether it is a list or a pattern; `rest` are the lines behind it."""
    words = value.split()
    if words[:1] == ["LIST"]:
        return tuple(itertools.takewhile(bool, map(_decoded, itertools.islice(rest, _MOST_FILES)))), _whole(words[-1]), True
    if not value or value.lower() == "local":
        return (), None, False
    if not _DIRECTIVE.search(value):
        return (value,), None, False
    ends = [_whole(word) for word in words[1:]][-4 if nrrd else -3 :]
    ends = ends[max((at + 1 for at, number in enumerate(ends) if number is None), default=0) :]
    name = " ".join(words[: len(words) - len(ends)])
    slices = _whole(" ".join(fields.get("dimsize", "").split()[-1:])) or 1
    first = ends[0] if ends else 1
    last, step, listed = (*ends[1:], *(first + slices - 1, 1, None)[len(ends[1:]) :])
    numbered = range(first, min(last, first + _MOST_FILES * step) + 1, step or 1)
    return tuple(_numbered(name, number) for number in numbered), listed, True


def _numbered(name: str, number: int) -> str:
    return _DIRECTIVE.sub(lambda found: found[0] % number, name)


def _whole(word: str) -> int | None:
    return int(word) if re.fullmatch(r"\d{1,9}", word, re.ASCII) else None


def _check_meta(path: Path, text: Text) -> None:
    fields = text.fields
    for name in text.misspelt:
        raise DataError(
            f"{path}: ITK doesn't read its field '{shown(name)}', for it is written {_META_NAMES[name.lower()]}. Write it so in the header."
        )
    if text.twice:
        raise DataError(f"{path}: it has two fields '{text.twice[0]}', with different values. Leave the wrong one out.")
    data = fields.get("elementdatafile", "")
    if "%" in data and not _is_pattern(data):
        raise DataError(
            f"{path}: its ElementDataFile is '{shown(data)}', of which ITK makes no names. Write a name with %d or %03d in it, "
            "the first number, the last and a step."
        )
    axes = _whole(fields["ndims"]) or 0
    if data.split()[:1] == ["LIST"] and (_whole(data.split()[-1].removesuffix("D")) or 0) >= axes > 0:
        raise DataError(
            f"{path}: its ElementDataFile is '{shown(data)}', of which ITK reads nothing. Write LIST and a file a slice, or the name of "
            "the one file."
        )
    if not 1 <= axes <= _MOST_AXES:
        raise DataError(
            f"{path}: its NDims is '{shown(fields['ndims'])}', which must be a whole number from 1 to {_MOST_AXES}. Correct it."
        )
    _check_sizes(path, "DimSize", fields.get("dimsize", ""), axes)
    for group, count in ((SPACINGS, axes), (PLACES, axes), (MATRICES, axes * axes)):
        name = next((name for name in group if name.lower() in fields), None)
        if name and numbers(fields[name.lower()], count) is None:
            raise DataError(f"{path}: its {name} is '{shown(fields[name.lower()])}', which must be {count} numbers. Correct it.")


def _check_sizes(path: Path, name: str, value: str, axes: int) -> None:
    sizes = numbers(value, axes)
    if sizes is None or any(size < 1 or size % 1 for size in sizes):
        raise DataError(f"{path}: its {name} is '{shown(value)}', which must be {axes} whole numbers from 1 on. Correct the header.")


def _is_pattern(value: str) -> bool:
    """Whether MetaIO makes the names that are meant. It divides by the step, and looks for three numbers behind a name with spaces."""
    words = value.split()
    name, ends = (words[:1], words[1:]) if len(words) < 5 else (words[:-3], words[-3:])
    return _DIRECTIVE.search(" ".join(name)) is not None and len(words) != 3 and None not in map(_whole, ends) and ends[2:] != ["0"]


def _check_nrrd(path: Path, text: Text) -> None:
    fields = text.fields
    encoding = fields.get("encoding", "raw")
    if encoding.lower() not in _ENCODINGS:
        raise DataError(
            f"{path}: its voxels are stored as {shown(encoding)}, which ITK doesn't read. Save it with the encoding gzip or raw."
        )
    origin = fields.get("spaceorigin")
    if origin is not None and numbers(" ".join(origin.strip("()").split(",")), origin.count(",") + 1) is None:
        raise DataError(f"{path}: its space origin is '{shown(origin)}', which must be a vector of numbers. Correct it.")
    if "axismaxs" in fields and not {"spacings", "spacedirections"} & set(fields):
        raise DataError(
            f"{path}: axis mins and axis maxs are all it says of the size of voxels, and ITK doesn't read it from them. Add its spacings."
        )
    if (axes := _whole(fields.get("dimension", ""))) not in (3, 4):
        return
    _check_sizes(path, "sizes", fields.get("sizes", ""), axes)
    kinds = (fields.get("kinds", "").lower().split() + [""] * axes)[:axes]
    domain = [axis for axis, kind in enumerate(kinds) if kind in _DOMAIN_KINDS]
    directed = "spacedirections" in fields
    places = re.findall(r"none|\([^)]*\)", fields["spacedirections"], re.IGNORECASE) if directed else fields.get("spacings", "").split()
    if not directed and places and (len(places) != axes or None in map(_number, places)):
        raise DataError(f"{path}: its spacings are '{shown(fields['spacings'])}', which must be {axes} numbers. Correct the header.")
    placed = [re.search("none|nan", place, re.IGNORECASE) is None for place in places]
    without = [axis for axis in domain if not all(placed[axis : axis + 1]) or (kinds[axis] == "time" and axis < 3)]
    field = "space directions" if directed else "spacings"
    if len(domain) == 4 and len(without) == 1 and (directed or without != [3]):
        raise DataError(
            f"{path}: the {field} place three of its four axes, and its kinds don't say what axis {without[0] + 1} is. Add the field "
            f"kinds: {' '.join('list' if axis in without else 'domain' for axis in range(4))} if it holds the channels."
        )
    if directed and without and len(domain) > 2:
        raise DataError(f"{path}: its {field} ({shown(fields['spacedirections'])}) give axis {without[0] + 1} no direction. Correct them.")


def _number(word: str) -> float | None:
    try:
        return float(word)
    except ValueError:
        return None
