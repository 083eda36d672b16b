"""A DICOM file with an image: what it says of its frames, and their pixels, through pydicom and its decoders."""

import dataclasses
import logging
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from scnas_keras.errors import ConfigError, DataError, UserError
from scnas_keras.formats import frames as of_frames
from scnas_keras.formats.decoding import decode
from scnas_keras.formats.frames import Frame, read_frame
from scnas_keras.formats.stored import cut_off, unreadable

_PIXELS = (
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PhotometricInterpretation",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
)
_FILE = ("SOPClassUID", "SeriesInstanceUID", "SeriesDescription", "InstanceNumber", "FrameOfReferenceUID", "NumberOfFrames")
_PART = ("ConcatenationUID", "InConcatenationTotalNumber")
_GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
_MACROS = (
    "PixelMeasuresSequence",
    "PlanePositionSequence",
    "PlaneOrientationSequence",
    "PixelValueTransformationSequence",
    "FrameContentSequence",
    "MREchoSequence",
    "MRDiffusionSequence",
    "MRTimingAndRelatedParametersSequence",
    "MRImageFrameTypeSequence",
    "CTImageFrameTypeSequence",
    "PETFrameTypeSequence",
    "CardiacSynchronizationSequence",
)
"""The macros of functional groups that tell something of `frames.TAGS`. Groups hold other sequences, too, private ones and references to
other images, with attributes of the same names."""
_CONVERTED = "UnassignedSharedConvertedAttributesSequence", "UnassignedPerFrameConvertedAttributesSequence"
"""What was left when single slices were made one object."""
_ITSELF = "RealWorldValueMappingSequence"
"""The macro that is read as a whole, for its items are several scales."""
_TAGS = [*of_frames.TAGS, *_PIXELS, *_FILE, *_PART, *_GROUPS]
_PICTURES = "Radiography", "X-Ray", "Secondary Capture", "Ultrasound", "VL ", "Photography"
"""What the kinds of images are called that needn't say where they lie in a patient."""
_HALF = 2**15
_DENSEST = 2000
"""Bytes of pixels that a byte of a file can stand for; a compressed empty slice comes to some hundreds."""


@dataclasses.dataclass(frozen=True, eq=False)
class Instance:
    """A DICOM file with an image: what is told once a file, and its frames.

    Attributes:
        size: columns and rows.
        samples: numbers per pixel.
        kind: type of its stored numbers.
        series: SeriesInstanceUID.
        description: of the series, for people.
        reference: FrameOfReferenceUID; positions in different ones can't be compared.
        indexed: the numbers index a palette.
        white: the number that is shown as white, where grays are stored inverted; else None.
        padding: the least and the greatest stored number that stand for no measurement; None if it doesn't say.
    """

    path: Path
    size: tuple[int, int]
    samples: int
    kind: np.dtype
    series: str
    description: str
    reference: str
    indexed: bool
    white: int | None
    padding: tuple[int, int] | None
    frames: tuple[Frame, ...]


def _pydicom(path: Path) -> ModuleType:
    """The pydicom module, silenced; raises ConfigError, naming the file that needs it, where it isn't installed."""
    try:
        import pydicom as module
        import pydicom.pixels
    except ImportError as error:
        raise ConfigError(
            f"{path}: DICOM files need pydicom, which is not installed. Run pip install '.[dicom]' in the cloned folder, or convert the "
            "scan to .nii.gz."
        ) from error
    module.config.settings.reading_validation_mode = module.config.IGNORE
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)  # what matters is an error here
    return module


def read_instance(path: Path) -> Instance | None:
    """Reads what a DICOM file says of its image; None if it holds none, such as a report.

    Raises:
        DataError: the file can't be read or is cut off, or doesn't say where its frames lie or what their numbers mean.
        ConfigError: pydicom isn't installed.
    """
    library = _pydicom(path)
    try:
        with warnings.catch_warnings(), path.open("rb") as stream:
            warnings.simplefilter("ignore")
            header = library.dcmread(stream, stop_before_pixels=True, force=True, specific_tags=_TAGS)
            start = stream.read(12)  # tag, length, and a type of two letters where files tell types
            pixels = start[:2] in (b"\xe0\x7f", b"\x7f\xe0")
            behind = path.stat().st_size - stream.tell() + (0 if start[4:6].isalpha() else 4)
            return _instance(library, path, header, behind if pixels else None)
    except UserError:
        raise
    except Exception as error:  # pydicom has no common one for damaged files
        raise unreadable(path, "DICOM", error) from error


