"""What counts as a change of a case's files."""

import os

import numpy as np
import pytest
from dicom_files import ARRAY, COUNT, write_slices

from scnas_keras.formats.volumes import read_image
from scnas_keras.preprocessing.contents import contents
from scnas_keras.tasks.cases import Case
from scnas_keras.tasks.sources import files_of, source_digest


@pytest.fixture
def case(tmp_path):
    """A MetaImage header that names the file of its voxels, a folder of slices, and a label."""
    (tmp_path / "a.mhd").write_text("ObjectType = Image\nDimSize = 2 2 2\nElementDataFile = a.raw\n")
    (tmp_path / "series").mkdir()
    for name in ("a.raw", "series/1.dcm", "series/2.dcm", "label.nii.gz"):
        (tmp_path / name).write_bytes(b"12345678")
    return Case("a", (tmp_path / "a.mhd", tmp_path / "series"), tmp_path / "label.nii.gz")


@pytest.mark.parametrize("name", ["a.mhd", "a.raw", "series/2.dcm", "label.nii.gz"])
def test_every_file_of_a_case_counts(case, tmp_path, name):
    before = source_digest(case)
    assert source_digest(case) == before
    os.utime(tmp_path / name, ns=(0, 0))
    changed = source_digest(case)
    assert changed != before
    with (tmp_path / name).open("ab") as file:
        file.write(b"\n")
    os.utime(tmp_path / name, ns=(0, 0))
    assert source_digest(case) not in (before, changed)


def test_of_a_folder_what_its_reader_takes_counts(case, tmp_path):
    before, held = source_digest(case), contents(case, tmp_path / "cache")
    (tmp_path / "series" / "report").mkdir()
    for name in (".DS_Store", "._1.dcm", "notes.txt", "report/3.dcm"):
        (tmp_path / "series" / name).write_bytes(b"x")
    assert source_digest(case) == before and contents(case, tmp_path / "cache") == held
    assert contents(case, tmp_path / "another") == held
    (tmp_path / "series" / "3.dcm").write_bytes(b"x")
    assert source_digest(case) != before and contents(case, tmp_path / "cache") != held


def test_a_header_without_a_file_of_voxels_stands_for_itself(case, tmp_path):
    for text in ("ElementDataFile = LOCAL\n", "ElementDataFile = gone.raw\n", ""):
        (tmp_path / "a.mhd").write_text(text)
        assert len(source_digest(case)) == 16


_NRRD = "NRRD0005\ntype: uint8\ndimension: 3\nsizes: 4 3 2\nspacings: 1 1 1\nencoding: raw\n{}"
_META = (
    "ObjectType = Image\nNDims = 3\nBinaryData = True\nDimSize = 4 3 2\nElementSpacing = 1 1 1\nElementType = MET_UCHAR\n"
    "ElementDataFile = {}\n"
)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.nrrd", _NRRD.format("data file: whole.raw\n")),
        ("a.nrrd", _NRRD.format("datafile: %d.raw 1 2 1 2\n")),
        ("a.nrrd", _NRRD.format("data file: LIST 2\n1.raw\n2.raw\n")),
        ("a.mhd", _META.format("whole.raw")),
        ("a.mhd", _META.format("%d.raw 1 2 1")),
        ("a.mhd", _META.format("LIST\n1.raw\n2.raw")),
    ],
)
def test_every_file_of_voxels_counts(tmp_path, name, text):
    """The ones that ITK reads are those that the digest is made of."""
    pytest.importorskip("SimpleITK")
    path, values = tmp_path / name, np.arange(24, dtype=np.uint8)
    path.write_text(text)
    if "whole" in text:
        values.tofile(tmp_path / "whole.raw")
    else:
        values[:12].tofile(tmp_path / "1.raw")
        values[12:].tofile(tmp_path / "2.raw")
    np.testing.assert_array_equal(read_image(path).array[::-1, ::-1].ravel("F"), values)  # left, posterior there; right, anterior here
    case = Case("a", (path,), path)
    for file in tmp_path.glob("*.raw"):
        before, held = source_digest(case), contents(case, tmp_path / "cache")
        changed = np.fromfile(file, np.uint8)
        changed[-1] += 1
        changed.tofile(file)
        os.utime(file, ns=(0, 0))
        assert source_digest(case) != before and contents(case, tmp_path / "cache") != held


def test_a_header_of_one_file_holds_its_voxels(tmp_path):
    """What looks like the name of a file among them isn't one."""
    path = tmp_path / "a.nrrd"
    path.write_bytes(_NRRD.format("\n").encode() + b"data file: b.raw\n1234567")
    (tmp_path / "b.raw").write_bytes(b"x")
    assert list(files_of(path)) == [path]


def test_of_a_slice_the_whole_series_counts_that_is_read_with_it(tmp_path):
    """And no other series beside it, whichever slice is named."""
    folder = write_slices(tmp_path / "series")

    def other(data, k):
        data.SeriesInstanceUID = "1.2.4"

    write_slices(tmp_path / "others", other)
    for k in range(COUNT):
        (tmp_path / "others" / f"s{k}.dcm").rename(folder / f"z{k}.dcm")
    (tmp_path / "label.nii.gz").write_bytes(b"x")
    one, another = (Case("a", (folder / name,), tmp_path / "label.nii.gz") for name in ("s0.dcm", "s3.dcm"))
    before, held = source_digest(one), contents(one, tmp_path / "cache")
    assert read_image(folder / "s0.dcm").array.shape[2] == COUNT
    assert list(held.values()) == list(contents(another, tmp_path / "cache").values())
    (folder / "z1.dcm").write_bytes((folder / "z2.dcm").read_bytes())
    assert source_digest(one) == before and contents(one, tmp_path / "cache") == held

    def changed(data, k):
        data.PixelData = (ARRAY[k] + (k == 4)).astype(np.uint16).tobytes()

    write_slices(folder, changed)
    assert source_digest(one) != before and contents(one, tmp_path / "cache") != held
    (folder / "s5.dcm").unlink()
    assert len(contents(one, tmp_path / "cache")) == 2 and read_image(folder / "s0.dcm").array.shape[2] == COUNT - 1
