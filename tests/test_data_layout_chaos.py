"""The CT scans of CHAOS: slices and a picture of the mask of each."""

import shutil

import numpy as np
import pytest
from PIL import Image
from small_task import save

pytest.importorskip("pydicom", reason="needs pydicom: pip install 'scnas_keras[dicom]'")
from dicom_files import ARRAY, COUNT, write_slices  # noqa: E402

from scnas_keras.architectures.registry import footprint  # noqa: E402
from scnas_keras.errors import DataError  # noqa: E402
from scnas_keras.formats.volumes import read_header, read_label  # noqa: E402
from scnas_keras.planning.planner import make_plans  # noqa: E402
from scnas_keras.predict.inputs import collect_scans, read_scan  # noqa: E402
from scnas_keras.preprocessing.cache import prepare  # noqa: E402
from scnas_keras.preprocessing.measure import measure_task  # noqa: E402
from scnas_keras.tasks.loading import find_task, is_task, load_image, load_task  # noqa: E402
from scnas_keras.tasks.patients import guess_pattern  # noqa: E402
from scnas_keras.tasks.sources import files_of  # noqa: E402
from scnas_keras.verify.dataset import verify_dataset  # noqa: E402

MASKS = np.random.default_rng(0).integers(0, 2, ARRAY.shape).astype(np.uint8)  # by name of the slice [n, row, column]
NAMES = {"i": "i{:04d},0000b.dcm", "IMG": "IMG-0004-{:05d}.dcm"}


def write_patient(folder, reverse=False, names="i", value=255, uids=True):
    """A patient whose first slice by name is the lowest, or the highest; `uids`: whether each slice is made anonymous by itself."""

    def edit(data, k):
        data.PixelData = (ARRAY[k] + np.uint16(value)).tobytes()
        data.RescaleIntercept, data.RescaleSlope = -1000, 1
        if uids:
            data.SeriesInstanceUID, data.FrameOfReferenceUID = f"1.2.{k + 1}", f"1.9.{k + 1}"

    scan = write_slices(folder / "DICOM_anon", edit)
    for k in range(COUNT):
        number = COUNT - 1 - k if reverse else k
        (scan / f"s{k}.dcm").rename(scan / NAMES[names].format(number + (names == "IMG")))
        (folder / "Ground").mkdir(exist_ok=True)
        Image.fromarray(MASKS[number] * np.uint8(value)).save(folder / "Ground" / f"liver_GT_{number:03d}.png")
    return folder


def write_chaos(root):
    patients = root / "CHAOS_Train_Sets" / "Train_Sets" / "CT"
    write_patient(patients / "1")
    write_patient(patients / "14", reverse=True, names="IMG", value=1)
    write_patient(patients / "2", uids=False, value=7)
    return patients


def test_the_layout_is_found_from_every_folder_around_the_patients(tmp_path):
    patients = write_chaos(tmp_path)
    for folder in (tmp_path, patients.parents[1], patients.parent, patients):
        task = load_task(find_task("custom", folder))
        assert (task.name, task.channel_names, task.is_ct) == ("CHAOS_CT", ("CT",), (True,))
        assert task.labels == {0: "background", 1: "liver"}
        assert [case.name for case in task.cases] == ["1", "14", "2"]
        assert task.cases[0].images == (patients / "1" / "DICOM_anon",) and task.cases[0].label == patients / "1" / "Ground"
    assert guess_pattern([case.name for case in task.cases]) is None  # each case is a patient


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("names, value, uids", [("i", 255, True), ("IMG", 1, False)])
def test_each_slice_has_the_mask_of_its_place_among_the_names(reverse, names, value, uids, tmp_path):
    patient = write_patient(tmp_path / "1", reverse, names, value, uids)
    label, geometry = read_label(patient / "Ground")
    expected = MASKS[::-1] if reverse else MASKS  # [k, row, column], k from the lowest on
    save(tmp_path / "twin.nii.gz", np.ascontiguousarray(expected.transpose(2, 1, 0)), geometry.affine)
    np.testing.assert_array_equal(label, read_label(tmp_path / "twin.nii.gz")[0])
    scan = read_header(patient / "DICOM_anon", own_series=True)
    assert scan.shape == geometry.shape and np.array_equal(scan.affine, geometry.affine)


def test_it_is_verified_planned_and_prepared(tmp_path):
    patients = write_chaos(tmp_path)
    report = verify_dataset(patients, processes=1, progress=False)
    assert not [finding for finding in report.findings if finding.kind.severity == "error"]
    task = load_task(patients)
    assert load_image(task, task.cases[0]).array.min() == 255 - 1000
    fingerprint = measure_task(task, tmp_path / "cache", 1, False)
    plans = make_plans(fingerprint, footprint("nnunet"))
    plan = plans.preprocessing("2d", task.labels)
    assert plan.channels[0].scheme == "ct"
    prepared = prepare(task, plan, tmp_path / "cache", 1, False)
    assert [set(np.unique(case.label())) for case in prepared] == [{0, 1}] * 3