def read_place(path: Path) -> tuple[str, np.ndarray] | None:
    """SeriesInstanceUID and ImagePositionPatient [3] of a file that may be cut off anywhere; None if they can't be told."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tags = ["SeriesInstanceUID", "ImagePositionPatient"]
            header = _pydicom(path).dcmread(path, stop_before_pixels=True, force=True, specific_tags=tags)
            position = np.array(header.get("ImagePositionPatient") or (), float)
            return (str(header.get("SeriesInstanceUID", "")), position) if position.shape == (3,) and np.isfinite(position).all() else None
    except UserError:
        raise
    except Exception:  # pydicom has no common one for damaged files
        return None


def without_image(path: Path) -> DataError:
    """The error for a DICOM file of which `read_instance` said that it holds no image: what it is, and what to do."""
    library = _pydicom(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kind = _kind(library, library.dcmread(path, stop_before_pixels=True, force=True, specific_tags=["SOPClassUID"]))
    if kind == "RT Structure Set Storage":
        return DataError(
            f"{path}: a DICOM file with contours, not voxels ({kind}). Convert it to a label map on the grid of its scan, as .nii.gz, "
            "for example with 3D Slicer, plastimatch or dcmrtstruct2nii."
        )
    return DataError(f"{path}: a DICOM file that holds no image ({kind}). Leave it out, and name the scan itself.")


def read_pixels(instance: Instance) -> np.ndarray:
    """The stored numbers of a file, [frames, rows, columns, ...]; colours are RGB."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pixels = decode(_pydicom(instance.path), instance.path)
    except UserError:
        raise
    except Exception as error:  # nor have decoders
        raise cut_off(instance.path, error) from error
    pixels = pixels if len(instance.frames) > 1 else pixels[None]
    return pixels if instance.white is None else instance.white - pixels


def _instance(library: ModuleType, path: Path, header, behind: int | None) -> Instance | None:
    """`behind`: bytes of the file from its pixels on, None if there are none."""
    name, syntax = _kind(library, header), header.file_meta.get("TransferSyntaxUID")
    if name == "Segmentation Storage":
        raise DataError(f"{path}: a DICOM segmentation object, which isn't read. Convert it to .nii.gz, for example with dcmqi.")
    _refuse_parts(path, header)
    if not name and "Rows" not in header:
        raise ValueError("it doesn't say what it holds")
    if behind is None and not (syntax and syntax.is_deflated and "Rows" in header):
        if "Image Storage" in name or "Rows" in header:
            raise cut_off(path, "there are no pixels")
        return None
    needed = library.pixels.utils.get_expected_length(header)
    count = int(header.get("NumberOfFrames") or 1)
    if count < 1 or needed < 1:
        raise ValueError(f"{count} frames of {header.Columns}x{header.Rows} pixels")
    there = _DENSEST * path.stat().st_size if behind is None or (syntax and syntax.is_compressed) else behind
    if there < needed:
        raise cut_off(path, f"there are {max(there, 0)} of {needed} bytes of pixels")
    series = str(header.get("SeriesInstanceUID", ""))
    if not re.fullmatch(r"[\d.]*", series):
        raise ValueError(f"the number of its series is {series!r}")
    signed, bits = bool(header.get("PixelRepresentation", 0)), int(header.get("BitsStored", 0))
    if bits and int(header.get("HighBit", bits - 1)) != bits - 1:
        raise DataError(
            f"{path}: its numbers of {bits} bits end at bit {header.HighBit} (HighBit), not at {bits - 1}, which isn't read. "
            "Convert the scan to .nii.gz, for example with dcm2niix."
        )
    if bits > int(header.BitsAllocated):
        raise ValueError(f"its numbers of {header.BitsAllocated} bits (BitsAllocated) store {bits} (BitsStored)")
    frames = tuple(read_frame(path, number, count, groups) for number, groups in enumerate(_groups(path, header, count, name)))
    gray = header.PhotometricInterpretation == "MONOCHROME1" and all((frame.slope, frame.inter) == (1, 0) for frame in frames)
    return Instance(
        path,
        (int(header.Columns), int(header.Rows)),
        int(header.SamplesPerPixel),
        np.dtype(f"{'i' if signed else 'u'}{max(1, int(header.BitsAllocated) // 8)}")
        if bits
        else np.dtype(f"f{header.BitsAllocated // 8}"),
        series,
        str(header.get("SeriesDescription", "")),
        str(header.get("FrameOfReferenceUID", "")),
        header.PhotometricInterpretation == "PALETTE COLOR",
        (-1 if signed else 2**bits - 1) if gray else None,
        _padding(header, signed, bits),
        frames,
    )


