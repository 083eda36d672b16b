"""What headers say of unit, place and scale is honoured, told or refused, format by format."""

import gzip
import re

import nibabel as nib
import numpy as np
import pytest
from small_task import write_task

from scnas_keras.errors import ConfigError, DataError
from scnas_keras.formats.geometry import NO_ORIENTATION, NO_SPACING, OTHER_UNIT, TWO_PLACES, make_affine
from scnas_keras.formats.volumes import read_header, read_image, write_label
from scnas_keras.tasks.loading import load_task
from scnas_keras.verify.dataset import verify_dataset
from scnas_keras.verify.fix_header import fix_headers

PLACED = "space: left-posterior-superior\nspace directions: (2,0,0) (0,3,0) (0,0,4)\nspace origin: (10,20,30)\n"
MATRIX = "TransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 10 20 30\n"
AFFINE = np.array([[-2, 0, 0, -10], [0, -3, 0, -20], [0, 0, 4, 30], [0, 0, 0, 1]])


def nrrd(folder, fields):
    text = f"NRRD0005\ntype: unsigned char\ndimension: 3\nsizes: 3 2 2\n{fields}encoding: ascii\n\n{' '.join(map(str, range(12)))}\n"
    (folder / "a.nrrd").write_text(text)
    return folder / "a.nrrd"


def meta(folder, fields):
    text = (
        f"ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\n{fields}"
        "DimSize = 3 2 2\nElementType = MET_UCHAR\nElementDataFile = LOCAL\n"
    )
    (folder / "a.mha").write_bytes(text.encode() + bytes(range(12)))
    return folder / "a.mha"


@pytest.fixture(autouse=True)
def _itk():
    pytest.importorskip("SimpleITK")


@pytest.mark.parametrize(
    "write, fields, factor",
    [
        (nrrd, PLACED, 1),
        (nrrd, PLACED + 'space units: "mm" "mm" "mm"\n', 1),
        (nrrd, PLACED + 'space units: "" "" ""\n', 1),
        (nrrd, PLACED + 'space units: "um" "microns" "micrometer"\n', 1e-3),
        (nrrd, PLACED + 'space units: "m" "m" "m"\n', 1e3),
        (nrrd, PLACED + 'space units: "cm" "cm" "cm"\n', 10),
        (meta, MATRIX + "ElementSpacing = 2 3 4\n", 1),
        (meta, MATRIX + "ElementSize = 2 3 4\n", 1),
        (meta, MATRIX + "ElementSpacing = 2 3 4\nElementSize = 9 9 9\n", 1),
        (meta, MATRIX + "ElementSpacing = 2 3 4\nDistanceUnits = um\n", 1e-3),
        (meta, MATRIX + "ElementSpacing = 2 3 4\nDistanceUnits = cm\n", 10),
        (meta, MATRIX + "ElementSpacing = 2 3 4\nDistanceUnits = ?\n", 1),
    ],
)
def test_lengths_are_millimetres(write, fields, factor, tmp_path):
    volume = read_image(write(tmp_path, fields))
    np.testing.assert_allclose(volume.geometry.affine, np.diag([factor] * 3 + [1]) @ AFFINE)
    assert [doubt.kind for doubt in volume.geometry.doubts] == ([] if factor == 1 else [OTHER_UNIT])  # ITK's programs don't convert
    np.testing.assert_array_equal(volume.array[..., 0], np.arange(12).reshape(2, 2, 3).T[::-1, ::-1])


