"""NIfTI files (.nii, .nii.gz) in and out, through nibabel."""

import gzip
import logging
import math
import zlib
from pathlib import Path
from typing import Any, cast

import nibabel as nib
import numpy as np
from nibabel.affines import voxel_sizes
from nibabel.arrayproxy import ArrayProxy
from nibabel.filebasedimages import ImageFileError
from nibabel.imageglobals import logger as nibabel_logger
from nibabel.openers import ImageOpener
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError

from scnas_keras.errors import ConfigError, DataError
from scnas_keras.files import whole_file, write_bytes
from scnas_keras.formats.geometry import (
    NO_ORIENTATION,
    NO_UNIT,
    REPAIRED,
    TOLERANCE,
    TWO_PLACES,
    Doubt,
    Geometry,
    grid_distance,
    is_invertible,
)
from scnas_keras.formats.stored import Allocate, Stored, cut_off, unreadable

nibabel_logger.setLevel(logging.CRITICAL)  # what it fixes in a header is a doubt of the file, told once and with its name
_LONGEST_HEADER = 540  # bytes, that of NIfTI-2
_GZIP = b"\x1f\x8b"
_BLOCK = 1 << 20  # bytes
_ZLIB = 1032
"""The most bytes that one of a gzip stream can stand for."""
_SPATIAL = 0b111  # of xyzt_units
_PLACES = range(6)  # of sform_code and qform_code
_MM = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}
"""Code of a spatial unit (NIfTI-1.1: unknown, metre, millimetre, micrometre) -> its millimetres."""
_READ_ERRORS = (
    ImageFileError,
    HeaderDataError,
    WrapStructError,
    OSError,
    EOFError,
    ValueError,
    OverflowError,
    zlib.error,
)


def open_file(path: Path) -> Stored:
    """Reads the header of a 3D file, or of a 4D one whose fourth axis are the channels.

    ITK puts the channels into a fifth axis and leaves one voxel along the fourth.
    """
    try:
        image, affine, repairs = _load(path)
    except _READ_ERRORS as error:
        raise unreadable(path, "NIfTI", error) from error
    to_mm = _unit(path, image.header)
    affine, doubts = _in_mm(to_mm, affine), _doubts(image.header, to_mm) + repairs
    kind = np.dtype(image.get_data_dtype())
    if kind.kind not in "biuf":
        raise DataError(
            f"{path}: expected one number per voxel, found voxels of type {kind}. Convert colour or complex images to plain channels."
        )
    shape = image.shape[:3] + image.shape[4:] if image.shape[3:4] == (1,) else image.shape
    if not 3 <= len(shape) <= 4 or min(shape) < 1:
        raise DataError(
            f"{path}: expected a 3D volume, or a 4D one whose fourth axis are the channels, found shape {image.shape}. {_remedy(shape)}"
        )
    i, j, k, channels = shape = (*shape, 1)[:4]
    proxy = cast(ArrayProxy, image.dataobj)  # as it is for an image of a file
    _check_room(path, proxy)

    def voxels(allocate: Allocate) -> np.ndarray:
        try:
            return _stored_numbers(path, proxy, allocate).reshape(shape, order="F")
        except _READ_ERRORS as error:
            raise cut_off(path, error) from error

    return Stored(path, (i, j, k), channels, affine, voxels, proxy.slope, proxy.inter, image.header, doubts=doubts)


def write_file(path: Path, array: np.ndarray, geometry: Geometry) -> None:
    """Writes a label [i, j, k] in the geometry's own axis order; a NIfTI scan's header is kept, unit and affine bit for bit."""
    header = nib.Nifti1Header() if geometry.header is None else geometry.header.copy()
    header.extensions.clear()
    header.set_data_dtype(array.dtype)
    header.set_slope_inter(1, 0)
    header.set_intent("none")
    header["cal_min"] = header["cal_max"] = 0
    image_type = nib.Nifti2Image if isinstance(header, nib.Nifti2Header) else nib.Nifti1Image
    image = image_type(array, geometry.affine if geometry.header is None else header.get_best_affine(), header)
    if geometry.header is None:
        image.header.set_xyzt_units("mm")
        for place in (image.set_sform, image.set_qform):  # readers differ in which of the two they believe
            place(geometry.affine, code="scanner")
    write_nifti(path, image)