def _padding(header, signed: bool, bits: int) -> tuple[int, int] | None:
    """The stored numbers between PixelPaddingValue and PixelPaddingRangeLimit (PS3.3, C.7.5.1.1.2), both of 16 bits with the pixels' sign.

    Many files tell -2000 as 63536, and the other way round. None also for what pixels of `bits` never hold.
    """
    value, limit = (header.get(keyword) for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit"))
    if not isinstance(value, int) or not bits:
        return None
    half = _HALF if signed else 0
    low, high = sorted((end + half) % (2 * _HALF) - half for end in (value, limit if isinstance(limit, int) else value))
    least = -(2 ** (bits - 1)) if signed else 0
    return None if high < least or low >= least + 2**bits else (low, high)


def _kind(library: ModuleType, header) -> str:
    """What kind of object a file holds, in DICOM's words; "" if it doesn't say."""
    return library.uid.UID(header.file_meta.get("MediaStorageSOPClassUID", header.get("SOPClassUID", ""))).name


def _refuse_parts(path: Path, header) -> None:
    """Raises DataError for an image that shows many slices as one, or holds some of the frames of a scan."""
    if "MOSAIC" in header.get("ImageType", ()):
        raise DataError(
            f"{path}: a mosaic of Siemens, all slices of a scan side by side in one picture, which isn't read. Convert it to .nii.gz "
            "with dcm2niix."
        )
    total = header.get("InConcatenationTotalNumber")
    if (header.get("ConcatenationUID") or total) and total != 1:
        raise DataError(
            f"{path}: one of {total or 'several'} parts of a multi-frame object (InConcatenationTotalNumber), whose frames aren't put "
            "together here. Export the scan again as one file, or as one file a slice."
        )


def _groups(path: Path, header, count: int, kind: str) -> Sequence[Sequence[Mapping[str, Any]]]:
    """For each frame where to look for what is said of it, nearest first."""
    shared, each = (header.get(keyword) for keyword in _GROUPS)
    whole = _flat([header])
    if each is None:
        if count > 1:
            raise DataError(
                f"{path}: holds {count} frames ({kind}) and doesn't say where each lies. Only frames with a position make "
                "a scan; convert it to .nii.gz with a program that knows its kind."
            )
        if "ImagePositionPatient" not in whole and any(word in kind for word in _PICTURES):
            raise DataError(
                f"{path}: a picture without a place in space ({kind}, no ImagePositionPatient). Save it as .png or .tif, or as .nii.gz; "
                "if it only lies beside the slices of a scan, move it out of their folder."
            )
        return [[whole]]
    if len(each) != count:
        raise cut_off(path, f"{count} frames are announced, and {len(each)} are described")
    beside, rest = ([part for item in shared or () for part in _parts(item, names)] for names in (_MACROS, _CONVERTED))
    below = [_flat(beside), whole]
    return [[_flat(_parts(item, _MACROS)), *below, _flat([*rest, *_parts(item, _CONVERTED)])] for item in each]


def _parts(item, names: Sequence[str]) -> list:
    """What a functional group tells by sequences of one item."""
    own = [item[_ITSELF]] if _ITSELF in item else []
    return [own, *(item[name].value[0] for name in names if name in item and item[name].value)]


def _flat(parts) -> dict[str, Any]:
    return {element.keyword: element.value for part in parts for element in part if element.keyword and element.value not in (None, "")}
