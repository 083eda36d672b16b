"""NRRD and MetaImage headers whose numbers, names or files of voxels ITK would read past, or read as others, without a word."""

import bz2
import gzip
import itertools
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scnas_keras.errors import DataError
from scnas_keras.formats.geometry import NO_ORIENTATION, TWO_PLACES, make_affine
from scnas_keras.formats.itk_headers import voxel_files
from scnas_keras.formats.volumes import read_header, read_image

sitk = pytest.importorskip("SimpleITK", reason="needs SimpleITK: pip install 'scnas_keras[dicom]'")

VOXELS = bytes(range(12))
META = {
    "NDims": "3",
    "BinaryData": "True",
    "TransformMatrix": "1 0 0 0 1 0 0 0 1",
    "Offset": "10 20 30",
    "ElementSpacing": "2 3 4",
    "DimSize": "3 2 2",
    "ElementType": "MET_UCHAR",
}
NRRD = {
    "type": "unsigned char",
    "dimension": "3",
    "sizes": "3 2 2",
    "space": "left-posterior-superior",
    "space directions": "(2,0,0) (0,3,0) (0,0,4)",
    "space origin": "(10,20,30)",
    "encoding": "raw",
}
PLANES = {"space": None, "space directions": None, "space origin": None}
"""Takes an NRRD's place away."""
FOUR = {"dimension": "4", "sizes": "1 3 2 2"}


def meta(folder, changes, body=VOXELS, data="LOCAL", name="a.mha"):
    fields = {name: value for name, value in {"ObjectType": "Image", **META, **changes}.items() if value is not None}
    lines = [f"{name} = {value}\n" for name, value in {**fields, "ElementDataFile": data}.items()]
    (folder / name).write_bytes("".join(lines).encode() + body)
    return folder / name


def nrrd(folder, changes, body=VOXELS, data=None):
    fields = {name: value for name, value in {**NRRD, **changes, "data file": data}.items() if value is not None}
    end = "" if (data or "").startswith("LIST") else "\n"
    (folder / "a.nrrd").write_bytes(("NRRD0005\n" + "".join(f"{name}: {value}\n" for name, value in fields.items()) + end).encode() + body)
    return folder / "a.nrrd"


def files(folder, sizes):
    """Files s0.raw, s1.raw, ... of so many bytes, that count on."""
    for number, size in enumerate(sizes):
        (folder / f"s{number}.raw").write_bytes(bytes(range(6 * number, 6 * number + size)))


def assert_read(path):
    np.testing.assert_array_equal(read_image(path).array[..., 0], np.arange(12).reshape(2, 2, 3).T[::-1, ::-1])


@pytest.mark.parametrize(
    "field, count",
    [
        *((name, 3) for name in ("ElementSpacing", "ElementSize", "Offset", "Position", "Origin")),
        *((name, 9) for name in ("TransformMatrix", "Rotation", "Orientation")),
        ("DimSize", 3),
    ],
)
@pytest.mark.parametrize("change", ["nan", "inf", "x", "1,0", "", "1 1"])
@pytest.mark.parametrize("place", [0, -1])
def test_numbers_that_place_voxels_are_as_many_and_finite(field, count, change, place, tmp_path):
    kinds = (
        ("ElementSpacing", "ElementSize"),
        ("Origin", "Offset", "Position"),
        ("TransformMatrix", "Rotation", "Orientation"),
        ("DimSize",),
    )
    others = {name: None for names in kinds if field in names for name in names}
    words = {3: ["1", "2", "3"], 9: "1 0 0 0 1 0 0 0 1".split()}[count]
    words[place] = change
    with pytest.raises(DataError, match=f"a.mha: its {field} is '.*', which must be {count} (whole )?numbers.* Correct"):
        read_header(meta(tmp_path, {**others, field: " ".join(words).strip()}))