@pytest.mark.parametrize(
    "write, fields, words",
    [
        (nrrd, PLACED + 'space units: "furlong" "mm" "mm"\n', "units of length are furlong, mm"),
        (nrrd, PLACED + 'space units: "um" "mm" "mm"\n', "units of length are mm, um"),
        (nrrd, PLACED + "old min: 0\nold max: 100\n", "old min, old max"),
        (nrrd, PLACED.replace("(0,3,0)", "(0,nan,0)"), "give axis 2 no direction"),
        (nrrd, "spacings: 2 -3 4\n", "has a spacing of .2.0, -3.0, 4.0."),
        (meta, MATRIX + "ElementSpacing = 2 -3 4\n", "has a spacing of .2.0, -3.0, 4.0."),
        (meta, MATRIX + "ElementSpacing = 2 0 4\n", "has a spacing of .2.0, 0.0, 4.0."),
        (meta, MATRIX.replace("1 0 0 0 1", "2 0 0 0 1") + "ElementSpacing = 2 3 4\n", r"TransformMatrix have lengths \[2.0, 1.0, 1.0\]"),
        (meta, MATRIX + "ElementSpacing = 2 3 4\nDistanceUnits = yd\n", "units of length are yd"),
        (meta, MATRIX + "ElementSpacing = 2 3 4\nElementToIntensityFunctionSlope = 0\n", "its scale .* is 0, 0"),
    ],
)
def test_what_cannot_be_honoured_is_refused(write, fields, words, tmp_path):
    with pytest.raises(DataError, match=f"a.(nrrd|mha): .*({words})"):
        read_image(write(tmp_path, fields))


@pytest.mark.parametrize(
    "write, fields, kinds, words",
    [
        (nrrd, "spacings: 2 3 4\n", [NO_ORIENTATION], "no anatomical space"),
        (nrrd, PLACED.replace("left-posterior-superior", "scanner-xyz"), [NO_ORIENTATION], "no anatomical space"),
        (nrrd, PLACED.replace("space: left-posterior-superior", "space dimension: 3"), [NO_ORIENTATION], "no anatomical space"),
        (nrrd, "", [NO_ORIENTATION, NO_SPACING], "1 mm was assumed"),
        (meta, MATRIX, [NO_SPACING], "no ElementSpacing; 1 mm was assumed"),
        (meta, "ElementSpacing = 2 3 4\n", [NO_ORIENTATION], "no TransformMatrix"),
        (meta, MATRIX + "ElementSpacing = 2 3 4\nAnatomicalOrientation = RAI\n", [], ""),  # as ITK writes it
        (meta, MATRIX + "ElementSpacing = 2 3 4\nAnatomicalOrientation = LPS\n", [], ""),  # as MetaIO's documentation means it
        (meta, MATRIX + "ElementSpacing = 2 3 4\nAnatomicalOrientation = ???\n", [], ""),
        (
            meta,
            MATRIX + "ElementSpacing = 2 3 4\nAnatomicalOrientation = RPI\n",
            [TWO_PLACES],
            "Orientation RPI.*the matrix was used",
        ),
        (meta, MATRIX + "ElementSpacing = 2 3 4\nPosition = 1 2 3\n", [TWO_PLACES], "different Offset and Position; Offset was used"),
    ],
)
def test_what_is_left_open_or_said_twice_is_told(write, fields, kinds, words, tmp_path):
    doubts = read_header(write(tmp_path, fields)).doubts
    assert [doubt.kind for doubt in doubts] == kinds
    assert re.search(words, " ".join(doubt.text for doubt in doubts))


def test_the_scale_of_a_metaimage_is_applied(tmp_path):
    fields = MATRIX + "ElementSpacing = 2 3 4\nElementToIntensityFunctionSlope = 2\nElementToIntensityFunctionOffset = -5\n"
    np.testing.assert_array_equal(np.sort(read_image(meta(tmp_path, fields)).array.ravel()), np.arange(12) * 2 - 5)


