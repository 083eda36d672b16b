"""Files of every format, damaged in ways that follow from a seed."""

import gzip

import nibabel as nib
import numpy as np
from PIL import Image

ARRAY = np.random.default_rng(0).integers(0, 200, (6, 5, 4)).astype(np.int16)
FORMATS = ("nii", "nii.gz", "nrrd", "mha", "dcm", "frames.dcm", "png", "tif")
HEADER = {"nii": 352, "nii.gz": 352, "nrrd": 400, "mha": 300, "dcm": 900, "frames.dcm": 2500, "png": 60, "tif": 400}
"""Bytes from the start in which the header lies, about."""


def write_whole(path, kind):
    """Writes an undamaged file of a kind."""
    if kind.startswith("nii"):
        nib.save(nib.Nifti1Image(ARRAY, np.diag([1, 2, 3, 1])), path)
    elif kind in ("nrrd", "mha"):
        import SimpleITK as sitk

        image = sitk.GetImageFromArray(ARRAY)
        image.SetSpacing((1, 2, 3))
        sitk.WriteImage(image, path)
    elif kind == "dcm":
        from dicom_files import write_slices

        write_slices(path.parent / "whole", count=1)
        (path.parent / "whole" / "s0.dcm").rename(path)
    elif kind == "frames.dcm":
        from dicom_files import write_frames

        write_frames(path)
    else:
        Image.fromarray(ARRAY[0].astype(np.uint8)).save(path)


def damage(content, kind, seed):
    """The content with bytes flipped, cut off, zeroed, or with numbers of its header replaced."""
    draw = np.random.default_rng([FORMATS.index(kind), seed])
    zipped = kind == "nii.gz" and draw.random() < 0.7  # else the compressed bytes themselves are damaged
    data = bytearray(gzip.decompress(content) if zipped else content)
    header = min(HEADER[kind], len(data))
    way = seed % 5
    if way == 0:
        for place in draw.integers(0, len(data), draw.integers(1, 20)):
            data[place] ^= 1 << draw.integers(8)
    elif way == 1:
        for place in draw.integers(0, header, draw.integers(1, 20)):
            data[place] = draw.integers(256)
    elif way == 2:
        del data[draw.integers(0, len(data)) :]
    elif way == 3:
        start = draw.integers(0, header)
        data[start : start + draw.integers(1, header)] = bytes(len(data[start : start + draw.integers(1, header)]))
    else:
        for place in 2 * draw.integers(0, header // 2, draw.integers(1, 6)):
            value = (np.int16, np.int32, np.float32)[draw.integers(3)](draw.choice([-1, 0, 1, 2**15 - 1, -(2**15), draw.integers(2**15)]))
            data[place : place + value.nbytes] = value.tobytes()
    return gzip.compress(bytes(data)) if zipped else bytes(data)