@pytest.mark.parametrize("sizes", ["3 -2 2", "3 0 2", "2.5 2 2", "3 2 -2"])
@pytest.mark.parametrize("write, field", [(meta, "DimSize"), (nrrd, "sizes")])
def test_sizes_below_one_are_refused(write, field, sizes, tmp_path):
    with pytest.raises(DataError, match=f"its {field} is '{sizes}', which must be 3 whole numbers from 1 on"):
        read_header(write(tmp_path, {field: sizes}))


@pytest.mark.parametrize("value", ["0", "-1", "", "x", "nan", "1.5", "11", "9" * 30, "3 3"])
def test_axes_that_crash_itk_are_refused(value, tmp_path):
    with pytest.raises(DataError, match=f"its NDims is '{value}', which must be a whole number from 1 to 10"):
        read_header(meta(tmp_path, {"NDims": value}))


@pytest.mark.parametrize("name", META)
def test_fields_that_are_there_twice_must_agree(name, tmp_path):
    path = meta(tmp_path, {})
    content = path.read_bytes()
    path.write_bytes(content.replace(b"ElementDataFile", f"{name} = {META[name]}\nElementDataFile".encode()))
    assert_read(path)
    path.write_bytes(content.replace(b"ElementDataFile", f"{name} = 7 7 7\nElementDataFile".encode()))
    with pytest.raises(DataError, match=f"a.mha: it has two fields '{name}', with different values"):
        read_header(path)


@pytest.mark.parametrize("matrix", ["1 0 0 1 0 0 0 0 1", "1 0 0 0 1 0 0 1 0", "0.6 0.8 0 0.8 -0.6 0 1 0 0"])
def test_a_matrix_without_a_volume_is_refused(matrix, tmp_path):
    for code in (None, "RAI"):
        with pytest.raises(DataError, match="a.mha: its TransformMatrix .* gives no volume"):
            read_header(meta(tmp_path, {"TransformMatrix": matrix, "AnatomicalOrientation": code}))


@pytest.mark.parametrize("names", [*itertools.permutations(("Origin", "Offset", "Position"), 2)])
def test_of_two_places_it_is_said_which_was_used(names, tmp_path):
    path = meta(tmp_path, {"Offset": None, **{name: f"{at} 0 0" for at, name in enumerate(names)}})
    header = read_header(path)
    used = names[int(-header.affine[0, 3])]
    assert [(doubt.kind, doubt.text.endswith(f"; {used} was used")) for doubt in header.doubts] == [(TWO_PLACES, True)]


@pytest.mark.parametrize("name", [*META, "ElementSize", "HeaderSize", "DistanceUnits", "ElementToIntensityFunctionSlope"])
@pytest.mark.parametrize("change", [str.lower, str.upper])
def test_names_in_another_case_are_refused(name, change, tmp_path):
    with pytest.raises(DataError, match=f"a.mha: ITK doesn't read its field '{change(name)}', for it is written {name}"):
        read_header(meta(tmp_path, {name: None, change(name): META.get(name, "1")}))


@pytest.mark.parametrize(
    "data, sizes",
    [
        ("LIST\ns0.raw\ns1.raw\n", (6, 6)),
        ("LIST 2\ns0.raw\ns1.raw", (6, 6)),
        ("LIST 1\ns0.raw\ns1.raw\ns2.raw\ns3.raw", None),
        ("s%d.raw 0 1 1", (6, 6)),
        ("s%01d.raw 0", (6, 6)),
        ("s0.raw", (12,)),
    ],
)
def test_files_of_voxels_that_fit_are_read(data, sizes, tmp_path):
    files(tmp_path, sizes or ())
    for number in range(4 if sizes is None else 0):
        (tmp_path / f"s{number}.raw").write_bytes(VOXELS[3 * number : 3 * number + 3])
    path = meta(tmp_path, {}, b"", data, "a.mhd")
    assert_read(path)
    assert voxel_files(path) == [tmp_path / f"s{number}.raw" for number in range(len(sizes or range(4)))]


