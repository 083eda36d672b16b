"""DICOM series against the volumes they were made from."""

import shutil

import nibabel as nib
import numpy as np
import pytest
from test_formats_itk import itk_image, sitk, turned

from scnas_keras.errors import DataError
from scnas_keras.formats.volumes import read_header, read_image, write_label

ARRAY = np.random.default_rng(0).integers(-1000, 2000, (4, 3, 6)).astype(np.int16)  # [i, j, k]
SPACING = (0.5, 0.75, 2.5)
SHUFFLED = (3, 0, 5, 1, 4, 2)  # slices are not named in the order of their positions


def write_series(folder, array=ARRAY, direction=np.eye(3), uid="1.2.3", ending=".dcm", origins=None, prefix="slice"):
    """Writes a CT as one file a slice; `origins` [k, 3] overrides positions."""
    folder.mkdir(parents=True, exist_ok=True)
    image = itk_image(array, direction, SPACING)
    for k in range(array.shape[2]):
        piece = image[:, :, k]
        origin = image.TransformIndexToPhysicalPoint((0, 0, k)) if origins is None else origins[k]
        tags = {
            "0008|0060": "CT",
            "0020|000e": uid,
            "0020|000d": "1.2",
            "0020|0052": "1.2.9",
            "0008|0018": f"{uid}.{k + 1}",
            "0020|0032": "\\".join(f"{value:.10g}" for value in origin),
            "0020|0013": str(k + 1),
            "0020|0037": "\\".join(f"{value:.12g}" for value in np.asarray(direction, float).T[:2].ravel()),
            "0028|1052": "0",
            "0028|1053": "1",
        }
        for tag, value in tags.items():
            piece.SetMetaData(tag, value)
        writer = sitk.ImageFileWriter()
        writer.KeepOriginalImageUIDOn()
        writer.SetImageIO("GDCMImageIO")
        writer.SetFileName(str(folder / f"{prefix}{SHUFFLED.index(k) if k < 6 else k}{ending or '.dcm'}"))
        writer.Execute(piece)
        if not ending:
            path = folder / f"{prefix}{SHUFFLED.index(k) if k < 6 else k}.dcm"
            path.rename(path.with_suffix(""))
    return folder


@pytest.mark.parametrize(
    "direction",
    [np.eye(3), turned((10, -20, 5)), np.eye(3)[:, [1, 2, 0]], np.diag([-1, -1, 1])],
    ids=["axial", "oblique", "sagittal", "prone"],
)
@pytest.mark.parametrize("ending", [".dcm", ""])
def test_a_series_equals_the_nifti_it_was_made_from(direction, ending, tmp_path):
    folder = write_series(tmp_path / "scan", direction=direction, ending=ending)
    sitk.WriteImage(itk_image(ARRAY, direction, SPACING), str(tmp_path / "twin.nii"))
    twin = read_image(tmp_path / "twin.nii")
    for path in (folder, sorted(folder.iterdir())[2]):
        volume, header = read_image(path), read_header(path)
        np.testing.assert_array_equal(volume.array, twin.array)
        np.testing.assert_allclose(volume.geometry.affine, twin.geometry.affine, atol=1e-5)
        np.testing.assert_allclose(volume.spacing, twin.spacing, rtol=1e-6)
        assert header.shape == ARRAY.shape and header.channels == 1 and header.spacing == volume.spacing


