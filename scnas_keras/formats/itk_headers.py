"""What headers of NRRD and MetaImage say beyond what ITK reads: units, scales, and places that are told twice or not at all.

Sources: the NRRD format (teem.sourceforge.net/nrrd/format.html) and the MetaIO documentation (itk.org/Wiki/MetaIO).
"""

import dataclasses
import math
import re
from collections.abc import Mapping
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.affines import from_matvec

from scnas_keras.errors import DataError
from scnas_keras.formats.geometry import NO_ORIENTATION, NO_SPACING, TWO_PLACES, Doubt, is_invertible
from scnas_keras.formats.itk_fields import MATRICES, PLACES, Text, is_nrrd, read_text, voxel_file
from scnas_keras.formats.units import millimetres

_ANATOMICAL = re.compile(r"(left|right)-(anterior|posterior)-(superior|inferior)(-time)?|[lr][ap][si]t?", re.IGNORECASE)
_DIRECTED = re.compile(r"point|(\d+-?|co(ntra)?variant-)?vector|(\d+-?)?(gradient|normal)|.*matrix", re.IGNORECASE)
"""Kinds of NRRD axes whose numbers have a direction in space."""
_ASSUMED = "axes pointing left, posterior, superior were assumed, as ITK does"


@dataclasses.dataclass(frozen=True)
class Notes:
    """What to do with ITK's reading of a file.

    Attributes:
        to_mm: millimetres of its unit of length.
        slope, inter: a stored number n means n * slope + inter.
        doubts: what of the header had to be assumed.
    """

    to_mm: float
    slope: float
    inter: float
    doubts: tuple[Doubt, ...]


def read_notes(path: Path, text: Text, affine: np.ndarray) -> Notes:
    """What the header's text says; `affine` [4, 4] (RAS+) is how ITK understands it. Raises DataError if something can't be honoured."""
    return _nrrd(path, text.fields) if is_nrrd(path) else _meta(path, text.fields, affine)


def voxel_files(path: Path) -> list[Path]:
    """The files that a header (.nrrd, .mhd) leaves its voxels to, as far as they are there; none where they follow it."""
    text = read_text(path)
    return [file for name in text.names if (file := voxel_file(path, text, name))]


def _nrrd(path: Path, fields: Mapping[str, str]) -> Notes:
    quoted = re.findall(r'"([^"]*)"', fields.get("spaceunits", fields.get("units", "")))
    names = {name for name in quoted[:3] if name.strip("? ").lower() not in ("", "none", "n/a")}
    kinds = fields.get("kinds", "").split()
    frame = re.findall(r"[-+.\deE]+", fields.get("measurementframe", ""))
    if frame != [] and any(map(_DIRECTED.fullmatch, kinds)) and not np.array_equal(np.array(frame, float), np.eye(3).ravel()):
        raise DataError(
            f"{path}: its vectors have a frame of their own (measurement frame), in which they can't be channels. Turn them into space."
        )
    if {"oldmin", "oldmax"} & set(fields):
        raise DataError(f"{path}: its numbers stand for others (old min, old max), which aren't read. Save it with the values themselves.")
    doubts = []
    if not _ANATOMICAL.fullmatch(fields.get("space", "")):
        doubts.append(Doubt(NO_ORIENTATION, f"no anatomical space; {_ASSUMED}"))
    if "spacedirections" not in fields and sum(size.lower() != "nan" for size in fields.get("spacings", "").split()) < 3:
        doubts.append(Doubt(NO_SPACING, "no spacing; 1 mm was assumed"))
    return Notes(_to_mm(path, names), 1.0, 0.0, tuple(doubts))


def _meta(path: Path, fields: Mapping[str, str], affine: np.ndarray) -> Notes:
    unit = fields.get("distanceunits", "mm").strip("? ")
    slope, inter = (float(fields.get(f"elementtointensityfunction{name}", default)) for name, default in (("slope", 1), ("offset", 0)))
    if not np.isfinite([slope, inter]).all() or not slope:
        raise DataError(f"{path}: its scale (ElementToIntensityFunctionSlope, -Offset) is {slope:g}, {inter:g}. Correct it.")
    matrix = _matrix(fields)
    lengths = np.linalg.norm(matrix, axis=1)
    if np.abs(lengths - 1).max() > 0.02:
        raise DataError(f"{path}: the directions of TransformMatrix have lengths {lengths.tolist()} instead of 1. Correct it.")
    if not is_invertible(from_matvec(matrix)):
        raise DataError(f"{path}: its TransformMatrix ({' '.join(map('{:g}'.format, matrix.ravel()))}) gives no volume. Correct it.")
    doubts = []
    if not {"elementspacing", "elementsize"} & set(fields):
        doubts.append(Doubt(NO_SPACING, "no ElementSpacing; 1 mm was assumed"))
    if not {"transformmatrix", "rotation", "orientation"} & set(fields):
        doubts.append(Doubt(NO_ORIENTATION, f"no TransformMatrix; {_ASSUMED}"))
    elif told := _contradicted(fields.get("anatomicalorientation", ""), affine):
        doubts.append(Doubt(TWO_PLACES, f"{told}; the matrix was used"))
    for names in (PLACES, MATRICES):
        there = {name: fields[name.lower()].split() for name in names if name.lower() in fields}
        if any(value != next(iter(there.values())) for value in there.values()):
            doubts.append(Doubt(TWO_PLACES, f"different {' and '.join(there)}; {next(iter(there))} was used"))
    if set(fields.get("centerofrotation", "").split()) - {"0", "0.0"} and not np.array_equal(matrix, np.eye(3)):
        doubts.append(Doubt(TWO_PLACES, "a CenterOfRotation that isn't 0; it was left out, as ITK does"))
    return Notes(_to_mm(path, {unit} - {""}), slope, inter, tuple(doubts))


def _matrix(fields: Mapping[str, str]) -> np.ndarray:
    """Directions of the three spatial axes, one a row; of 4D files, whose matrix is larger, too."""
    text = next((fields[name] for name in ("transformmatrix", "rotation", "orientation") if name in fields), "1 0 0 0 1 0 0 0 1")
    numbers = np.array(text.split(), float)
    size = math.isqrt(len(numbers))
    return numbers.reshape(size, size)[:3, :3]


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
