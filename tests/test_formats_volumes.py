import gzip
import itertools
import struct
import tracemalloc

import nibabel as nib
import numpy as np
import pytest
from small_task import save

from scnas_keras.errors import ConfigError, DataError
from scnas_keras.formats import stored
from scnas_keras.formats.endings import ENDINGS, ending_of, reader_of, strip_ending
from scnas_keras.formats.geometry import CANONICAL
from scnas_keras.formats.volumes import read_header, read_image, read_label, write_label

ORIENTATIONS = ["".join(codes) for axes in itertools.permutations(("LR", "PA", "IS")) for codes in itertools.product(*axes)]
SPACING = (0.5, 1.0, 2.0)


def stored_as(codes: str, array: np.ndarray) -> nib.Nifti1Image:
    transform = nib.orientations.ornt_transform(CANONICAL, nib.orientations.axcodes2ornt(codes))
    angle = np.radians(10)  # oblique, so that the orientation is the closest one only
    affine = np.diag([*SPACING, 1.0])
    affine[:2] = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) @ affine[:2]
    affine[:3, 3] = -12.5, 3.0, 40.0
    affine = affine @ nib.orientations.inv_ornt_aff(transform, array.shape)
    return nib.Nifti1Image(nib.apply_orientation(array, transform), affine)


def test_there_are_48_orientations():
    assert len(set(ORIENTATIONS)) == 48


@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_a_label_survives_reading_and_writing_in_every_orientation(tmp_path, codes):
    array = np.random.default_rng(0).integers(0, 4, (3, 4, 5)).astype(np.uint8)
    original = stored_as(codes, array)
    nib.save(original, tmp_path / "in.nii.gz")

    label, geometry = read_label(tmp_path / "in.nii.gz")
    volume = read_image(tmp_path / "in.nii.gz")
    write_label(tmp_path / "out.nii.gz", label, geometry)
    written = nib.load(tmp_path / "out.nii.gz")

    np.testing.assert_array_equal(label, array)
    np.testing.assert_array_equal(volume.array[..., 0], array)
    np.testing.assert_allclose(volume.spacing, SPACING, rtol=1e-6)
    np.testing.assert_allclose(read_header(tmp_path / "in.nii.gz").spacing, SPACING, rtol=1e-6)
    np.testing.assert_array_equal(written.dataobj, original.dataobj)
    np.testing.assert_array_equal(written.affine, nib.load(tmp_path / "in.nii.gz").affine)
    assert nib.aff2axcodes(written.affine) == tuple(codes)


def test_channels_are_the_fourth_axis(tmp_path):
    array = np.random.default_rng(0).normal(size=(3, 4, 5, 2)).astype(np.float32)
    save(tmp_path / "image.nii.gz", array)
    np.testing.assert_array_equal(read_image(tmp_path / "image.nii.gz").array, array)


@pytest.mark.parametrize("largest, dtype", [(255, np.uint8), (256, np.uint16)])
def test_labels_are_written_in_the_smallest_type(tmp_path, largest, dtype):
    save(tmp_path / "label.nii.gz", np.full((2, 2, 2), largest, np.int32))
    label, geometry = read_label(tmp_path / "label.nii.gz")
    write_label(tmp_path / "out.nii.gz", label, geometry)
    written = nib.load(tmp_path / "out.nii.gz")
    assert written.get_data_dtype() == dtype
    np.testing.assert_array_equal(written.dataobj, label)


def test_writing_leaves_no_other_file_and_equal_bytes(tmp_path):
    save(tmp_path / "in" / "label.nii.gz", np.ones((2, 3, 4), np.uint8))
    label, geometry = read_label(tmp_path / "in" / "label.nii.gz")
    for name in ("a.nii.gz", "b.nii.gz"):
        write_label(tmp_path / "out" / name, label, geometry)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.nii.gz", "b.nii.gz"]
    assert (tmp_path / "out" / "a.nii.gz").read_bytes() == (tmp_path / "out" / "b.nii.gz").read_bytes()


def test_writing_needs_the_right_shape_and_name(tmp_path):
    save(tmp_path / "label.nii.gz", np.ones((2, 3, 4), np.uint8))
    label, geometry = read_label(tmp_path / "label.nii.gz")
    with pytest.raises(ValueError, match=r"\(2, 3, 4\)"):
        write_label(tmp_path / "out.nii.gz", label[1:], geometry)
    with pytest.raises(ConfigError, match=".nii.gz"):
        write_label(tmp_path / "out.dcm", label, geometry)