@pytest.mark.parametrize(
    "data, sizes, words",
    [
        ("LIST\ns0.raw", (6,), "must be 2, and the header names 1"),
        ("LIST\ns0.raw\ns1.raw\ns2.raw", (6, 6, 6), "must be 2, and the header names 3"),
        ("LIST\n", (), "must be 2, and the header names 0"),
        ("s%d.raw 0 0 1", (6,), "must be 2, and the header names 1"),
        ("s%d.raw 0 2 1", (6, 6, 6), "must be 2, and the header names 3"),
        ("LIST\ns0.raw\ns7.raw", (6,), "missing: s7.raw"),
        ("s%d.raw 0 1 1", (6,), "missing: s1.raw"),
        ("s%03d.raw 0 1 1", (6, 6), "missing: s000.raw, s001.raw"),
        ("elsewhere/s.raw", (), "missing: elsewhere/s.raw"),
        ("LIST\ns0.raw\ns1.raw", (6, 5), "they are 6 bytes, and there is room for 5"),
        ("s%d.raw 0 1 1", (6, 7), "voxels are 6 bytes, and s1.raw holds 7"),
        ("s0.raw", (13,), "voxels are 12 bytes, and s0.raw holds 13"),
        ("s0.raw", (11,), "they are 12 bytes, and there is room for 11"),
        ("s%d.raw 0 1", (6, 6), "ITK makes no names"),
        ("s%d.raw 0 1 0", (6, 6), "ITK makes no names"),
        ("s50%.raw", (6, 6), "ITK makes no names"),
    ],
)
def test_files_of_voxels_that_do_not_fit_are_refused(data, sizes, words, tmp_path):
    files(tmp_path, sizes)
    with pytest.raises(DataError, match=f"a.mhd: .*{words}"):
        read_image(meta(tmp_path, {}, b"", data, "a.mhd"))


@pytest.mark.parametrize(
    "data, sizes, words",
    [
        ("LIST\ns0.raw\ns1.raw", (6, 6), None),
        ("s%d.raw 0 1 1", (6, 6), None),
        ("s%d.raw 0 1 1 2", (6, 6), None),
        ("LIST 3\ns0.raw\ns1.raw", (6, 6), None),
        ("LIST\ns0.raw", (6,), "expected 2 filenames"),
        ("LIST\ns0.raw\ns7.raw", (6,), "missing: s7.raw"),
        ("s%d.raw 0 1 1", (6,), "missing: s1.raw"),
        ("s%d.raw 0 1 1", (6, 7), "voxels are 6 bytes, and s1.raw holds 7"),
        ("s%d.raw 0 1 1", (6, 5), "there is room for 5"),
        ("s0.raw", (13,), "voxels are 12 bytes, and s0.raw holds 13"),
    ],
)
def test_files_of_voxels_of_nrrd(data, sizes, words, tmp_path):
    files(tmp_path, sizes)
    path = nrrd(tmp_path, {}, b"", data)
    if words is None:
        assert_read(path)
        assert len(voxel_files(path)) == len(sizes)
    else:
        with pytest.raises(DataError, match=f"a.nrrd: .*{words}"):
            read_image(path)


