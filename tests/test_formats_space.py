"""Where voxels lie: units, tilted slices, headers that say too little or two things, labels that are stored otherwise than their images."""

import logging

import nibabel as nib
import numpy as np
import pytest
from small_task import AFFINE, write_task

from scnas_keras.checks.findings import WARNING, by_kind
from scnas_keras.checks.headers import verify_headers
from scnas_keras.errors import DataError
from scnas_keras.formats.geometry import grid_distance
from scnas_keras.formats.shear import is_sheared, straightened
from scnas_keras.formats.volumes import read_header, read_image, read_label, write_label
from scnas_keras.predict.inputs import Scan, read_scan
from scnas_keras.preprocessing.resampling import resampled_shape
from scnas_keras.tasks.loading import load_label, load_task
from scnas_keras.verify.dataset import verify_dataset

TURNED = np.array([[0.6, -0.8, 0, 5], [0.8, 0.6, 0, -3], [0, 0, 1.5, 40], [0, 0, 0, 1]])


def write(path, array, affine, unit="mm", codes=(1, 1)):
    image = nib.Nifti1Image(array, affine)
    image.header.set_xyzt_units(unit)
    image.set_sform(affine, code=codes[0])
    image.set_qform(affine, code=codes[1])
    nib.save(image, path)


def rewrite(folder, edit, names=("imagesTr", "labelsTr")):
    """Writes every file again, with what `edit` (its array and affine -> arguments of `write`) makes of it."""
    for name in names:
        for path in sorted((folder / name).glob("*.nii.gz")):
            image = nib.load(path)
            write(path, *edit(np.asarray(image.dataobj), image.affine))


@pytest.mark.parametrize("unit, factor", [("meter", 1e-3), ("mm", 1), ("micron", 1e3)])
def test_lengths_are_millimetres_whatever_the_files_unit(unit, factor, tmp_path):
    array = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
    write(tmp_path / "scan.nii.gz", array, np.diag([factor] * 3 + [1]) @ TURNED, unit)
    volume = read_image(tmp_path / "scan.nii.gz")
    assert volume.spacing == pytest.approx((1, 1, 1.5), rel=1e-5) and volume.geometry.doubts == ()
    np.testing.assert_allclose(volume.geometry.affine, TURNED, rtol=1e-5, atol=1e-5)
    write_label(tmp_path / "out.nii.gz", (volume.array[..., 0] > 20).astype(np.uint8), volume.geometry)
    scan, written = nib.load(tmp_path / "scan.nii.gz"), nib.load(tmp_path / "out.nii.gz")
    np.testing.assert_array_equal(written.affine, scan.affine)
    assert written.header["xyzt_units"] == scan.header["xyzt_units"]
    np.testing.assert_array_equal(np.asarray(written.dataobj), array > 20)
    np.testing.assert_allclose(read_label(tmp_path / "out.nii.gz")[1].affine, volume.geometry.affine, rtol=1e-6)


def test_a_unit_that_does_not_exist_is_refused(tmp_path):
    image = nib.Nifti1Image(np.zeros((3, 4, 5), np.uint8), AFFINE)
    image.header["xyzt_units"] = 5
    nib.save(image, tmp_path / "scan.nii.gz")
    with pytest.raises(DataError, match="scan.nii.gz: the header's unit of length .xyzt_units. is code 5"):
        read_header(tmp_path / "scan.nii.gz")


def test_itk_reads_units_alike(tmp_path):
    sitk = pytest.importorskip("SimpleITK")
    for unit, factor in (("meter", 1e-3), ("micron", 1e3)):
        write(tmp_path / "scan.nii.gz", np.zeros((3, 4, 5), np.uint8), np.diag([factor] * 3 + [1]) @ TURNED, unit)
        np.testing.assert_allclose(
            sitk.ReadImage(tmp_path / "scan.nii.gz").GetSpacing(), read_header(tmp_path / "scan.nii.gz").spacing, rtol=1e-5
        )


@pytest.mark.parametrize("scale", [1, 3e-4])
def test_what_lies_apart_is_measured_in_voxels(scale, tmp_path):
    """Voxels of 0.3 micrometres, in millimetres: labels 30 of them off, and nothing resampled, passed."""
    write_task(tmp_path)
    rewrite(tmp_path, lambda array, affine: (array, np.diag([scale] * 3 + [1]) @ affine))
    verify_headers(load_task(tmp_path))

    def moved(voxels):
        offset = np.eye(4)
        offset[0, 3] = voxels
        return lambda array, affine: (array, affine @ offset)

    rewrite(tmp_path, moved(0.2), ["labelsTr"])
    verify_headers(load_task(tmp_path))
    rewrite(tmp_path, moved(0.8), ["labelsTr"])
    with pytest.raises(DataError, match=r"different places .more than 0.25 voxels apart. .*\(3\)(?s:.*): 1 voxels"):
        verify_headers(load_task(tmp_path))
    assert resampled_shape((90, 90, 90), (scale,) * 3, (3 * scale,) * 3) == (30, 30, 30)
    assert resampled_shape((90, 90, 90), (scale,) * 3, (1.0005 * scale,) * 3) == (90, 90, 90)