@pytest.mark.parametrize("target", [".nii.gz", ".nrrd"])
def test_a_segmentation_lies_on_the_series(target, tmp_path):
    direction = turned((10, -20, 5))
    volume = read_image(write_series(tmp_path / "scan", direction=direction))
    label = (volume.array[..., 0] > 0).astype(np.uint8)
    write_label(tmp_path / f"out{target}", label, volume.geometry)
    written = sitk.ReadImage(str(tmp_path / f"out{target}"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(written).transpose(2, 1, 0), ARRAY > 0)
    np.testing.assert_allclose(written.GetDirection(), direction.ravel(), atol=1e-5)
    np.testing.assert_allclose(written.GetSpacing(), SPACING, rtol=1e-6)


def test_a_tilted_gantry_is_an_affine_with_shear(tmp_path):
    origins = [(0, 0.5 * k, 2.5 * k) for k in range(6)]
    volume = read_image(write_series(tmp_path / "scan", origins=origins))
    np.testing.assert_allclose(volume.geometry.affine[:3, 2], [0, -0.5, 2.5], atol=1e-6)
    assert nib.aff2axcodes(volume.geometry.affine) == ("L", "P", "S")


def test_every_slice_has_its_own_scale(tmp_path):
    slopes = np.array([1, 0.5, 0.25, 2, 1.5, 0.75])
    folder = write_series(tmp_path / "scan")
    tag = b"\x28\x00\x53\x10"  # rescale slope; then the length in four bytes, and the number as text
    for k, slope in enumerate(slopes):
        path = folder / f"slice{SHUFFLED.index(k)}.dcm"
        content = path.read_bytes()
        assert content.count(tag + b"\x02\0\0\x001 ") == 1
        path.write_bytes(content.replace(tag + b"\x02\0\0\x001 ", tag + b"\x04\0\0\0" + f"{slope:<4}".encode()))
    np.testing.assert_allclose(read_image(folder).array[::-1, ::-1, :, 0], ARRAY * slopes)


def test_of_several_series_one_must_be_named(tmp_path):
    folder = write_series(tmp_path / "scan", uid="1.2.3")
    write_series(folder, ARRAY[..., :4] + 1, uid="1.2.4", prefix="other")
    with pytest.raises(DataError, match=r"(?s)found 2:.*1\.2\.3: 6 slices.*1\.2\.4: 4 slices.*Name one slice"):
        read_image(folder)
    assert read_image(folder / "slice0.dcm").array.shape[2] == 6
    np.testing.assert_array_equal(read_image(folder / "other0.dcm").array[::-1, ::-1, :, 0], ARRAY[..., :4] + 1)


def test_a_missing_slice_is_found(tmp_path):
    folder = write_series(tmp_path / "scan")
    lost = folder / f"slice{SHUFFLED.index(2)}.dcm"
    lost.unlink()
    with pytest.raises(
        DataError,
        match=rf"2\.5 mm apart on the whole, but 5 mm between slice{SHUFFLED.index(1)}\.dcm and "
        rf"slice{SHUFFLED.index(3)}\.dcm.*missing",
    ):
        read_image(folder)


def test_rounded_positions_are_no_gap(tmp_path):
    origins = [(0, 0, round(0.625 * k, 1)) for k in range(6)]
    volume = read_image(write_series(tmp_path / "scan", origins=origins))
    np.testing.assert_allclose(volume.spacing[2], 3.1 / 5, rtol=1e-6)


def test_slices_at_one_position_are_refused(tmp_path):
    with pytest.raises(DataError, match="slice.*same position.*time points"):
        read_image(write_series(tmp_path / "scan", origins=[(0, 0, k // 2) for k in range(6)]))


def test_slices_of_other_sizes_are_refused(tmp_path):
    folder = write_series(tmp_path / "scan")
    write_series(folder, np.zeros((9, 9, 1), np.int16), prefix="localizer", origins=[(0, 0, 99)])
    with pytest.raises(DataError, match="don't make one volume.*9x9.*localizers"):
        read_image(folder)


def test_one_slice_is_a_volume(tmp_path):
    folder = write_series(tmp_path / "scan", ARRAY[..., :1])
    np.testing.assert_array_equal(read_image(folder).array[::-1, ::-1, :, 0], ARRAY[..., :1])


def test_folders_and_files_without_slices_are_named(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty: no DICOM series found.*nothing"):
        read_image(tmp_path / "empty")
    (tmp_path / "empty" / "notes.txt").write_text("x")
    with pytest.raises(DataError, match="notes.txt"):
        read_image(tmp_path / "empty")
    (tmp_path / "a.dcm").write_text("not a slice")
    with pytest.raises(DataError, match="a.dcm.*DICOM file"):
        read_image(tmp_path / "a.dcm")


def test_a_slice_that_is_cut_off_is_named(tmp_path):
    folder = write_series(tmp_path / "scan")
    path = folder / "slice0.dcm"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(DataError, match=f"{folder}"):
        read_image(folder)


def test_other_files_beside_the_slices_do_no_harm(tmp_path):
    folder = write_series(tmp_path / "scan")
    (folder / "notes.txt").write_text("x")
    shutil.copy(folder / "slice0.dcm", tmp_path / "elsewhere.dcm")
    assert read_image(folder).array.shape == (4, 3, 6, 1)


def test_a_damaged_series_number_is_told(tmp_path):
    folder = write_series(tmp_path / "scan", uid="1.2.345678")
    path = sorted(folder.iterdir())[0]
    path.write_bytes(path.read_bytes().replace(b"1.2.345678", b"\xff.2.345678"))
    with pytest.raises(DataError, match=f"{path.name}: expected a DICOM file"):
        read_header(path)
