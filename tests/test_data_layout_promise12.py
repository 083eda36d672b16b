"""PROMISE12: MetaImage files with their segmentations beside them."""

import numpy as np
import pytest

sitk = pytest.importorskip("SimpleITK", reason="needs SimpleITK: pip install 'scnas_keras[dicom]'")

from scnas_keras.errors import DataError  # noqa: E402
from scnas_keras.evaluate.inputs import find_labels  # noqa: E402
from scnas_keras.preprocessing.measure import measure_task  # noqa: E402
from scnas_keras.tasks.loading import find_task, is_task, load_image, load_label, load_task  # noqa: E402
from scnas_keras.tasks.patients import guess_pattern  # noqa: E402
from scnas_keras.verify.dataset import verify_dataset  # noqa: E402

SPACING = (0.625, 0.625, 3.6)


def write_case(folder, number, shape=(6, 9, 8)):
    """A scan and its segmentation [k, j, i]."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(number)
    for ending, array in (("", random.integers(0, 900, shape).astype(np.int16)), ("_segmentation", np.zeros(shape, np.int8))):
        if ending:
            array[2:4, 3:6, 2:5] = 1
        image = sitk.GetImageFromArray(array)
        image.SetSpacing(SPACING)
        image.SetOrigin((-50.0, -20.0, 3.0))
        sitk.WriteImage(image, str(folder / f"Case{number:02d}{ending}.mhd"))
    assert (folder / f"Case{number:02d}_segmentation.raw").is_file()


def write_promise12(folder, numbers=range(4)):
    for number in numbers:
        write_case(folder, number)
    return folder


def test_scans_with_their_segmentations_are_a_task(tmp_path):
    write_promise12(tmp_path / "promise12" / "TrainingData")
    task = load_task(find_task("custom", tmp_path / "promise12"))
    assert (task.name, task.channel_names, task.labels) == ("PROMISE12", ("T2",), {0: "background", 1: "prostate"})
    assert [case.name for case in task.cases] == ["Case00", "Case01", "Case02", "Case03"]
    assert task.cases[2].label.name == "Case02_segmentation.mhd"
    assert guess_pattern([case.name for case in task.cases]) is None  # each case is a patient
    image, label = load_image(task, task.cases[1]), load_label(task, task.cases[1])
    assert image.array.shape == (8, 9, 6, 1) and image.spacing == SPACING and label.sum() == 18
    report = verify_dataset(task.root, processes=1, progress=False)
    assert not [finding for finding in report.findings if finding.kind.severity == "error"]
    assert measure_task(task, tmp_path / "cache", 1, False).cases == ("Case00", "Case01", "Case02", "Case03")


def test_segmentations_are_compared_with_the_labels_and_not_with_the_scans(tmp_path):
    found = find_labels(str(write_promise12(tmp_path)))
    assert found.task.name == "PROMISE12"
    assert {name: file.name for name, file in found.files.items()}["Case03"] == "Case03_segmentation.mhd" and len(found.files) == 4


def test_a_folder_of_masks_alone_is_one_of_labels(tmp_path):
    folder = write_promise12(tmp_path)
    for scan in folder.glob("Case??.*"):
        scan.unlink()
    assert not is_task(folder)
    found = find_labels(str(folder))
    assert found.task is None and list(found.files) == [f"Case{number:02d}_segmentation" for number in range(4)]
    write_case(tmp_path / "other", 9)
    for ending in ("mhd", "raw"):
        (tmp_path / "other" / f"Case09.{ending}").replace(folder / f"Case09.{ending}")
    assert not is_task(folder)  # no scan has its mask


@pytest.mark.parametrize("other", [".", "TrainingData_Part2"])
def test_a_case_in_two_folders_is_refused_with_both(other, tmp_path):
    first = write_promise12(tmp_path / "TrainingData_Part1")
    write_case(tmp_path / other, 2)
    with pytest.raises(DataError, match=r"1 files are there twice: .*Case02\.mhd and .*Case02\.mhd\. ") as caught:
        load_task(tmp_path)
    assert all(str(folder / "Case02.mhd") in str(caught.value) for folder in (first, tmp_path / other))


def test_the_parts_of_the_download_are_one_task(tmp_path):
    for part, numbers in ((1, (0, 1)), (2, (2,)), (3, (17,))):
        write_promise12(tmp_path / f"TrainingData_Part{part}", numbers)
    (tmp_path / "TrainingData_Part3.zip").write_bytes(b"PK")
    task = load_task(find_task("prostate", tmp_path))
    assert [case.name for case in task.cases] == ["Case00", "Case01", "Case02", "Case17"]


def test_files_without_their_partner_are_named(tmp_path):
    folder = write_promise12(tmp_path)
    (folder / "Case01_segmentation.mhd").unlink()
    (folder / "Case03.mhd").unlink()
    with pytest.raises(DataError, match=r"2 files lack their partner: .*Case01\.mhd, .*Case03_segmentation\.mhd\. .*unpack"):
        load_task(folder)


def test_voxels_without_their_header_are_named(tmp_path):
    folder = write_promise12(tmp_path)
    for name in ("Case01.mhd", "Case01_segmentation.mhd"):
        (folder / name).unlink()
    with pytest.raises(DataError, match=r"2 files of voxels lack their header: .*Case01\.raw, .*Case01_segmentation\.raw\. Unpack"):
        load_task(folder)


def test_a_segmentation_of_another_size_is_named(tmp_path):
    folder = write_promise12(tmp_path)
    write_case(tmp_path / "other", 1, (6, 9, 7))
    for name in ("Case01_segmentation.mhd", "Case01_segmentation.raw"):
        (tmp_path / "other" / name).replace(folder / name)
    report = verify_dataset(folder, processes=1, progress=False)
    (found,) = [finding for finding in report.findings if finding.kind.severity == "error"]
    assert (found.key, found.case, found.file.name) == ("shapes", "Case01", "Case01_segmentation.mhd")