def test_vectors_in_a_frame_of_their_own_are_no_channels(tmp_path):
    head = "NRRD0005\ntype: unsigned char\ndimension: 4\nsizes: 3 2 2 1\nspace: left-posterior-superior\n"
    rest = "space directions: none (2,0,0) (0,3,0) (0,0,4)\nkinds: 3-vector domain domain domain\nencoding: ascii\n"
    for frame, fits in (("(1,0,0) (0,1,0) (0,0,1)", True), ("(0,1,0) (1,0,0) (0,0,1)", False)):
        (tmp_path / "a.nrrd").write_text(f"{head}{rest}measurement frame: {frame}\n\n{' '.join(map(str, range(12)))}\n")
        if fits:
            assert read_header(tmp_path / "a.nrrd").channels == 3
        else:
            with pytest.raises(DataError, match="measurement frame"):
                read_header(tmp_path / "a.nrrd")


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize(
    "place, kind, value, words",
    [
        (108, np.float32, 0, "vox_offset 0 puts its voxels into its header"),
        (108, np.float32, 348, "vox_offset 348|vox offset 348"),
        (112, np.float32, np.inf, "scl_slope is inf"),
        (254, np.int16, 514, "sform_code is 514"),
        (252, np.int16, -1, "qform_code -1"),
        (42, np.int16, 30000, "there is room for"),
    ],
)
def test_nifti_headers_that_would_be_read_wrongly_are_refused(place, kind, value, words, name, tmp_path):
    content = bytearray(nib.Nifti1Image(np.ones((3, 4, 5), np.float32), np.eye(4)).to_bytes())
    size = np.dtype(kind).itemsize
    content[place : place + size] = kind(value).tobytes()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    with pytest.raises(DataError, match=f"{name}: .*({words})"):
        read_header(tmp_path / name)


def test_negative_sizes_are_refused_where_they_count(tmp_path):
    image = nib.Nifti1Image(np.ones((3, 4, 5), np.uint8), np.eye(4))
    for code in (0, 1):
        image.set_sform(np.eye(4), code=code)
        content = bytearray(image.to_bytes())
        content[80:84] = np.float32(-2).tobytes()
        (tmp_path / "a.nii").write_bytes(content)
        if code:
            assert read_header(tmp_path / "a.nii").spacing == (1, 1, 1)
        else:
            with pytest.raises(DataError, match=r"sizes of voxels are \[-2.0"):
                read_header(tmp_path / "a.nii")


def nifti(path, qform_code, **fields):
    """A scan with an sform and fields that nibabel wouldn't write."""
    image = nib.Nifti1Image(np.ones((3, 4, 5), np.uint8), np.diag([1, 1, 1.5, 1]))
    image.set_qform(image.affine, code=qform_code)
    image.header.set_xyzt_units("mm")
    content = bytearray(image.to_bytes())
    for name, value in fields.items():
        kind, place = image.header.template_dtype.fields[name.rstrip("123")]
        place += 4 * int(name[-1]) if name[-1].isdigit() else 0
        content[place : place + 4] = np.float32(value).tobytes()
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("value", [5, np.nan, np.inf, -np.inf, -1e30])
@pytest.mark.parametrize("field", ["quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z", "pixdim1", "pixdim3"])
def test_a_qform_without_a_volume_leaves_the_sform(field, value, tmp_path):
    path = nifti(tmp_path / "a.nii", 1, **{field: value})
    volume = read_image(path)
    np.testing.assert_array_equal(volume.geometry.affine, np.diag([1, 1, 1.5, 1]))
    assert TWO_PLACES in [doubt.kind for doubt in volume.geometry.doubts] and "the sform was used" in volume.geometry.doubts[0].text
    write_label(tmp_path / "b.nii", np.ones((3, 4, 5), np.uint8), volume.geometry)
    np.testing.assert_array_equal(read_header(tmp_path / "b.nii").affine, volume.geometry.affine)


def test_a_qform_without_a_volume_is_a_warning_of_verify(tmp_path):
    write_task(tmp_path)
    task = load_task(tmp_path)
    for case in task.cases[:2]:
        content = bytearray(gzip.decompress(case.images[0].read_bytes()))
        content[252:254], content[256:260] = np.int16(1).tobytes(), np.float32(5).tobytes()
        case.images[0].write_bytes(gzip.compress(content))
    found = verify_dataset(tmp_path, processes=1, progress=False).findings
    assert sum(finding.key == "two_places" for finding in found) == 2
    assert "unreadable" not in {finding.key for finding in found}


