"""What headers of NRRD and MetaImage say beyond what ITK reads: units, scales, and places that are told twice or not at all.

Sources: the NRRD format (teem.sourceforge.net/nrrd/format.html) and the MetaIO documentation (itk.org/Wiki/MetaIO).
"""

import dataclasses
import itertools
import re
from collections.abc import Mapping
from pathlib import Path

import nibabel as nib
import numpy as np

from scnas_keras.errors import DataError
from scnas_keras.formats.geometry import NO_ORIENTATION, NO_SPACING, TWO_PLACES, Doubt
from scnas_keras.formats.units import millimetres

_LONGEST = 1 << 20  # bytes of a header
_MOST_FILES = 10_000  # that it leaves its voxels to
_ANATOMICAL = re.compile(r"(left|right)-(anterior|posterior)-(superior|inferior)(-time)?|[lr][ap][si]t?", re.IGNORECASE)
_DIRECTED = re.compile(r"\d+-vector|\d+-gradient|\d+-normal|covariant-vector|.*matrix", re.IGNORECASE)
"""Kinds of NRRD axes whose numbers have a direction in space."""
_ZLIB = 1032
"""The most bytes that one of a zlib stream can stand for; numbers written as text stand for fewer."""
_PATTERN = re.compile(r"(?P<name>\S*%0?\d*d\S*)\s+(?P<first>\d+)\s+(?P<last>\d+)\s+(?P<step>\d+)(\s+\d+)?")
"""Files by numbers: a name with %d, the first, the last and the step, in NRRD also the dimension of a file."""
_ASSUMED = "axes pointing left, posterior, superior were assumed, as ITK does"


@dataclasses.dataclass(frozen=True)
class Notes:
    """What to do with ITK's reading of a file.

    Attributes:
        to_mm: millimetres of its unit of length.
        slope, inter: a stored number n means n * slope + inter.
        doubts: what of the header had to be assumed.
        room: bytes of voxels that can be there at most; None if they lie in several files.
    """

    to_mm: float
    slope: float
    inter: float
    doubts: tuple[Doubt, ...]
    room: int | None


def read_notes(path: Path, affine: np.ndarray) -> Notes:
    """Reads the header's text; `affine` [4, 4] (RAS+) is how ITK understands it. Raises DataError if something can't be honoured."""
    is_nrrd = path.name.lower().endswith(".nrrd")
    fields = _fields(path, ":" if is_nrrd else "=", "" if is_nrrd else "elementdatafile")
    return _nrrd(path, fields) if is_nrrd else _meta(path, fields, affine)


def voxel_files(path: Path) -> list[Path]:
    """The files that a header (.nrrd, .mhd) leaves its voxels to, as far as they are there; none where they follow it."""
    is_nrrd = path.name.lower().endswith(".nrrd")
    lines = list(itertools.takewhile(str.strip, _lines(path)))
    named = re.compile(r"data ?file: *(.*)" if is_nrrd else r"ElementDataFile *= *(.*)", re.IGNORECASE)
    at, value = next(((at, found.group(1).strip()) for at, line in enumerate(lines) if (found := named.match(line.strip()))), (0, ""))
    if value.split()[:1] == ["LIST"]:
        names = [line.strip() for line in lines[at + 1 :]]
    elif numbers := _PATTERN.fullmatch(value):
        first, last, step = (int(numbers[name]) for name in ("first", "last", "step"))
        names = [numbers["name"] % number for number in range(first, min(last, first + _MOST_FILES * step) + 1, step or 1)]
    else:
        names = [value]
    return [path.parent / name for name in names if name and (path.parent / name).is_file()]


def _fields(path: Path, separator: str, last: str) -> dict[str, str]:
    """Fields by their names in lower case, up to an empty line or the one called `last`."""
    fields = {}
    for line in _lines(path):
        name, found, value = line.partition(separator)
        name = name.strip().lower()
        if found:
            fields.setdefault(name, value.strip())
        if (not line.strip() and not last) or name == last:
            break
    return fields


def _lines(path: Path) -> list[str]:
    with path.open("rb") as stream:
        return stream.read(_LONGEST).decode("latin-1").splitlines()