@pytest.mark.parametrize(
    "write, changes, before, behind, fits",
    [
        (meta, {}, b"", b"more", False),
        (meta, {"BinaryData": None}, b"", b"", True),
        (meta, {"BinaryData": None}, b"", b"more", False),
        (meta, {"BinaryData": "1"}, b"", b"more", False),
        (meta, {"HeaderSize": "-1"}, b"some", b"", True),
        (meta, {"HeaderSize": "10"}, b"", b"", False),
        (meta, {"ElementType": "MET_UCHAR", "DimSize": "3 2 1"}, b"", b"", False),
        (meta, {"ElementType": "MET_USHORT"}, b"", b"", False),
        (nrrd, {}, b"", b"more", False),
        (nrrd, {"byte skip": "-1"}, b"some", b"", True),
        (nrrd, {"byteskip": "4"}, b"some", b"", True),
        (nrrd, {"byte skip": "2"}, b"some", b"", False),
        (nrrd, {"line skip": "1"}, b"a line\n", b"", True),
        (nrrd, {"lineskip": "2", "byte skip": "4"}, b"a line\n\nsome", b"", True),
        (nrrd, {"line skip": "1"}, b"two\nlines\n", b"", False),
        (nrrd, {"sizes": "3 2 1"}, b"", b"", False),
    ],
)
def test_a_file_holds_the_bytes_that_its_header_says(write, changes, before, behind, fits, tmp_path):
    path = write(tmp_path, changes, before + VOXELS + behind)
    if fits:
        assert_read(path)
    else:
        with pytest.raises(
            DataError, match="a.(mha|nrrd): .*(voxels are .* where they should be|there is room for|puts its voxels into its header)"
        ):
            read_image(path)


@pytest.mark.parametrize("skip, fits", [("-1", True), ("5", True), (None, False), ("3", False)])
def test_bytes_before_the_voxels_of_another_file(skip, fits, tmp_path):
    (tmp_path / "s.raw").write_bytes(b"other" + VOXELS)
    path = meta(tmp_path, {"HeaderSize": skip}, b"", "s.raw", "a.mhd")
    if fits:
        assert_read(path)
    else:
        with pytest.raises(
            DataError, match="s.raw holds 1[47] where they should be. Correct ElementType and sizes in the header, or write Head"
        ):
            read_header(path)


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"space directions": "(2,0,0) (0,3,0) none"}, "give axis 3 no direction"),
        ({"space directions": "none (0,3,0) (0,0,4)"}, "give axis 1 no direction"),
        ({"space directions": "(2,0,0) (nan,nan,nan) (0,0,4)"}, "give axis 2 no direction"),
        ({"space directions": "none none none"}, "give axis 1 no direction"),
        ({"space origin": "(nan,nan,nan)"}, "space origin is '.nan,nan,nan.'"),
        ({"space origin": "none"}, "space origin is 'none'"),
        ({**PLANES, "axis mins": "0 0 0", "axis maxs": "3 4 4"}, "axis mins and axis maxs are all it says"),
        ({**PLANES, "axismaxs": "3 4 4"}, "axis mins and axis maxs are all it says"),
        ({**PLANES, "spacings": "1,0 1,0 1,5"}, "spacings are '1,0 1,0 1,5', which must be 3 numbers"),
        ({**PLANES, "spacings": "1 2"}, "spacings are '1 2', which must be 3 numbers"),
        ({**PLANES, **FOUR, "spacings": "nan 2 3 4"}, "don't say what axis 1 is. Add the field kinds: list domain domain domain"),
        ({**PLANES, **FOUR, "spacings": "2 nan 3 4"}, "don't say what axis 2 is"),
        ({**PLANES, **FOUR, "spacings": "nan 2 3 4", "kinds": "??? space space space"}, "don't say what axis 1 is"),
        ({**PLANES, **FOUR, "spacings": "1 2 3 4", "kinds": "time space space space"}, "don't say what axis 1 is"),
        ({**FOUR, "space directions": "none (2,0,0) (0,3,0) (0,0,4)"}, "don't say what axis 1 is"),
        ({**FOUR, "space directions": "(2,0,0) (0,3,0) (0,0,4) none"}, "Add the field kinds: domain domain domain list"),
        ({"encoding": "bzip2"}, "stored as bzip2, which ITK doesn't read. Save it with the encoding gzip or raw"),
        ({"encoding": "zrl"}, "stored as zrl, which ITK doesn't read"),
    ],
)
def test_what_itk_reads_past_in_nrrd_is_refused(changes, words, tmp_path):
    with pytest.raises(DataError, match=f"a.nrrd: .*{words}"):
        read_header(nrrd(tmp_path, changes, bz2.compress(VOXELS) if changes.get("encoding") == "bzip2" else VOXELS))