@pytest.mark.parametrize(
    "fields, words",
    [
        ({"pixdim1": 3}, "8 voxels|4 voxels"),
        ({"pixdim3": 1}, "1.33 voxels"),
        ({"pixdim2": np.nan}, "no volume"),
        ({"pixdim2": np.inf}, "no volume"),
        ({"pixdim1": 1.0001, "pixdim3": 1.501}, None),  # rounded
    ],
)
def test_sizes_that_contradict_the_sform_are_told(fields, words, tmp_path):
    header = read_header(nifti(tmp_path / "a.nii", 0, **fields))
    assert header.spacing == (1, 1, 1.5)
    assert [doubt.kind for doubt in header.doubts] == [TWO_PLACES] * (words is not None)
    assert all(re.search(f"sizes of voxels .pixdim.*({words}).*the sform was used", doubt.text) for doubt in header.doubts)
    if words and "voxels" in words:  # where ITK puts them
        place = sitk_affine(tmp_path / "a.nii")
        np.testing.assert_allclose(header.doubts[0].other, place, atol=1e-6)


def sitk_affine(path):
    import SimpleITK as sitk

    image = sitk.ReadImage(str(path))
    return make_affine(np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing(), np.array(image.GetOrigin()))


def test_sizes_below_one_are_no_sizes(tmp_path):
    content = bytearray(nifti(tmp_path / "a.nii", 0).read_bytes())
    content[42:44] = np.int16(-3).tobytes()
    (tmp_path / "a.nii").write_bytes(content)
    with pytest.raises(DataError, match=r"a.nii: .*found shape \(-3, 4, 5\). Its header is damaged"):
        read_header(tmp_path / "a.nii")


def test_files_of_other_kinds_are_called_what_they_are(tmp_path):
    for name in ("a.nii.gz", "a.nrrd", "a.mha", "a.png"):
        (tmp_path / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1234567\n")
        with pytest.raises(DataError, match=f"{name}: .*a pointer of Git LFS .*git lfs pull"):
            read_header(tmp_path / name)
        (tmp_path / name).write_text("<!DOCTYPE html><html>403 Forbidden</html>" * 20)
        with pytest.raises(DataError, match=f"{name}: .*a web page"):
            read_header(tmp_path / name)


def test_what_an_upload_leaves_behind_a_whole_file_is_no_damage(tmp_path):
    array = np.arange(60, dtype=np.float32).reshape(3, 4, 5)
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(nib.Nifti1Image(array, np.eye(4)).to_bytes()) + b"end of upload")
    np.testing.assert_array_equal(read_image(tmp_path / "a.nii.gz").array[..., 0], array)


def test_a_label_on_the_other_form_of_its_image_is_not_to_be_resampled(tmp_path):
    """ITK's programs read the qform and write it to their labels, nibabel's the sform."""
    write_task(tmp_path)
    task = load_task(tmp_path)
    for case in task.cases:
        image, label = (nib.load(path) for path in (case.images[0], case.label))
        other = image.affine @ np.diag([-1, 1, 1, 1])
        image.set_qform(other, code=1)
        nib.save(nib.Nifti1Image(np.asarray(image.dataobj), image.affine, image.header), case.images[0])
        nib.save(nib.Nifti1Image(np.asarray(label.dataobj), other), case.label)
    found = verify_dataset(tmp_path, processes=1, progress=False).findings
    assert {finding.key for finding in found} & {"affines", "other_form", "two_places"} == {"other_form", "two_places"}
    with pytest.raises(ConfigError, match="nothing to fix"):
        fix_headers(tmp_path, tmp_path.parent / "fixed", processes=1)