def test_a_changed_mask_is_another_case(tmp_path):
    patient = write_patient(tmp_path / "1")
    assert [file.name for file in files_of(patient / "Ground")] == [f"liver_GT_{n:03d}.png" for n in range(COUNT)]
    assert len(list(files_of(patient / "DICOM_anon"))) == COUNT


def shrink(patient):
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(patient / "Ground" / "liver_GT_003.png")


def colour(patient):
    Image.fromarray(np.zeros((4, 3, 3), np.uint8)).save(patient / "Ground" / "liver_GT_003.png")


@pytest.mark.parametrize(
    "spoil, words",
    [
        (
            lambda patient: (patient / "Ground" / "liver_GT_003.png").unlink(),
            r"Ground: found 5 masks for 6 slices in .*DICOM_anon\. U",
        ),
        (shrink, r"liver_GT_003\.png: the mask has 4x4 pixels, and its slice .*i0003,0000b\.dcm 3x4\. .*Unpack"),
        (colour, r"liver_GT_003\.png: a mask needs one number a pixel, found 3 channels"),
    ],
)
def test_masks_that_do_not_fit_are_named(spoil, words, tmp_path):
    patient = write_patient(tmp_path / "1")
    spoil(patient)
    with pytest.raises(DataError, match=words):
        read_header(patient / "Ground")


@pytest.mark.parametrize("number, text", [(2, r"1 \(no DICOM_anon/\), "), (4, r"1 \(no DICOM_anon/\), 15 .*, 15 .*, ")])
def test_a_patient_without_masks_or_slices_is_named(number, text, tmp_path):
    patients = write_chaos(tmp_path)
    if number == 4:
        (patients / "15").mkdir()
        (patients / "notes").mkdir()
    (patients / "2" / "Ground").rename(patients / "2" / "Grund")
    (patients / "1" / "DICOM_anon").rename(patients / "1" / "DICOM")
    with pytest.raises(
        DataError, match=rf"CT: {number} folders of {3 + (number == 4)} patients are missing: {text}2 \(no Ground/\)\. .*unpack"
    ):
        load_task(patients)


def test_several_series_elsewhere_are_refused_as_before(tmp_path):
    patient = write_patient(tmp_path / "1")
    (patient / "DICOM_anon").rename(patient / "DICOM")
    with pytest.raises(DataError, match=r"(?s)expected one DICOM series, found 6.*made anonymous one by one, give all of them one Series"):
        read_header(patient / "DICOM")


def test_the_readers_know_nothing_of_a_folders_name(tmp_path):
    scan = write_patient(tmp_path / "1") / "DICOM_anon"
    with pytest.raises(DataError, match="expected one DICOM series, found 6"):
        read_header(scan)
    assert read_header(scan, own_series=True).shape == (3, 4, COUNT)


@pytest.mark.parametrize("place, read", [("Train_Sets/CT/1", True), ("Test_Sets/CT/3", True), ("mine/3", False)])
def test_a_patient_is_segmented_and_a_folder_of_another_that_is_called_so_is_not_merged(place, read, tmp_path):
    patient = write_patient(tmp_path / place)
    if not place.startswith("Train"):
        shutil.rmtree(patient / "Ground")
    (scan,) = collect_scans(str(patient / "DICOM_anon"), str(tmp_path / "a.nii.gz"), ("CT",))
    if read:
        assert read_scan(scan, ("CT",)).array.shape == (3, 4, COUNT, 1)
    else:
        with pytest.raises(DataError, match="expected one DICOM series, found 6"):
            read_scan(scan, ("CT",))


def test_masks_of_several_organs_are_refused(tmp_path):
    """Those of MR scans hold 63 (liver), 126, 189 and 252."""
    patient = write_patient(tmp_path / "1")
    organs = np.resize(np.array([0, 63, 126, 189, 252], np.uint8), ARRAY.shape[1:])
    Image.fromarray(organs).save(patient / "Ground" / "liver_GT_003.png")
    with pytest.raises(DataError, match=r"liver_GT_003\.png: .*liver alone.*found 63, 126, 189, 252 beside 0\. .*write a dataset\.json"):
        read_label(patient / "Ground")


@pytest.mark.parametrize("inside", ["", "InPhase"])
def test_the_mr_scans_of_a_patient_are_no_patients(inside, tmp_path):
    for sequence in ("T1DUAL", "T2SPIR"):
        write_slices(tmp_path / "MR" / "1" / sequence / "DICOM_anon" / inside)
        (tmp_path / "MR" / "1" / sequence / "Ground").mkdir()
    for folder in (tmp_path, tmp_path / "MR", tmp_path / "MR" / "1", tmp_path / "MR" / "1" / "T2SPIR"):
        assert not is_task(folder)
        with pytest.raises(DataError, match="expected a task here or one folder below"):
            find_task("custom", folder)