def test_distances_between_grids_by_hand():
    other = TURNED.copy()
    other[:3, 3] += 2 * TURNED[:3, 2]
    assert grid_distance(TURNED, other, (3, 4, 5)) == pytest.approx(2)
    other = TURNED @ np.diag([1, 1.1, 1, 1])
    assert grid_distance(TURNED, other, (3, 4, 5)) == pytest.approx(0.3)  # 0.1 of a voxel at each of three steps
    assert grid_distance(TURNED, TURNED, (3, 4, 5)) == 0


@pytest.mark.parametrize("digits", [3, 4])
def test_rounded_cosines_are_no_fault(digits, tmp_path):
    from scipy.spatial.transform import Rotation

    write_task(tmp_path)
    turned = np.eye(4)
    turned[:3, :3] = Rotation.from_euler("xyz", (-15, 14, 15), degrees=True).as_matrix()
    rounded = np.round(turned, digits)
    rewrite(tmp_path, lambda array, affine: (array, turned @ affine), ["imagesTr"])
    rewrite(tmp_path, lambda array, affine: (array, rounded @ affine), ["labelsTr"])
    assert not {"affines", "shapes"} & {finding.key for finding in verify_dataset(tmp_path, processes=1, progress=False).findings}


@pytest.mark.parametrize("axes", ["LPS", "PIR", "SRA"])
def test_a_label_stored_in_another_order_of_axes_lies_on_its_image(axes, tmp_path):
    write_task(tmp_path)
    task = load_task(tmp_path)
    before = [load_label(task, case) for case in task.cases]

    def turn(array, affine):
        image = nib.Nifti1Image(array, affine)
        to = nib.orientations.ornt_transform(nib.io_orientation(affine), nib.orientations.axcodes2ornt(axes))
        turned = image.as_reoriented(to)
        return np.asarray(turned.dataobj), turned.affine

    rewrite(tmp_path, turn, ["labelsTr"])
    assert "".join(nib.aff2axcodes(nib.load(task.cases[0].label).affine)) == axes
    assert not verify_dataset(tmp_path, processes=1, progress=False).has_errors
    for case, expected in zip(task.cases, before, strict=True):
        np.testing.assert_array_equal(load_label(task, case), expected)


def findings(folder, key):
    found = verify_dataset(folder, processes=1, progress=False).findings
    return [finding for kind, group in by_kind(found, WARNING).items() if kind.key == key for finding in group]


def test_a_missing_unit_is_one_line(tmp_path, caplog):
    write_task(tmp_path)
    assert findings(tmp_path, "no_unit") == []
    rewrite(tmp_path, lambda array, affine: (array, affine, "unknown"), ["imagesTr"])
    (finding,) = findings(tmp_path, "no_unit")
    assert finding.detail.startswith("3 of 3 cases")
    verify_headers(load_task(tmp_path))
    assert "unit" not in caplog.text  # other commands don't repeat it