def write_maps(path: Path, maps: np.ndarray, slope: float, geometry: Geometry) -> None:
    """Writes maps [n, i, j, k] in the geometry's own axis order as channels of a compressed NIfTI; a number times slope is meant."""
    header = nib.Nifti1Header() if geometry.header is None else geometry.header.copy()
    if geometry.header is None:
        header.set_xyzt_units("mm")
    header.extensions.clear()
    header.set_data_dtype(maps.dtype)
    header.set_data_shape((*maps.shape[1:], len(maps)))
    header.set_slope_inter(slope, 0)
    header.set_intent("none")
    header["cal_min"] = header["cal_max"] = 0
    if geometry.header is None:
        for place in (header.set_qform, header.set_sform):
            place(geometry.affine, code="scanner")
    header["vox_offset"] = header.single_vox_offset
    begin = header.binaryblock
    with whole_file(path) as file, gzip.GzipFile("", "wb", 6, file, mtime=0) as stream:
        stream.write(begin.ljust(int(header.single_vox_offset), b"\0"))
        for one in maps:
            for slab in range(one.shape[2]):
                stream.write(one[:, :, slab].astype(header.get_data_dtype()).tobytes(order="F"))


def write_nifti(path: str | Path, image: nib.Nifti1Image) -> None:
    """Writes .nii or .nii.gz atomically; equal images give equal bytes (no time stamp inside the gzip)."""
    path = Path(path)
    if not path.name.lower().endswith((".nii", ".nii.gz")):
        raise ConfigError(f"{path}: this volume is written as NIfTI; let the name end in .nii.gz or .nii.")
    content = image.to_bytes()
    if path.suffix.lower() == ".gz":
        content = gzip.compress(content, compresslevel=6, mtime=0)
    write_bytes(path, content)


def _remedy(shape: tuple[int, ...]) -> str:
    """What to do about a file of so many axes."""
    if min(shape) < 1:
        return "Its header is damaged: download or export it again."
    if len(shape) < 3:
        return "Give a slice a third axis of one voxel, or save it as a PNG picture."
    return "Of a series over time export the point that was labelled; let channels be the fourth axis."


def _load(path: Path) -> tuple[nib.Nifti1Image, np.ndarray, tuple[Doubt, ...]]:
    """The image, its affine, and what nibabel fixes of its header.

    nib.load wants endings in lower case and takes other formats by their content.
    """
    with path.open("rb") as stream:
        begin = stream.read(_LONGEST_HEADER)
    compressed = begin.startswith(_GZIP)
    if compressed != path.name.lower().endswith(".gz"):
        found, ending = ("", ".nii.gz") if compressed else ("not ", ".nii")
        if compressed or any(kind.header_class.may_contain_header(begin) for kind in (nib.Nifti1Image, nib.Nifti2Image)):
            raise DataError(f"{path}: its content is {found}compressed, unlike its name says. Let the name end in {ending}.")
        raise ValueError("its content is not compressed")
    with ImageOpener(str(path)) as stream:
        start = stream.read(_LONGEST_HEADER)
    for image_type in (nib.Nifti1Image, nib.Nifti2Image):
        if image_type.header_class.may_contain_header(start):
            image = image_type.from_file_map({"image": nib.FileHolder(filename=str(path))})
            _check_start(image_type.header_class(start[: image_type.header_class.template_dtype.itemsize], check=False))
            return image, _affine(image, start), _repairs(type(image.header), start)
    raise ValueError(f"it starts with {start[:4]!r}, which is no NIfTI header")


def _check_start(header: nib.Nifti1Header) -> None:
    """What nibabel lets pass or fixes by guessing: voxels that begin in the header, a scale that isn't finite (NaN is none, as is 0), codes
    of a place that don't exist, and sizes below 0 where they count.
    """
    offset, slope = float(header["vox_offset"]), float(header["scl_slope"])
    if not offset >= header.single_vox_offset:
        raise ValueError(f"vox_offset {offset:g} puts its voxels into its header of {header.single_vox_offset} bytes")
    if np.isinf(slope):
        raise ValueError(f"scl_slope is {slope:g}")
    sform, qform = int(header["sform_code"]), int(header["qform_code"])
    if not (sform in _PLACES and qform in _PLACES):
        raise ValueError(f"sform_code is {sform} and qform_code {qform}, which must be from 0 to {_PLACES[-1]}")
    if sform == 0 and (header["pixdim"][1:4] < 0).any():
        raise ValueError(f"sizes of voxels are {header['pixdim'][1:4].tolist()}")


def _unit(path: Path, header: nib.Nifti1Header) -> float:
    """Millimetres of the header's unit of length."""
    code = int(header["xyzt_units"]) & _SPATIAL
    if code not in _MM:
        raise DataError(
            f"{path}: the header's unit of length (xyzt_units) is code {code}, which NIfTI doesn't define. Correct it: 2 is millimetres."
        )
    return _MM[code]


