"""Files of kinds that aren't read: what they are, by their ending or by what they begin with, and what to do with them."""

import os
from pathlib import Path

from scnas_keras.formats.endings import ending_of

_TO_NIFTI = "Convert it to .nii.gz"
_UNPACK = "Unpack it, and name what was in it"
_ARCHIVE = "an archive", _UNPACK
_SLIDE = "a whole-slide image", "Export the region and the magnification that you need as .tif or .png"
_SURFACE = "a surface, not voxels", "Export the segmentation as voxels on the grid of its image, as .nii.gz"
_PICTURE = "a picture of a kind that isn't read", "Save it as .png or .tif"
_TABLE = "an array of numbers without voxel sizes", f"{_TO_NIFTI} with its affine: nibabel.save(nibabel.Nifti1Image(array, affine), NAME)"
_MATLAB = "a MATLAB file", f"{_TO_NIFTI} with its affine (in MATLAB: niftiwrite)"
_HDF5 = "an HDF5 file", f"{_TO_NIFTI} with the spacing that belongs to it"
_MINC = "a MINC volume", f"{_TO_NIFTI}: mnc2nii"
_MGH = "a FreeSurfer volume", f"{_TO_NIFTI}: mri_convert FILE.mgz FILE.nii.gz"
_TEXT = "a text", "Name the scan itself"
_POINTER = "a pointer of Git LFS in place of the file", "Fetch the file: git lfs pull"
_WEB_PAGE = "a web page in place of the file", "The download was refused: look at the page, and download the file again"
_PAIR = (
    "a NIfTI pair or Analyze image",
    (f"{_TO_NIFTI}: nibabel.save(nibabel.load('FILE.img'), 'FILE.nii.gz'); Analyze doesn't say which side is left, so look at the result"),
)
_COMPRESSED = "a file compressed in another way than gzip", "Unpack it, and compress it with gzip if its name is to end in .nii.gz"
_KINDS = {
    (".mgz", ".mgh"): _MGH,
    (".img", ".hdr", ".img.gz", ".hdr.gz"): _PAIR,
    (".npy", ".npz", ".pkl", ".pt", ".pth", ".zarr", ".b2nd"): _TABLE,
    (".mat",): _MATLAB,
    (".h5", ".hdf5", ".hdf"): _HDF5,
    (".mnc",): _MINC,
    (".nii.bz2", ".nii.xz", ".nii.zst", ".nii.z"): _COMPRESSED,
    (".nii.zip", ".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".rar", ".7z"): _ARCHIVE,
    (".gz", ".bz2", ".xz", ".zst"): ("a compressed file", _UNPACK),
    (".stl", ".obj", ".ply", ".vtk", ".vtp", ".off", ".gii", ".surf.gii"): _SURFACE,
    (".seg.nrrd.txt", ".txt", ".csv", ".tsv", ".xml", ".json", ".md", ".bval", ".bvec"): _TEXT,
    (".svs", ".ndpi", ".mrxs", ".scn", ".vms", ".vmu", ".bif", ".czi", ".lif"): _SLIDE,
    (".gif", ".webp", ".jp2", ".j2k", ".heic", ".svg", ".pdf", ".psd", ".ppm", ".pgm", ".pnm"): _PICTURE,
    (".mp4", ".avi", ".mov"): ("a film", "Save each picture that you need as .png"),
    (".nhdr", ".raw", ".vff", ".bin"): ("a volume without, or apart from, its header", f"{_TO_NIFTI}, or to .nrrd with the header inside"),
    (".head", ".brik", ".brik.gz"): ("an AFNI volume", f"{_TO_NIFTI}: 3dAFNItoNIFTI"),
    (".par", ".rec"): ("a Philips PAR/REC volume", f"{_TO_NIFTI}: parrec2nii or dcm2niix"),
    (".v", ".ecat"): ("an ECAT volume", _TO_NIFTI),
}
_MARKS = (
    (b"version https://git-lfs", _POINTER),
    (b"\x89PNG", ("a PNG picture", "Let its name end in .png")),
    (b"\xff\xd8\xff", ("a JPEG picture", "Let its name end in .jpg")),
    (b"II*\0", ("a TIFF picture", "Let its name end in .tif")),
    (b"MM\0*", ("a TIFF picture", "Let its name end in .tif")),
    (b"NRRD", ("a NRRD volume", "Let its name end in .nrrd")),
    (b"ObjectType", ("a MetaImage volume", "Let its name end in .mha, or .mhd if the voxels are in another file")),
    (b"\x93NUMPY", _TABLE),
    (b"MATLAB", _MATLAB),
    (b"\x89HDF", _HDF5),
    (b"CDF", _MINC),
    (b"PK\x03\x04", _ARCHIVE),
    (b"Rar!", _ARCHIVE),
    (b"7z\xbc\xaf", _ARCHIVE),
    (b"BZh", _COMPRESSED),
    (b"\xfd7zXZ", _COMPRESSED),
    (b"\x28\xb5\x2f\xfd", _COMPRESSED),
    (b"GIF8", _PICTURE),
    (b"%PDF", _PICTURE),
    (b"solid ", _SURFACE),
    (b"# vtk", _SURFACE),
)
_PAGES = b"<!doctype html", b"<html", b"<?xml"
_DICOM_AT, _DICOM = 128, b"DICM"
_BEGINNING = 132  # bytes


def foreign_ending(name: str) -> str | None:
    """The ending of a file whose kind is known and not read, in lower case; the longest that fits."""
    if ending_of(name):
        return None
    known = (ending for endings in _KINDS for ending in endings if name.lower().endswith(ending))
    return max(known, key=len, default=None)


def is_other_scan(name: str) -> bool:
    """Whether a file name's ending is that of voxels in a form that isn't read."""
    ending = foreign_ending(name)
    return ending is not None and _by_ending(ending) not in (_TEXT, _SURFACE)


def told(path: Path) -> str | None:
    """What a file is and what to do with it, where that is known and isn't what its name says: "this is X. Do Y"."""
    kind, ending = _by_content(path), foreign_ending(path.name)
    if ending and kind not in (_POINTER, _WEB_PAGE):
        what, remedy = _by_ending(ending)
        return f"a file that ends in {ending} is {what}, which isn't read. {remedy}."
    return None if kind is None else f"this is {kind[0]}. {kind[1]}."


def told_absent(path: Path) -> str | None:
    """Why a link leads nowhere."""
    if not os.path.islink(path):  # unlike Path's, for any text
        return None
    target = os.readlink(path)
    fetch = " Fetch it: git annex get, or datalad get." if "annex" in target else " Copy what it leads to, or make the link anew."
    return f"a link to {target}, which isn't there.{fetch}"


def _by_ending(ending: str) -> tuple[str, str]:
    return next(kind for endings, kind in _KINDS.items() if ending in endings)


def _by_content(path: Path) -> tuple[str, str] | None:
    try:
        with path.open("rb") as stream:
            start = stream.read(_BEGINNING)
    except OSError:
        return None
    if start.lstrip().lower().startswith(_PAGES):
        return _WEB_PAGE if not path.name.lower().endswith((".xml", ".svg")) else None
    if start[_DICOM_AT:] == _DICOM:
        return "a DICOM file", "Let its name end in .dcm"
    kind = next((kind for mark, kind in _MARKS if start.startswith(mark)), None)
    own = ending_of(path.name)
    return None if kind and own and kind[1].startswith("Let its name end in") and own in kind[1] else kind