@pytest.mark.parametrize("size, warned", [(1.0, False), (0.02, False), (0.005, True), (25.0, True)])
def test_prediction_doubts_a_missing_unit_only_where_voxels_are_unlikely(size, warned, tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    write(tmp_path / "scan.nii.gz", np.zeros((3, 4, 5), np.int16), np.diag([size] * 3 + [1]), "unknown")
    read_scan(Scan("scan", (tmp_path / "scan.nii.gz",), tmp_path / "out.nii.gz"), ("MR",))
    assert ("no unit of length" in caplog.text and f"{size:g} x {size:g} x {size:g} mm" in caplog.text) == warned


@pytest.mark.parametrize(
    "key, codes, qform, words",
    [("no_orientation", (0, 0), TURNED, "left, anterior, superior"), ("two_places", (1, 1), TURNED, "the sform was used")],
)
def test_headers_that_say_too_little_or_two_things_are_told(key, codes, qform, words, tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    write_task(tmp_path)
    path = tmp_path / "imagesTr/case_1.nii.gz"
    image = nib.load(path)
    image = nib.Nifti1Image(np.asarray(image.dataobj), image.affine, image.header)
    image.set_qform(qform, code=codes[1])
    image.set_sform(image.affine, code=codes[0])
    nib.save(image, path)
    if key == "two_places":
        (finding,) = findings(tmp_path, key)
        assert finding.file == path and words in finding.detail
    else:
        assert words in findings(tmp_path, key)[0].detail
    read_scan(Scan("case_1", (path,), tmp_path / "out.nii.gz"), ("T1", "T2"))
    assert words in caplog.text


TILT = np.deg2rad(15)
TILTED = np.array([[-0.5, 0, 0, 16], [0, -0.5 * np.cos(TILT), 0, 16], [0, -0.5 * np.sin(TILT), 5, 0], [0, 0, 0, 1]])


def test_tilted_slices_are_told_from_rounding():
    assert is_sheared(TILTED) and not is_sheared(TURNED) and not is_sheared(np.round(TURNED, 3))


@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd", ".mha"])
def test_a_label_of_tilted_slices_lies_right_in_every_program(ending, tmp_path):
    """A head CT whose gantry is tilted by 15 degrees: as NIfTI with a qform, voxels came out 12.9 mm off in ITK's programs."""
    sitk = pytest.importorskip("SimpleITK")
    scan = sitk.GetImageFromArray(np.random.default_rng(0).integers(0, 100, (20, 40, 30)).astype(np.int16))
    lps = np.diag([-1, -1, 1, 1]) @ TILTED
    size = np.linalg.norm(lps[:3, :3], axis=0)
    scan.SetSpacing(size), scan.SetOrigin(lps[:3, 3]), scan.SetDirection((lps[:3, :3] / size).ravel())
    sitk.WriteImage(scan, tmp_path / "scan.nrrd")
    volume = read_image(tmp_path / "scan.nrrd")
    assert sorted(volume.spacing) == pytest.approx([0.5, 0.5, 5 * np.cos(TILT)])
    segmentation = np.zeros(volume.array.shape[:3], np.uint8)
    places = [(0, 0, 0), (29, 39, 19), (10, 20, 19), (3, 30, 7)]
    shape = np.array(segmentation.shape)
    for number, place in enumerate(places, start=1):
        flips = volume.geometry.orientation
        canonical = [0, 0, 0]
        for axis, (to, sign) in enumerate(flips.astype(int)):
            canonical[to] = place[axis] if sign > 0 else shape[to] - 1 - place[axis]
        segmentation[tuple(canonical)] = number
    write_label(tmp_path / f"out{ending}", segmentation, volume.geometry)
    written = sitk.ReadImage(tmp_path / f"out{ending}")
    array = sitk.GetArrayFromImage(written)
    other, geometry = read_label(tmp_path / f"out{ending}")
    for number, place in enumerate(places, start=1):
        (k, j, i) = np.argwhere(array == number)[0].tolist()
        true = (np.diag([-1, -1, 1, 1]) @ TILTED @ [*place, 1])[:3]
        found = np.array(written.TransformIndexToPhysicalPoint((i, j, k)))
        assert np.linalg.norm(found - true) < 0.36  # half a pixel in each direction of the plane
        assert (other == number).sum() == 1
    assert geometry.affine[:3, :3].T @ geometry.affine[:3, :3] == pytest.approx(np.diag([0.25, 0.25, (5 * np.cos(TILT)) ** 2]), abs=1e-5)


def test_slices_are_moved_to_where_they_lie():
    affine = np.array([[1, 0, 0.4, 0], [0, 1, -2, 0], [0, 0, 3, 7], [0, 0, 0, 1.0]])
    label = np.random.default_rng(0).integers(0, 3, (4, 5, 6)).astype(np.uint8)
    straight, moved = straightened(label, affine)
    np.testing.assert_allclose(moved[:3, :3], np.diag([1, 1, 3]), atol=1e-12)
    where, values = np.argwhere(straight), straight[straight > 0]
    back = np.linalg.solve(affine, moved @ np.c_[where, np.ones(len(where))].T)[:3].T  # in voxels of the tilted grid
    np.testing.assert_array_equal(label[tuple(np.rint(back).astype(int).T)], values)
    assert np.abs(back - np.rint(back)).max() <= 0.5 and (straight > 0).sum() == (label > 0).sum()


def test_a_grid_without_any_right_angle_is_refused():
    affine = np.array([[1, 0.3, 0.5, 0], [0, 1, 0.4, 0], [0, 0, 3, 7], [0, 0, 0, 1.0]])
    with pytest.raises(DataError, match="no right angles"):
        straightened(np.zeros((3, 3, 3), np.uint8), affine)