def _check_room(path: Path, proxy: ArrayProxy) -> None:
    """Raises DataError if the voxels can't fit into the file: sizes in a damaged header would take any amount of memory."""
    end = proxy.offset + math.prod(map(int, proxy.shape)) * proxy.dtype.itemsize
    room = path.stat().st_size * (_ZLIB if path.name.lower().endswith(".gz") else 1)
    if room < end:
        raise cut_off(path, f"they end at byte {end}, and there is room for {room}")


def _in_mm(to_mm: float, affine: np.ndarray) -> np.ndarray:
    return np.diag([to_mm, to_mm, to_mm, 1.0]) @ affine


def _doubts(header: nib.Nifti1Header, to_mm: float) -> tuple[Doubt, ...]:
    """What the header leaves open, or says twice; `to_mm` are millimetres of its unit."""
    doubts = [] if int(header["xyzt_units"]) & _SPATIAL else [Doubt(NO_UNIT, "no unit of length; millimetres were assumed")]
    sform, qform = int(header["sform_code"]), int(header["qform_code"])
    if sform <= 0 and qform <= 0:
        text = "no orientation (sform_code = qform_code = 0); axes pointing left, anterior, superior were assumed, as SPM does"
        doubts.append(Doubt(NO_ORIENTATION, text))
    elif sform > 0 and is_invertible(used := header.get_sform()):
        unused = _qform(header) if qform > 0 else _resized(used, header["pixdim"][1:4])
        name, shape = "a qform" if qform > 0 else "sizes of voxels (pixdim)", (*header.get_data_shape()[:3], 1, 1)[:3]
        if not is_invertible(unused):
            doubts.append(Doubt(TWO_PLACES, f"an sform, and {name} of which no volume follows; the sform was used"))
        elif (distance := grid_distance(used, unused, shape)) > TOLERANCE:
            text = f"an sform and {name} that lie {distance:.3g} voxels apart; the sform was used"
            doubts.append(Doubt(TWO_PLACES, text, tuple(map(tuple, _in_mm(to_mm, unused)))))
    return tuple(doubts)


def _qform(header: nib.Nifti1Header) -> np.ndarray:
    """The qform's affine; NaN where its numbers make none."""
    try:
        with np.errstate(invalid="ignore"):
            return header.get_qform()
    except ValueError:  # quaternions longer than 1
        return np.full((4, 4), np.nan)


def _resized(affine: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """The affine with the spacings `sizes` along its axes, as ITK reads an sform without a qform."""
    resized = affine.copy()
    with np.errstate(invalid="ignore"):  # infinite ones
        resized[:3, :3] *= sizes / voxel_sizes(affine)
    return resized


def _repairs(kind: type[nib.Nifti1Header], start: bytes) -> tuple[Doubt, ...]:
    """The faults of a header as it is stored, in nibabel's words."""
    faults = kind.diagnose_binaryblock(start[: kind.template_dtype.itemsize]).splitlines()
    return (Doubt(REPAIRED, f"faults that were fixed or passed over: {'; '.join(faults)}"),) if faults else ()


def _stored_numbers(path: Path, proxy: ArrayProxy, allocate: Allocate) -> np.ndarray:
    """The voxels before scaling, one after the other; those of a compressed file only if their checksum is right."""
    if not path.name.lower().endswith(".gz"):
        return np.asarray(proxy.get_unscaled())
    array = allocate((math.prod(map(int, proxy.shape)),), proxy.dtype)
    with gzip.open(path) as stream:
        stream.seek(proxy.offset)
        rest = memoryview(array.view(np.uint8))
        while rest:
            if not (count := cast(gzip.GzipFile, stream).readinto(rest[:_BLOCK])):
                raise EOFError(f"{len(rest)} bytes of them are missing")
            rest = rest[count:]
        try:
            while stream.read(_BLOCK):  # the checksum stands behind the last byte, and is compared on the way there
                pass
        except gzip.BadGzipFile as error:
            if "Not a gzipped file" not in str(error):  # what an upload leaves behind a stream that was right
                raise
    return array


def _affine(image: nib.Nifti1Image, start: bytes) -> np.ndarray:
    """An image's affine with the spacings of 0 that its file begins with, where they count: nibabel takes 1 instead."""
    kind, affine = type(image.header), cast(np.ndarray, image.affine).copy()  # an image of a file has one
    stored: Any = kind(start[: kind.template_dtype.itemsize], check=False)
    if stored["sform_code"] <= 0:
        shape = (*image.shape[:3], 1, 1)[:3]
        affine[:3, :3][:, (stored["pixdim"][1:4] == 0) & (np.array(shape) > 1)] = 0
    return affine
