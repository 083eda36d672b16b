"""Voxels of NRRD and MetaImage that are written as text: as many numbers as the header says, each of which its type holds."""

import re

import numpy as np
import pytest

from scnas_keras.errors import DataError
from scnas_keras.formats.itk_written import _BLOCK, _words
from scnas_keras.formats.volumes import read_header, read_image

pytest.importorskip("SimpleITK", reason="needs SimpleITK: pip install 'scnas_keras[dicom]'")

NUMBERS = [str(number) for number in range(1, 9)]
TYPES = {"uchar": "MET_UCHAR", "short": "MET_SHORT", "float": "MET_FLOAT", "int64": "MET_LONG_LONG", "uint64": "MET_ULONG_LONG"}


def nrrd(folder, body, kind="uchar", encoding="ascii", more=""):
    (folder / "a.nrrd").write_text(
        f"NRRD0004\ntype: {kind}\ndimension: 3\nsizes: 2 2 2\nspace: left-posterior-superior\nspace directions: (1,0,0) (0,1,0) (0,0,1)\n"
        f"space origin: (0,0,0)\nencoding: {encoding}\n{more}\n{body}\n"
    )
    return folder / "a.nrrd"


def meta(folder, body, kind="uchar", more=""):
    (folder / "a.mha").write_text(
        f"ObjectType = Image\nNDims = 3\nBinaryData = False\n{more}TransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 0 0 0\n"
        f"ElementSpacing = 1 1 1\nDimSize = 2 2 2\nElementType = {TYPES[kind]}\nElementDataFile = LOCAL\n{body}\n"
    )
    return folder / "a.mha"


def stored(path):
    return read_image(path).array[::-1, ::-1].ravel(order="F").tolist()


@pytest.mark.parametrize("write", [nrrd, meta])
def test_as_many_numbers_as_voxels_are_read(write, tmp_path):
    for separator in (" ", "\n", "\r\n", "\t ", ", "):
        assert stored(write(tmp_path, separator.join(NUMBERS))) == [1, 2, 3, 4, 5, 6, 7, 8]
    for numbers in (NUMBERS[:5], NUMBERS + ["9", "10"]):
        path = write(tmp_path, " ".join(numbers))
        read_header(path)
        with pytest.raises(DataError, match=rf"{path.name}: its voxels are 8 numbers.* holds {len(numbers)}\. Correct the sizes"):
            read_image(path)


@pytest.mark.parametrize(
    "kind, word, nrrd_reads, meta_reads",
    [
        ("uchar", "255", 255, 255),
        ("uchar", "5.0", 5, 5),
        ("uchar", "300", None, None),
        ("uchar", "-1", None, None),
        ("uchar", "1e2", None, 100),  # ITK takes it for 1 in an NRRD file
        ("short", "-32768", -32768, -32768),
        ("short", "1.5", None, None),
        ("short", "70000", None, None),
        ("short", "nan", None, None),
        ("short", "0x10", None, None),
        ("int64", "-9007199254740992", -(2**53), -(2**53)),
        ("int64", "9223372036854775807", None, None),  # ITK takes it for the least
        ("uint64", "18446744073709551616", None, None),
        ("short", "0" * 64 + "300", None, None),
        ("float", "0." + "1" * 70 + "e10", None, None),
        ("float", "-1.5e2", -150, -150),
        ("float", "1e300", None, None),
        ("float", "inf", np.inf, None),
        ("float", "12_5", None, None),
        ("float", "word", None, None),
    ],
)
def test_numbers_that_their_type_does_not_hold_are_refused(kind, word, nrrd_reads, meta_reads, tmp_path):
    for write, reads in ((nrrd, nrrd_reads), (meta, meta_reads)):
        path = write(tmp_path, " ".join([*NUMBERS[:3], word, *NUMBERS[4:]]), kind)
        if reads is not None:
            assert stored(path)[3] == reads
            continue
        called = TYPES[kind] if write is meta else kind
        message = rf"{path.name}: number 4 of its voxels.* is {re.escape(word[:60])}\w*, .* read as {called}\. Correct the type"
        with pytest.raises(DataError, match=message):
            read_image(path)


def test_hexadecimal_voxels_are_counted(tmp_path):
    assert stored(nrrd(tmp_path, "01020304\n05060708", encoding="hex")) == [1, 2, 3, 4, 5, 6, 7, 8]
    with pytest.raises(DataError, match="are 16 digits.* holds 18"):
        read_image(nrrd(tmp_path, "010203040506070809", encoding="hex"))


def test_numbers_begin_behind_what_the_header_skips(tmp_path):
    assert stored(nrrd(tmp_path, "a line\n" + " ".join(NUMBERS), more="line skip: 1\n")) == [1, 2, 3, 4, 5, 6, 7, 8]
    with pytest.raises(DataError, match="HeaderSize = -1 doesn't tell where"):
        read_image(meta(tmp_path, " ".join(NUMBERS), more="HeaderSize = -1\n"))


def test_a_number_across_two_blocks_is_one(tmp_path):
    file = tmp_path / "numbers"
    file.write_bytes(b"1" + b" " * (_BLOCK - 3) + b"12345 6")
    assert [word for words in _words(file, 0) for word in words.tolist()] == [b"1", b"12345", b"6"]


def test_a_word_across_two_blocks_may_be_long(tmp_path):
    (tmp_path / "numbers").write_bytes(b"1" + b" " * (_BLOCK - 13) + b"123456789.12345 6")
    assert [word for words in _words(tmp_path / "numbers", 0) for word in words.tolist()] == [b"1", b"123456789.12345", b"6"]


def test_several_channels_are_refused_in_a_metaimage_and_read_in_nrrd(tmp_path):
    """ITK reads half of them, and memory."""
    with pytest.raises(DataError, match="a.mha: 2 numbers a voxel, written as text, of which ITK reads the first part only"):
        read_image(meta(tmp_path, " ".join(map(str, range(16))), more="ElementNumberOfChannels = 2\n"))


def test_numbers_without_what_itk_needs_behind_them_are_told(tmp_path):
    path = meta(tmp_path, " ".join(NUMBERS))
    path.write_bytes(path.read_bytes().rstrip())
    with pytest.raises(DataError, match="a.mha ends right behind its last number, .* Add a line break"):
        read_image(path)
    assert stored(meta(tmp_path, ",".join(NUMBERS) + ",")) == stored(nrrd(tmp_path, ", ".join(NUMBERS) + ",")) == [1, 2, 3, 4, 5, 6, 7, 8]
    with pytest.raises(DataError, match="a.nrrd has commas without blanks between numbers, .* Write blanks"):
        read_image(nrrd(tmp_path, ",".join(NUMBERS)))


def test_text_in_a_file_a_slice_is_counted_by_file(tmp_path):
    for number in (1, 2):
        (tmp_path / f"{number}.txt").write_text(" ".join(NUMBERS[4 * number - 4 : 4 * number]) + "\n")
    text = meta(tmp_path, "1.txt\n2.txt").read_text()
    path = tmp_path / "a.mhd"
    path.write_text(text.replace("LOCAL", "LIST"))
    assert stored(path) == [1, 2, 3, 4, 5, 6, 7, 8]
    for axes in ("3", "3D"):
        path.write_text(text.replace("LOCAL", f"LIST {axes}"))
        with pytest.raises(DataError, match=f"its ElementDataFile is 'LIST {axes}', of which ITK reads nothing. Write LIST and"):
            read_image(path)
