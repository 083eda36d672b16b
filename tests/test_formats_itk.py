"""NRRD and MetaImage files against SimpleITK and against NIfTI twins."""

import builtins
import itertools

import nibabel as nib
import numpy as np
import pytest

from scnas_keras.errors import ConfigError, DataError
from scnas_keras.formats.volumes import read_header, read_image, read_label, write_label

sitk = pytest.importorskip("SimpleITK", reason="needs SimpleITK: pip install 'scnas_keras[dicom]'")

SPACING, ORIGIN = (0.5, 1.25, 3.0), (-12.5, 30.0, 7.25)
ENDINGS = (".nrrd", ".mha", ".mhd")
# The columns say where the file's axes point, in ITK's left, posterior, superior.
DIRECTIONS = [
    np.eye(3)[:, list(order)] * signs for order in itertools.permutations(range(3)) for signs in [(1, 1, 1), (-1, -1, 1), (1, -1, -1)]
]


def turned(degrees):
    """A rotation about each axis in turn: an oblique direction."""
    matrix = np.eye(3)
    for axis, angle in enumerate(np.radians(degrees)):
        first, second = [other for other in range(3) if other != axis]
        turn = np.eye(3)
        turn[np.ix_([first, second], [first, second])] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        matrix = matrix @ turn
    return matrix


def itk_image(array, direction, spacing=SPACING):
    """`array` is [i, j, k] or [i, j, k, components]."""
    order = (2, 1, 0, 3)[: array.ndim]
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.transpose(order)), isVector=array.ndim == 4)
    image.SetSpacing(spacing)
    image.SetOrigin(ORIGIN)
    image.SetDirection(np.asarray(direction, float).ravel().tolist())
    return image


def random_label(shape=(3, 4, 5)):
    return np.random.default_rng(0).integers(0, 4, shape).astype(np.uint8)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("direction", [*DIRECTIONS, turned((10, -20, 5)), turned((3, 4, 100)) @ DIRECTIONS[4]])
