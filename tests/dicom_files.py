"""DICOM files as tests need them, written with pydicom alone: slices, and one object of many frames."""

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage, EnhancedMRImageStorage, ExplicitVRLittleEndian, generate_uid

POSITION, SPACING, STEP = (-10.0, -20.0, 5.0), (0.5, 0.7), 3.0
COUNT = 6
ARRAY = np.arange(COUNT * 4 * 3, dtype=np.uint16).reshape(COUNT, 4, 3)  # [k, row, column]
AFFINE = np.array([[-0.7, 0, 0, 10], [0, -0.5, 0, 20], [0, 0, 3, 5], [0, 0, 0, 1]])  # RAS+


def image(kind, pixels, **attributes):
    """A data set of gray pixels [(frame,) row, column]."""
    data, meta = Dataset(), FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = ExplicitVRLittleEndian, kind, generate_uid()
    data.file_meta = meta
    data.SOPClassUID, data.SOPInstanceUID, data.SeriesInstanceUID, data.FrameOfReferenceUID = kind, generate_uid(), "1.2.3", "1.2.9"
    data.SamplesPerPixel, data.PhotometricInterpretation, data.PixelRepresentation = 1, "MONOCHROME2", 0
    data.BitsAllocated = data.BitsStored = 8 * pixels.dtype.itemsize
    data.HighBit = data.BitsStored - 1
    data.Rows, data.Columns = pixels.shape[-2:]
    data.PixelData = pixels.tobytes()
    for keyword, value in attributes.items():
        setattr(data, keyword, value)
    return data


def write_slices(folder, edit=None, count=COUNT):
    """Writes a CT of one file a slice; `edit(data, k)` changes a slice, and returns False to leave it out."""
    folder.mkdir(parents=True, exist_ok=True)
    for k in range(count):
        data = image(CTImageStorage, ARRAY[k], ImageOrientationPatient=[1, 0, 0, 0, 1, 0], PixelSpacing=list(SPACING))
        data.ImagePositionPatient, data.InstanceNumber, data.SliceThickness = [*POSITION[:2], POSITION[2] + STEP * k], k + 1, STEP
        if edit is None or edit(data, k) is not False:
            data.save_as(folder / f"s{k}.dcm", enforce_file_format=True)
    return folder


def nested(**macros):
    """A functional group: name of a macro's sequence -> what its one item holds."""
    group = Dataset()
    for name, attributes in macros.items():
        item = Dataset()
        for keyword, value in attributes.items():
            setattr(item, keyword, value)
        setattr(group, name, Sequence([item]))
    return group


def write_frames(path, order=tuple(range(COUNT)), edit=None, echoes=1):
    """Writes an enhanced MR, whose frames are the slices `order`; `edit(group, shared, data, n)` changes frame n's functional group."""
    frames = [(k, echo) for k in order for echo in range(echoes)]
    data = image(EnhancedMRImageStorage, np.stack([ARRAY[k] + 100 * echo for k, echo in frames]), NumberOfFrames=len(frames))
    shared = nested(
        PixelMeasuresSequence={"PixelSpacing": list(SPACING), "SliceThickness": STEP},
        PlaneOrientationSequence={"ImageOrientationPatient": [1, 0, 0, 0, 1, 0]},
    )
    groups = []
    for n, (k, echo) in enumerate(frames):
        groups.append(
            nested(
                PlanePositionSequence={"ImagePositionPatient": [*POSITION[:2], POSITION[2] + STEP * k]},
                FrameContentSequence={"DimensionIndexValues": [k + 1, echo + 1], "InStackPositionNumber": k + 1},
                MREchoSequence={"EffectiveEchoTime": 10.0 + 20 * echo},
            )
        )
        if edit:
            edit(groups[-1], shared, data, n)
    data.SharedFunctionalGroupsSequence, data.PerFrameFunctionalGroupsSequence = Sequence([shared]), Sequence(groups)
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)
    return path