def test_fractional_labels_are_refused_with_an_example(tmp_path):
    save(tmp_path / "label.nii.gz", np.full((2, 2, 2), 0.75, np.float32))
    with pytest.raises(DataError, match=r"label\.nii\.gz.*8 voxels.*0\.75.*nearest"):
        read_label(tmp_path / "label.nii.gz")


def test_a_label_with_channels_is_refused(tmp_path):
    save(tmp_path / "label.nii.gz", np.zeros((2, 2, 2, 3), np.uint8))
    with pytest.raises(DataError, match="three axes"):
        read_label(tmp_path / "label.nii.gz")


@pytest.mark.parametrize("damage", ["text", "empty", "truncated", "missing", "truncated gzip header"])
def test_unreadable_files_are_named(tmp_path, damage):
    path = tmp_path / "image.nii.gz"
    save(path, np.random.default_rng(0).normal(size=(20, 20, 20)))
    content = path.read_bytes()
    replacement = {"text": b"not an image", "empty": b"", "truncated": content[: len(content) // 2], "truncated gzip header": content[:5]}
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(replacement[damage])
    with pytest.raises(DataError, match=r"image\.nii\.gz.*(again|Check)"):
        read_image(path)


def test_a_compressed_file_with_one_wrong_bit_or_without_its_checksum_is_refused(tmp_path):
    save(tmp_path / "image.nii", np.random.default_rng(0).normal(size=(20, 20, 20)))
    content = gzip.compress((tmp_path / "image.nii").read_bytes(), 0)  # stored, so that any bit can be unpacked
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 1
    for damaged in (bytes(flipped), content[:-8]):
        (tmp_path / "image.nii.gz").write_bytes(damaged)
        with pytest.raises(DataError, match=r"image\.nii\.gz: the header is fine, but the voxels can't be read"):
            read_image(tmp_path / "image.nii.gz")


def test_a_wrong_ending_is_told_from_a_damaged_file(tmp_path):
    save(tmp_path / "a.nii", np.zeros((2, 3, 4)))
    (tmp_path / "b.nii.gz").write_bytes((tmp_path / "a.nii").read_bytes())
    (tmp_path / "c.nii").write_bytes(gzip.compress((tmp_path / "a.nii").read_bytes()))
    for name, words in (("b.nii.gz", r"not compressed.*end in .nii\.$"), ("c.nii", r"is compressed.*end in .nii.gz\.$")):
        with pytest.raises(DataError, match=words):
            read_header(tmp_path / name)


def test_a_folder_that_is_called_like_a_file_is_told(tmp_path):
    save(tmp_path / "a.nii.gz" / "a.nii.gz", np.zeros((2, 3, 4)))
    with pytest.raises(DataError, match="a folder that is called like a file"):
        read_header(tmp_path / "a.nii.gz")


def with_sizes(path, shape, sizes, sform):
    """A file whose header has these sizes of voxels, which nibabel would correct."""
    image = nib.Nifti1Image(np.ones(shape, np.uint8), np.diag([2, 2, 2, 1]))
    image.set_sform(np.diag([2, 2, 2, 1]), code=sform)
    content = bytearray(image.to_bytes())
    struct.pack_into("<3f", content, 80, *sizes)
    path.write_bytes(content)
    return read_header(path).spacing


def test_a_size_of_zero_is_kept_where_it_counts(tmp_path):
    path = tmp_path / "a.nii"
    assert with_sizes(path, (2, 3, 4), (0, 2, 2), sform=0) == (0, 2, 2)
    with pytest.raises(DataError, match="zero spacing"):
        read_image(path)
    assert with_sizes(path, (2, 3, 4), (0, 2, 2), sform=1) == (2, 2, 2)
    assert with_sizes(path, (2, 3, 1), (2, 2, 0), sform=0) == (2, 2, 1)  # a single slice, as 2D programs write it


def test_channels_may_be_the_fifth_axis_as_in_vector_images_of_itk(tmp_path):
    array = np.random.default_rng(0).normal(size=(4, 3, 2, 5)).astype(np.float32)
    image = nib.Nifti1Image(array[:, :, :, None], np.eye(4))
    image.header.set_intent("vector")
    nib.save(image, tmp_path / "a.nii.gz")
    volume = read_image(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(volume.array, array)
    write_label(tmp_path / "label.nii.gz", np.ones((4, 3, 2), np.uint8), volume.geometry)
    written = nib.load(tmp_path / "label.nii.gz")
    assert written.shape == (4, 3, 2) and written.header.get_intent()[0] == "none"


def test_an_affine_without_volume_is_refused(tmp_path):
    image = nib.Nifti1Image(np.zeros((2, 2, 2)), np.eye(4))
    image.header["srow_z"] = 0
    (tmp_path / "flat.nii").write_bytes(nib.Nifti1Image(image.dataobj, None, image.header).to_bytes())
    with pytest.raises(DataError, match="affine"):
        read_image(tmp_path / "flat.nii")


@pytest.mark.parametrize(
    "name, ending, stem",
    [
        ("a.nii.gz", ".nii.gz", "a"),
        ("A.NII.GZ", ".nii.gz", "A"),
        ("a.b.nii", ".nii", "a.b"),
        ("x.seg.nrrd", ".nrrd", "x.seg"),
        ("a.TIFF", ".tiff", "a"),
        ("a.gz", None, "a.gz"),
        ("a", None, "a"),
        ("nii", None, "nii"),
    ],
)
def test_endings(name, ending, stem):
    assert (ending_of(name), strip_ending(name)) == (ending, stem)


def test_dicom_is_known_by_its_mark_where_the_name_has_no_ending(tmp_path):
    (tmp_path / "IM0001").write_bytes(bytes(128) + b"DICM")
    (tmp_path / "notes").write_text("x")
    assert reader_of(tmp_path / "IM0001") == reader_of(tmp_path) == "dicom" and reader_of(tmp_path / "notes") is None


def test_an_unknown_ending_lists_the_known_ones(tmp_path):
    (tmp_path / "scan.xyz").write_text("x")
    with pytest.raises(DataError, match="scan.xyz.*" + ".*".join(ENDINGS)):
        read_image(tmp_path / "scan.xyz")


@pytest.mark.parametrize("name", ["A.NII.GZ", "A.Nii"])
def test_the_case_of_an_ending_does_not_matter(name, tmp_path):
    save(tmp_path / "a.nii.gz", np.arange(8, dtype=np.uint8).reshape(2, 2, 2))
    label, geometry = read_label(tmp_path / "a.nii.gz")
    write_label(tmp_path / name, label, geometry)
    np.testing.assert_array_equal(read_label(tmp_path / name)[0], label)


def write_scaled(path, stored, scale):
    """Writes numbers as they are, with a slope and an intercept in the header, which nibabel alone would choose itself."""
    header = nib.Nifti1Header(endianness=">" if stored.dtype.byteorder == ">" else "<")
    header.set_data_dtype(stored.dtype)
    content = bytearray(nib.Nifti1Image(stored, np.eye(4), header).to_bytes())
    offset = header.template_dtype.fields["scl_slope"][1]
    content[offset : offset + 8] = np.array(scale, header.endianness + "f4").tobytes()
    path.write_bytes(content)


@pytest.mark.parametrize("kind", [">i2", "<i2", ">u2", ">f4", "u1", ">f8", "<u4"])
@pytest.mark.parametrize("scale", [(1, 0), (0.5, -3)], ids=["plain", "scaled"])
def test_values_of_every_type_mean_what_the_header_says(kind, scale, tmp_path):
    stored = np.arange(70 * 3).astype(kind).reshape(70, 3, 1)  # more than one slab
    write_scaled(tmp_path / "a.nii", stored, scale)
    expected = np.arange(210).reshape(70, 3, 1) * scale[0] + scale[1]
    np.testing.assert_array_equal(read_image(tmp_path / "a.nii").array[..., 0], expected)


def test_a_scaled_label_has_its_scaled_values(tmp_path):
    stored = np.array([0, 1, 2, 3], ">i2").reshape(4, 1, 1)
    write_scaled(tmp_path / "a.nii", stored, (2, 1))
    np.testing.assert_array_equal(read_label(tmp_path / "a.nii")[0].ravel(), [1, 3, 5, 7])
    write_scaled(tmp_path / "a.nii", stored, (0.5, 0))
    with pytest.raises(DataError, match="2 voxels are not, for example 0.5"):
        read_label(tmp_path / "a.nii")


@pytest.mark.parametrize("value", [2.0**40, -(2.0**40)])
def test_values_too_large_for_a_class_are_refused(value, tmp_path):
    save(tmp_path / "a.nii.gz", np.full((2, 2, 2), value))
    with pytest.raises(DataError, match="1099511627776.*class numbers"):
        read_label(tmp_path / "a.nii.gz")


def test_negative_labels_and_large_ones_are_int32(tmp_path):
    for value in (-1, 256):
        save(tmp_path / "a.nii.gz", np.full((2, 2, 2), value, np.int16))
        assert read_label(tmp_path / "a.nii.gz")[0].dtype == np.int32


@pytest.fixture
def channel_files(tmp_path):
    """Two files of one case in an order of axes that isn't the canonical one, and their arrays in canonical axes."""
    arrays = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype(np.float32)
    paths = [tmp_path / f"a_{channel:04d}.nii.gz" for channel in range(2)]
    for path, array in zip(paths, arrays):
        nib.save(stored_as("SLP", array), path)
    return paths, arrays


def test_several_files_are_channels_in_order(channel_files):
    paths, arrays = channel_files
    for order in ([0, 1], [1, 0]):
        volume = read_image([paths[index] for index in order])
        np.testing.assert_array_equal(volume.array, np.moveaxis(arrays[order], 0, -1))
        assert volume.geometry.path == paths[order[0]]
    assert read_header(paths).channels == 2 and read_header(paths[:1]).channels == 1
    np.testing.assert_allclose(read_header(paths).spacing, SPACING, rtol=1e-6)


def test_several_files_must_fit_together(channel_files, tmp_path):
    (first, second), (array, _) = channel_files
    original = nib.load(second)
    for change, words in [
        (np.zeros((2, 4, 5), np.float32), "2x4x5, not .* like a_0000.nii.gz"),
        (np.zeros((5, 3, 4, 2), np.float32), ".*must have 1 channel, this one has 2"),
    ]:
        nib.save(nib.Nifti1Image(change, original.affine), second)
        with pytest.raises(DataError, match=f"a_0001.nii.gz: {words}"):
            read_image([first, second])
    affine = original.affine.copy()
    for share, fits in ((0.2, True), (0.3, False)):
        affine[:3, 3] = original.affine[:3, 3] + share * original.affine[:3, 0]
        nib.save(nib.Nifti1Image(original.get_fdata(dtype=np.float32), affine), second)
        if fits:
            assert read_image([first, second]).array.shape == (3, 4, 5, 2)
        else:
            with pytest.raises(DataError, match=r"a_0001.nii.gz: 0.3 voxels \(.* mm\) off a_0000.nii.gz"):
                read_header([first, second])


def test_reading_takes_little_more_memory_than_the_array(tmp_path):
    save(tmp_path / "a.nii.gz", np.zeros((400, 200, 100), np.int16))
    read_image(tmp_path / "a.nii.gz")  # imports and caches
    tracemalloc.start()
    volume = read_image(tmp_path / "a.nii.gz")
    assert tracemalloc.get_traced_memory()[1] < 2.2 * volume.array.nbytes
    tracemalloc.reset_peak()
    del volume
    label, _ = read_label(tmp_path / "a.nii.gz")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert label.dtype == np.uint8 and peak < 5 * label.nbytes


def test_of_a_file_that_may_not_be_read_nobody_is_asked_to_download_it(tmp_path, monkeypatch):
    path = tmp_path / "a.nii.gz"
    path.write_bytes(b"whole, but not for us")
    monkeypatch.setattr(stored.os, "access", lambda file, mode: file != path)
    with pytest.raises(DataError, match=r"a.nii.gz: may not be read by this user. Ask for the right to read it.$"):
        read_image([path])


@pytest.mark.parametrize(
    "shape, remedy",
    [((8, 8), "third axis of one voxel"), ((4, 4, 4, 2, 3), "fourth axis"), ((0, 4, 4), "damaged")],
    ids=["2D", "5D", "empty"],
)
def test_a_number_of_axes_that_isnt_read_is_refused_with_a_remedy(tmp_path, shape, remedy):
    nib.save(nib.Nifti1Image(np.zeros(shape, np.float32), np.eye(4)), tmp_path / "a.nii")
    with pytest.raises(DataError, match=rf"found shape \({shape[0]}, .*{remedy}"):
        read_header(tmp_path / "a.nii")