def test_a_file_equals_its_nifti_twin(direction, ending, tmp_path):
    image = itk_image(random_label(), direction)
    sitk.WriteImage(image, str(tmp_path / f"a{ending}"))
    sitk.WriteImage(image, str(tmp_path / "a.nii.gz"))
    volume, twin = read_image(tmp_path / f"a{ending}"), read_image(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(volume.array, twin.array)
    np.testing.assert_allclose(volume.geometry.affine, twin.geometry.affine, atol=1e-5)  # NIfTI stores float32
    np.testing.assert_allclose(volume.spacing, twin.spacing, rtol=1e-6)
    header = read_header(tmp_path / f"a{ending}")
    assert header.shape == (3, 4, 5) and header.channels == 1 and header.spacing == volume.spacing


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("direction", [DIRECTIONS[0], DIRECTIONS[7], turned((10, -20, 5))])
def test_a_label_is_written_where_it_was_read(direction, ending, tmp_path):
    image = itk_image(random_label(), direction)
    sitk.WriteImage(image, str(tmp_path / f"in{ending}"))
    label, geometry = read_label(tmp_path / f"in{ending}")
    write_label(tmp_path / "new" / f"out{ending}", label, geometry)
    written = sitk.ReadImage(str(tmp_path / "new" / f"out{ending}"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(written), sitk.GetArrayFromImage(image))
    for attribute in ("GetSpacing", "GetOrigin", "GetDirection"):
        np.testing.assert_allclose(getattr(written, attribute)(), getattr(image, attribute)(), rtol=1e-12, atol=1e-12)
    left = {"out.mhd", "out.zraw"} if ending == ".mhd" else {f"out{ending}"}
    assert {path.name for path in (tmp_path / "new").iterdir()} == left


@pytest.mark.parametrize("source, target", itertools.permutations((".nii.gz", ".nrrd", ".mha"), 2))
def test_a_label_may_be_written_in_another_format(source, target, tmp_path):
    image = itk_image(random_label(), turned((10, -20, 5)))
    sitk.WriteImage(image, str(tmp_path / f"in{source}"))
    label, geometry = read_label(tmp_path / f"in{source}")
    write_label(tmp_path / f"out{target}", label, geometry)
    written = sitk.ReadImage(str(tmp_path / f"out{target}"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(written), sitk.GetArrayFromImage(image))
    for attribute in ("GetSpacing", "GetOrigin", "GetDirection"):
        np.testing.assert_allclose(getattr(written, attribute)(), getattr(image, attribute)(), atol=1e-5)
    if target == ".nii.gz":
        header = nib.load(tmp_path / "out.nii.gz").header
        assert header.get_xyzt_units()[0] == "mm" and header["sform_code"] > 0 and header["qform_code"] > 0
        np.testing.assert_allclose(header.get_qform(), header.get_sform(), atol=1e-4)


def test_millimetres_of_a_file_written_by_hand(tmp_path):
    """Axis i runs to the left and j to the front, in the words of the NRRD standard; so canonical x counts back from i's end."""
    (tmp_path / "a.nrrd").write_text(
        "NRRD0004\ntype: unsigned char\ndimension: 3\nspace: left-posterior-superior\nsizes: 3 2 1\n"
        "space directions: (2,0,0) (0,-3,0) (0,0,4)\nspace origin: (10,20,30)\nencoding: ascii\n\n1 2 3 4 5 6\n"
    )
    (tmp_path / "b.mha").write_bytes(
        b"ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\nTransformMatrix = 1 0 0 0 -1 0 0 0 1\n"
        b"Offset = 10 20 30\nElementSpacing = 2 3 4\nDimSize = 3 2 1\nElementType = MET_UCHAR\nElementDataFile = LOCAL\n"
        b"\x01\x02\x03\x04\x05\x06"
    )
    for name in ("a.nrrd", "b.mha"):
        volume = read_image(tmp_path / name)
        np.testing.assert_allclose(volume.geometry.affine, [[-2, 0, 0, -10], [0, 3, 0, -20], [0, 0, 4, 30], [0, 0, 0, 1]])
        np.testing.assert_array_equal(volume.array[:, :, 0, 0], [[3, 6], [2, 5], [1, 4]])


@pytest.mark.parametrize("space, affine", [("right-anterior-superior", [1, 1, 1]), ("left-anterior-superior", [-1, 1, 1])])
def test_other_spaces_of_nrrd_are_understood(space, affine, tmp_path):
    (tmp_path / "a.nrrd").write_text(
        f"NRRD0004\ntype: short\ndimension: 3\nspace: {space}\nsizes: 1 2 2\n"
        "space directions: (1,0,0) (0,1,0) (0,0,1)\nspace origin: (5,6,7)\nencoding: "
        "ascii\n\n1 2 3 -4\n"
    )
    expected = np.diag([*affine, 1]) @ [[1, 0, 0, 5], [0, 1, 0, 6], [0, 0, 1, 7], [0, 0, 0, 1]]
    np.testing.assert_allclose(read_header(tmp_path / "a.nrrd").affine, expected)
    np.testing.assert_array_equal(read_image(tmp_path / "a.nrrd").array[0, :, :, 0], [[1, 3], [2, -4]])


def test_several_numbers_a_voxel_and_a_fourth_axis_are_channels(tmp_path):
    array = np.random.default_rng(0).normal(size=(3, 4, 5, 2)).astype(np.float32)
    sitk.WriteImage(itk_image(array, turned((10, -20, 5))), str(tmp_path / "vector.nrrd"))
    volume = read_image(tmp_path / "vector.nrrd")
    assert read_header(tmp_path / "vector.nrrd").channels == 2
    np.testing.assert_array_equal(volume.array, array[::-1, ::-1])
    image = sitk.GetImageFromArray(array.transpose(3, 2, 1, 0), isVector=False)
    sitk.WriteImage(image, str(tmp_path / "axes.mha"))
    np.testing.assert_array_equal(read_image(tmp_path / "axes.mha").array, array[::-1, ::-1])
    with pytest.raises(DataError, match="vector.nrrd.*2 channels"):
        read_label(tmp_path / "vector.nrrd")


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64])
def test_values_of_every_type_are_kept(kind, tmp_path):
    low, high = (-1000.5, 3000.25) if np.dtype(kind).kind == "f" else (max(np.iinfo(kind).min, -1024), min(np.iinfo(kind).max, 60000))
    array = np.linspace(low, high, 24).astype(kind).reshape(2, 3, 4)
    sitk.WriteImage(itk_image(array, np.diag([-1, -1, 1])), str(tmp_path / "a.nrrd"))
    np.testing.assert_array_equal(read_image(tmp_path / "a.nrrd").array[..., 0], array.astype(np.float32))


def flat(path):
    sitk.WriteImage(sitk.Image([4, 4], sitk.sitkUInt8), str(path))


def complex_numbers(path):
    sitk.WriteImage(sitk.Image([4, 4, 4], sitk.sitkComplexFloat32), str(path))


def cut_off(path):
    sitk.WriteImage(itk_image(random_label((8, 8, 8)), np.eye(3)), str(path))
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
@pytest.mark.parametrize(
    "make, words",
    [
        (lambda path: path.write_text("not an image"), "can't be read as one.*again"),
        (lambda path: path.write_bytes(b""), "but it is empty"),
        (cut_off, "voxels can't be read.*again"),
        (flat, "expected a 3D volume.*picture"),
    ],
)
def test_unusable_files_are_named(make, words, ending, tmp_path):
    path = tmp_path / f"scan{ending}"
    make(path)
    with pytest.raises(DataError, match=f"scan{ending}.*{words}"):
        read_image(path)


def test_complex_numbers_are_refused(tmp_path):
    complex_numbers(tmp_path / "a.nrrd")
    with pytest.raises(DataError, match="a.nrrd: expected plain numbers"):
        read_header(tmp_path / "a.nrrd")


def test_a_header_without_its_voxels_is_named(tmp_path):
    sitk.WriteImage(itk_image(random_label(), np.eye(3)), str(tmp_path / "a.mhd"))
    (tmp_path / "a.raw").unlink()
    with pytest.raises(DataError, match="a.mhd.*are missing: a.raw. Copy"):
        read_image(tmp_path / "a.mhd")


def test_fractional_labels_are_refused(tmp_path):
    sitk.WriteImage(itk_image(np.full((2, 2, 2), 0.5, np.float32), np.eye(3)), str(tmp_path / "a.nrrd"))
    with pytest.raises(DataError, match="8 voxels.*0.5"):
        read_label(tmp_path / "a.nrrd")


def test_without_simpleitk_the_error_says_how_to_get_it(tmp_path, monkeypatch):
    (tmp_path / "a.nrrd").write_text("NRRD0004")
    original = builtins.__import__

    def missing(name, *args, **kwargs):
        if name == "SimpleITK":
            raise ImportError(name)
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ConfigError, match=r"a\.nrrd.*pip install '\.\[dicom\]'"):
        read_image(tmp_path / "a.nrrd")
