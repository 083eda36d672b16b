"""Pixels of DICOM files: pydicom reads those that are stored plainly, or packed in a way that Pillow or it unpacks; ITK reads the rest.

ITK decodes lossless JPEG and JPEG-LS, but has one scale for all frames and turns inverted grays: it is given the packed pixels alone.
"""

import tempfile
from pathlib import Path
from types import ModuleType

import numpy as np

from scnas_keras.formats.itk import reason, simpleitk

_SINGLE, _MULTI = "1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.5.1.4.1.1.7.3"  # secondary capture
_NEEDED = ("Rows", "Columns", "SamplesPerPixel", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelData")


def decode(library: ModuleType, path: Path) -> np.ndarray:
    """The stored numbers of a file, [(frames,) rows, columns (, samples)]; raises errors of many kinds if it is damaged."""
    data = library.dcmread(path, force=True)
    if "TransferSyntaxUID" not in data.file_meta:  # as in files from before DICOM had a header for files
        data.file_meta.TransferSyntaxUID = library.uid.ImplicitVRLittleEndian
    syntax = data.file_meta.TransferSyntaxUID
    if not syntax.is_compressed or library.pixels.get_decoder(syntax).is_available:
        return library.pixels.pixel_array(data)
    return _by_itk(library, path, data)


def _by_itk(library: ModuleType, path: Path, data) -> np.ndarray:
    for frame in library.encaps.generate_frames(data.PixelData, number_of_frames=int(data.get("NumberOfFrames") or 1)):
        found, expected = _announced(frame), (data.Rows, data.Columns, data.SamplesPerPixel)
        if found[1:] != expected or not 1 < found[0] <= data.BitsAllocated:  # GDCM would write beyond its memory
            raise ValueError(f"its JPEG holds {found[1:]} pixels of {found[0]} bits, its header tells {expected} of {data.BitsAllocated}")
    bare = library.dataset.Dataset()
    bare.file_meta = library.dataset.FileMetaDataset()
    bare.file_meta.TransferSyntaxUID = data.file_meta.TransferSyntaxUID
    bare.SOPClassUID, bare.SOPInstanceUID = _MULTI if "NumberOfFrames" in data else _SINGLE, library.uid.generate_uid()
    bare.file_meta.MediaStorageSOPClassUID, bare.file_meta.MediaStorageSOPInstanceUID = bare.SOPClassUID, bare.SOPInstanceUID
    for keyword in _NEEDED:
        setattr(bare, keyword, data[keyword].value)
    for keyword in ("NumberOfFrames", "PlanarConfiguration"):
        if keyword in data:
            setattr(bare, keyword, data[keyword].value)
    inverted = data.PhotometricInterpretation == "MONOCHROME1"
    bare.PhotometricInterpretation = "MONOCHROME2" if inverted else data.PhotometricInterpretation
    bare["PixelData"].VR = "OB"
    bare["PixelData"].is_undefined_length = True
    sitk = simpleitk(f"{path}: such compressed pixels need", ", or convert the scan to .nii.gz")
    with tempfile.TemporaryDirectory() as folder:
        packed = Path(folder, "packed.dcm")
        bare.save_as(packed, enforce_file_format=True)
        try:
            array = sitk.GetArrayFromImage(sitk.ReadImage(str(packed), imageIO="GDCMImageIO"))
        except RuntimeError as error:
            raise ValueError(reason(error)) from error
    return array if int(data.get("NumberOfFrames") or 1) > 1 else array[0]


def _announced(frame: bytes) -> tuple[int, int, int, int]:
    """Bits, rows, columns and samples that a JPEG or JPEG-LS stream tells in its frame header (ITU T.81, B.2.2)."""
    place = 2
    while place + 10 <= len(frame):
        marker, length = frame[place + 1], int.from_bytes(frame[place + 2 : place + 4])
        if frame[place] != 0xFF or length < 2:
            break
        if marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):
            start = place + 4
            rows, columns = (int.from_bytes(frame[start + at : start + at + 2]) for at in (1, 3))
            return frame[start], rows, columns, frame[start + 5]
        place += 2 + length
    raise ValueError("its JPEG has no header of a frame")