@pytest.mark.parametrize(
    "changes, shape, channels",
    [
        ({**FOUR, **PLANES, "spacings": "nan 2 3 4", "kinds": "list space space space"}, (3, 2, 2), 1),
        ({**PLANES, "dimension": "4", "sizes": "3 2 2 1", "spacings": "2 3 4 nan"}, (3, 2, 2), 1),
        ({**FOUR, "space directions": "none (2,0,0) (0,3,0) (0,0,4)", "kinds": "vector domain domain domain"}, (3, 2, 2), 1),
        ({**PLANES, "spacings": "2 3 4", "axis mins": "0 0 0", "axis maxs": "6 6 8"}, (3, 2, 2), 1),
    ],
)
def test_axes_of_nrrd_that_are_told_are_read(changes, shape, channels, tmp_path):
    header = read_header(nrrd(tmp_path, changes))
    assert (header.shape, header.channels, header.spacing) == (shape, channels, (2, 3, 4))
    assert {doubt.kind for doubt in header.doubts} <= {NO_ORIENTATION}


@pytest.mark.parametrize("kind", ["vector", "3-vector", "3vector", "covariant-vector", "3-gradient", "3-normal", "3D-matrix", "point"])
def test_directed_kinds_in_a_frame_of_their_own_are_refused(kind, tmp_path):
    size = 9 if "matrix" in kind else 3
    changes = {
        "dimension": "4",
        "sizes": f"{size} 2 1 1",
        "space directions": "none (2,0,0) (0,3,0) (0,0,4)",
        "kinds": f"{kind} space space space",
    }
    path = nrrd(tmp_path, {**changes, "measurement frame": "(0,1,0) (1,0,0) (0,0,1)"}, bytes(2 * size))
    with pytest.raises(DataError, match="a.nrrd: its vectors have a frame of their own|Unknown PixelType|can't be read as one"):
        read_header(path)


@pytest.mark.parametrize("write, field", [(meta, "HeaderSize"), (nrrd, "byte skip"), (nrrd, "line skip")])
@pytest.mark.parametrize("value", ["", "x", "1.5", "nan", "1 2"])
def test_bytes_to_skip_are_a_whole_number(write, field, value, tmp_path):
    with pytest.raises(DataError, match=f"its {field} is '{value}', which must be a whole number"):
        read_header(write(tmp_path, {field: value}))


def test_names_that_no_file_can_have_are_told(tmp_path):
    path = meta(tmp_path, {}, b"", "a" * 10_000 + "\0", "a.mhd")
    assert voxel_files(path) == []
    with pytest.raises(DataError, match="are missing: a{80}[.] Copy"):
        read_header(path)


@pytest.mark.parametrize("unit", ["\N{MICRO SIGN}m", "um"])
@pytest.mark.parametrize("coding", ["utf-8", "latin-1"])
def test_units_are_read_in_either_coding(unit, coding, tmp_path):
    for path in (meta(tmp_path, {"DistanceUnits": unit}), nrrd(tmp_path, {"space units": f'"{unit}" "{unit}" "{unit}"'})):
        path.write_bytes(path.read_bytes().replace(unit.encode(), unit.encode(coding)))
        np.testing.assert_allclose(read_header(path).spacing, [0.002, 0.003, 0.004])


def test_a_note_of_nrrd_is_no_field(tmp_path):
    path = nrrd(tmp_path, {"space units": '"um"'})
    path.write_bytes(path.read_bytes().replace(b"space units: ", b"space units:="))
    assert read_header(path).spacing == (2, 3, 4)