def _nrrd(path: Path, fields: Mapping[str, str]) -> Notes:
    quoted = re.findall(r'"([^"]*)"', fields.get("space units", fields.get("units", "")))
    names = {name for name in quoted[:3] if name.strip("? ").lower() not in ("", "none", "n/a")}
    kinds = fields.get("kinds", "").split()
    frame = re.findall(r"[-+.\deE]+", fields.get("measurement frame", ""))
    if frame != [] and any(map(_DIRECTED.fullmatch, kinds)) and not np.array_equal(np.array(frame, float), np.eye(3).ravel()):
        raise DataError(
            f"{path}: its vectors have a frame of their own (measurement frame), in which they can't be channels. Turn them into space."
        )
    if {"old min", "oldmin", "old max", "oldmax"} & set(fields):
        raise DataError(f"{path}: its numbers stand for others (old min, old max), which aren't read. Save it with the values themselves.")
    doubts = []
    if not _ANATOMICAL.fullmatch(fields.get("space", "")):
        doubts.append(Doubt(NO_ORIENTATION, f"no anatomical space; {_ASSUMED}"))
    if "space directions" not in fields and sum(size.lower() != "nan" for size in fields.get("spacings", "").split()) < 3:
        doubts.append(Doubt(NO_SPACING, "no spacing; 1 mm was assumed"))
    raw = fields.get("encoding", "").lower() == "raw"
    return Notes(_to_mm(path, names), 1.0, 0.0, tuple(doubts), _room(path, fields.get("data file", fields.get("datafile", "local")), raw))


def _meta(path: Path, fields: Mapping[str, str], affine: np.ndarray) -> Notes:
    unit = fields.get("distanceunits", "mm").strip("? ")
    slope, inter = (float(fields.get(f"elementtointensityfunction{name}", default)) for name, default in (("slope", 1), ("offset", 0)))
    if not np.isfinite([slope, inter]).all() or not slope:
        raise DataError(f"{path}: its scale (ElementToIntensityFunctionSlope, -Offset) is {slope:g}, {inter:g}. Correct it.")
    lengths = np.linalg.norm(_matrix(fields), axis=1)
    if np.abs(lengths - 1).max() > 0.02:
        raise DataError(f"{path}: the directions of TransformMatrix have lengths {lengths.tolist()} instead of 1. Correct it.")
    doubts = []
    if not {"elementspacing", "elementsize"} & set(fields):
        doubts.append(Doubt(NO_SPACING, "no ElementSpacing; 1 mm was assumed"))
    if not {"transformmatrix", "rotation", "orientation"} & set(fields):
        doubts.append(Doubt(NO_ORIENTATION, f"no TransformMatrix; {_ASSUMED}"))
    elif told := _contradicted(fields.get("anatomicalorientation", ""), affine):
        doubts.append(Doubt(TWO_PLACES, f"{told}; the matrix was used"))
    for names in (("Offset", "Position", "Origin"), ("TransformMatrix", "Rotation", "Orientation")):
        there = {name: fields[name.lower()].split() for name in names if name.lower() in fields}
        if any(value != next(iter(there.values())) for value in there.values()):
            doubts.append(Doubt(TWO_PLACES, f"different {' and '.join(there)}; {next(iter(there))} was used"))
    if set(fields.get("centerofrotation", "").split()) - {"0", "0.0"} and not np.array_equal(_matrix(fields), np.eye(3)):
        doubts.append(Doubt(TWO_PLACES, "a CenterOfRotation that isn't 0; it was left out, as ITK does"))
    raw = fields.get("binarydata", "").lower() == "true" and fields.get("compresseddata", "").lower() != "true"
    return Notes(_to_mm(path, {unit} - {""}), slope, inter, tuple(doubts), _room(path, fields.get("elementdatafile", "local"), raw))


def _matrix(fields: Mapping[str, str]) -> np.ndarray:
    """Directions of the three spatial axes, one a row; of 4D files, whose matrix is larger, too."""
    text = next((fields[name] for name in ("transformmatrix", "rotation", "orientation") if name in fields), "1 0 0 0 1 0 0 0 1")
    numbers = np.array(text.split(), float)
    size = int(np.sqrt(len(numbers)))
    return numbers[: size * size].reshape(size, size)[:3, :3]


def _contradicted(code: str, affine: np.ndarray) -> str | None:
    """ITK's code names where axes come from, MetaIO's documentation where they go to: neither may be right."""
    columns = np.abs(affine[:3, :3]) / np.linalg.norm(affine[:3, :3], axis=0)
    letters = code.upper()
    if sorted("LRAPSI".find(letter) // 2 for letter in letters) != [0, 1, 2] or columns.max(0).min() < 0.8:
        return None
    to = "".join(nib.aff2axcodes(affine))
    if letters in (to, to.translate(str.maketrans("LRAPSI", "RLPAIS"))):
        return None
    return f"AnatomicalOrientation {code}, but a TransformMatrix whose axes point to {to}"


def _to_mm(path: Path, names: set[str]) -> float:
    sizes = {millimetres(name) for name in names} or {1.0}
    if len(sizes) > 1 or None in sizes:
        raise DataError(f"{path}: the header's units of length are {', '.join(sorted(names))}. Save it in millimetres.")
    return sizes.pop() or 1.0


def _room(path: Path, data: str, raw: bool) -> int | None:
    """How many bytes of voxels fit into the file that holds them."""
    file = path if data.lower() == "local" else path.parent / data
    return file.stat().st_size * (1 if raw else _ZLIB) if file.is_file() else None
