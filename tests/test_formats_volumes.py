import itertools

import nibabel as nib
import numpy as np
import pytest
from small_task import save

from scnas_keras.formats.volumes import CANONICAL, read_header, read_image, read_label, write_label
from scnas_keras.errors import ConfigError, DataError

ORIENTATIONS = ["".join(codes) for axes in itertools.permutations(("LR", "PA", "IS"))
                for codes in itertools.product(*axes)]
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
        write_label(tmp_path / "out.png", label, geometry)


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
    replacement = {"text": b"not an image", "empty": b"", "truncated": content[: len(content) // 2],
                   "truncated gzip header": content[:5]}
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(replacement[damage])
    with pytest.raises(DataError, match=r"image\.nii\.gz.*(again|Check)"):
        read_image(path)


def test_an_affine_without_volume_is_refused(tmp_path):
    image = nib.Nifti1Image(np.zeros((2, 2, 2)), np.eye(4))
    image.header["srow_z"] = 0
    (tmp_path / "flat.nii").write_bytes(nib.Nifti1Image(image.dataobj, None, image.header).to_bytes())
    with pytest.raises(DataError, match="affine"):
        read_image(tmp_path / "flat.nii")