@settings(max_examples=60, deadline=None)
@given(
    field=st.sampled_from(["ElementSpacing", "Offset", "TransformMatrix", "DimSize", "HeaderSize", "NDims", "ElementDataFile"]),
    value=st.lists(
        st.sampled_from(["0", "1", "-1", "2", "3", "nan", "inf", "1e400", "x", "%d", "%03d", "LIST", "9" * 30, "1.5"]), max_size=10
    ),
)
def test_whatever_stands_in_a_field_is_read_as_itk_does_or_refused(field, value, tmp_path_factory):
    folder = tmp_path_factory.mktemp("a")
    text = " ".join(value)
    path = meta(folder, {field: text} if field != "ElementDataFile" else {}, data=text if field == "ElementDataFile" else "LOCAL")
    voxel_files(path)
    try:
        volume = read_image(path)
    except DataError as error:
        assert str(error).startswith(f"{path}: ")
        return
    image = sitk.ReadImage(str(path))
    np.testing.assert_allclose(
        volume.geometry.affine, make_affine(np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing(), np.array(image.GetOrigin()))
    )
    assert volume.array.sum() == sitk.GetArrayFromImage(image).sum()
    numbers = {"ElementSpacing": image.GetSpacing(), "Offset": image.GetOrigin(), "DimSize": image.GetSize()}
    if field in numbers:
        assert numbers[field] == tuple(float(word) for word in value)


def compressed(folder, kind, stream):
    """A file of a kind with compressed voxels."""
    if kind == "nrrd":
        return nrrd(folder, {"encoding": "gzip"}, stream)
    size = {"CompressedData": "True", "CompressedDataSize": str(len(stream))}
    if kind == "mha":
        return meta(folder, size, stream)
    (folder / "a.zraw").write_bytes(stream)
    return meta(folder, {**size, "CompressedDataSize": None} if kind == "mhd without size" else size, b"", "a.zraw", "a.mhd")


@pytest.mark.parametrize("kind", ["nrrd", "mha", "mhd", "mhd without size"])
def test_compressed_voxels_are_whole(tmp_path, kind):
    """A bit that is another anywhere in the stream, or another number of bytes, is never read as other voxels."""
    pack = gzip.compress if kind == "nrrd" else zlib.compress
    stream = pack(VOXELS)
    assert sorted(read_image(compressed(tmp_path, kind, stream)).array.ravel()) == [*VOXELS]
    streams = [pack(bytes(range(size))) for size in (11, 13, 24)] + [stream[:-3], stream[: len(stream) // 2], bytes(len(stream))]
    for at, bit in itertools.product(range(len(stream)), range(8)):
        streams.append(bytes(byte ^ (at == place) << bit for place, byte in enumerate(stream)))
    for damaged in streams:
        path = compressed(tmp_path, kind, damaged)
        try:
            found = sorted(read_image(path).array.ravel())
        except DataError as error:
            assert "the voxels can't be read" in str(error)
        else:  # a bit of gzip's header, such as the time, or of those that fill up the last byte
            assert found == [*VOXELS]


@pytest.mark.parametrize("size", [None, "0"])
def test_compressed_voxels_behind_their_header_have_a_size(tmp_path, size):
    path = meta(tmp_path, {"CompressedData": "True", "CompressedDataSize": size}, zlib.compress(VOXELS))
    with pytest.raises(DataError, match="without CompressedDataSize ITK can't read them"):
        _ = read_image(path).array


def test_several_members_of_gzip_are_one_stream(tmp_path):
    path = nrrd(tmp_path, {"encoding": "gzip"}, gzip.compress(VOXELS[:5]) + gzip.compress(VOXELS[5:]))
    assert sorted(read_image(path).array.ravel()) == [*VOXELS]


def test_numbers_may_be_spelt_twice_and_colons_separate(tmp_path):
    path = meta(tmp_path, {})
    text = path.read_bytes().replace(b"ElementSpacing = 2 3 4\n", b"ElementSpacing = 2 3 4\nElementSpacing : 2.0 3.00 4\n")
    path.write_bytes(text)
    assert read_header(path).doubts == ()
    path.write_bytes(text.replace(b" = ", b": "))
    assert read_header(path).doubts == () and sorted(read_image(path).array.ravel()) == [*VOXELS]
