"""Every kind of finding is planted in a sound dataset and found in the right case and file, and nothing else is."""

import dataclasses
import json
import math
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from small_task import REAL_DATA, change, save, write_json, write_task

from scnas_keras.checks.across import header_comparisons
from scnas_keras.checks.findings import ERROR, KINDS, WARNING, by_kind
from scnas_keras.checks.grids import Grid
from scnas_keras.checks.scan import Scan, read_voxels
from scnas_keras.checks.voxels import Structure, structures, value_counts
from scnas_keras.errors import ConfigError
from scnas_keras.tasks.cases import Case, Task
from scnas_keras.tasks.loading import find_task, load_task
from scnas_keras.verify import dataset
from scnas_keras.verify.dataset import verify_task

SHAPE = (12, 10, 8)
EMPTY = Task("Empty", Path("nowhere"), ("T1",), {0: "background", 1: "left"}, ())
IMAGE, LABEL = "imagesTr/case_1.nii.gz", "labelsTr/case_1.nii.gz"


def write(folder):
    return load_task(write_task(folder, num_cases=5))


def verify(task, **options):
    return verify_task(task, processes=1, progress=False, **options)


def where(findings):
    return [(finding.key, finding.case, finding.file) for finding in findings]


def what(findings):
    return [(finding.key, finding.case, finding.detail) for finding in findings]


def array_of(path):
    return np.asarray(nib.load(path).dataobj)


def put(path, array):
    save(path, array, np.diag([1.0, 1.0, 1.5, 1.0]))


def move(file, affine):
    return lambda folder: save(folder / file, array_of(folder / file), np.asarray(affine))


def both(affine):
    def plant(folder):
        move(IMAGE, affine)(folder)
        move(LABEL, affine)(folder)

    return plant


def spoil(array):
    array[5, 5, 5, 1] = np.nan


def rows_of_affine(**rows):
    def plant(folder):
        image = nib.load(folder / LABEL)
        header = image.header.copy()
        for name, values in rows.items():
            header[name] = values
        nib.save(nib.Nifti1Image(np.asarray(image.dataobj), None, header), folder / LABEL)

    return plant


def undeclared(array):
    array[0, 0, :3] = 7


def thin(array):
    array[array == 2] = 0
    array[6:9, 3:6, 2] = 2


def outside(array):
    array[0, 2:7, 2:7] = 1


def edit_image(function):
    return lambda folder: change(folder / IMAGE, function)


def edit_label(function):
    return lambda folder: change(folder / LABEL, function)


def new_label(function):
    """Replaces the label by a function of it, also of another type."""
    return lambda folder: put(folder / LABEL, function(array_of(folder / LABEL)))


def counting(values, first=0):
    """A label with as many values in turn."""
    return new_label(lambda array: (np.arange(array.size, dtype=np.int16) % values + first).reshape(array.shape))


def cut_off(folder):
    (folder / IMAGE).write_bytes((folder / IMAGE).read_bytes()[:3000])


def copy_case_0(folder):
    (folder / IMAGE).write_bytes((folder / "imagesTr/case_0.nii.gz").read_bytes())


def scan_as_label(folder):
    put(folder / LABEL, array_of(folder / IMAGE)[..., 0])


def equal_to_label(folder):
    image = array_of(folder / IMAGE).copy()
    image[..., 1] = array_of(folder / LABEL)
    put(folder / IMAGE, image)


CASE_FAULTS = {
    "missing": ("missing", lambda folder: (folder / LABEL).unlink(), LABEL, "no such file"),
    "no NIfTI": ("unreadable", lambda folder: (folder / IMAGE).write_text("hello"), IMAGE, "can't be read"),
    "cut off": ("unreadable", cut_off, IMAGE, "cut off|damaged"),
    "channels in a label": ("unreadable", new_label(lambda array: np.stack([array] * 2, -1)), LABEL, "2 channels"),
    "shape": ("shapes", new_label(lambda array: array[:, :, :7]), LABEL, "12x10x7, not 12x10x8 like its image"),
    "affine": (
        "affines",
        move(LABEL, [[1, 0, 0, 2.5], [0, 1, 0, 0], [0, 0, 1.5, 0], [0, 0, 0, 1]]),
        LABEL,
        r"2\.5 voxels \(2\.5 mm\) off its image",
    ),
    "spacing": ("spacing", rows_of_affine(srow_z=0), LABEL, r"0\.0\) mm"),
    "axes in one plane": ("spacing", rows_of_affine(srow_x=(1, 1, 0, 0), srow_y=(1, 1, 0, 0)), LABEL, "axes in one plane"),
    "origin": ("spacing", rows_of_affine(srow_z=(0, 0, 1.5, np.nan)), LABEL, "isn't finite"),
    "NaN in a label": ("not_finite", new_label(lambda array: np.where(array == 1, np.nan, array)), LABEL, "^the label has 27 voxels"),
    "infinite label": ("not_finite", new_label(lambda array: np.where(array == 1, np.inf, array)), LABEL, "27 voxels"),
    "dust": ("fractional", new_label(lambda array: array * (1 + 1e-9)), LABEL, "farthest is 2e-09 from a whole"),
    "channels as label": (
        "label_is_image",
        lambda folder: put(folder / LABEL, array_of(folder / IMAGE)),
        LABEL,
        "equal to its image in every voxel",
    ),
    "NaN": ("not_finite", edit_image(spoil), IMAGE, r"channel 1 \(T2\) has 1 voxels"),
    "constant": ("constant", edit_image(lambda array: array.fill(3)), IMAGE, r"T1\) is 3 everywhere; channel 1"),
    "constant channel": ("constant_channel", edit_image(lambda array: array[..., 1].fill(3)), IMAGE, r"channel 1 \(T2\) is 3"),
    "undeclared": ("undeclared", edit_label(undeclared), LABEL, r"^7 \(3 voxels\); declared are 0, 1, 2$"),
    "negative": ("undeclared", new_label(lambda array: -(array == 1).astype(np.int16)), LABEL, r"^-1 \(27 voxels\)"),
    "background": ("all_background", edit_label(lambda array: array.fill(0)), LABEL, "every voxel is background"),
    "fractions": (
        "fractional",
        new_label(lambda array: array.astype(np.float32) / 2),
        LABEL,
        r"^0\.5 \(27 voxels\); the farthest is 0\.5 from",
    ),
    "scan as label": ("label_is_image", scan_as_label, LABEL, "[0-9]+ different values"),
    "counts as label": ("label_is_image", counting(33), LABEL, "33 different values, .* 0 and 32; 3 are declared"),
    "HU as label": ("label_is_image", counting(4, -2), LABEL, "negative values down to -2, and 4 different ones"),
    "equal to its image": ("label_is_image", equal_to_label, LABEL, r"equal to channel 1 \(T2\)"),
    "duplicate": ("duplicate", copy_case_0, IMAGE, "case case_1 has the voxels of case case_0"),
    "orientation": ("orientation", both(np.diag([-1, -1, 1.5, 1])), IMAGE, "LPS; 4 cases are RAS"),
    "spacing outlier": ("spacing_outlier", both(np.diag([1, 1, 5, 1])), IMAGE, "1 x 1 x 5 mm; the median is 1 x 1 x 1.5 mm"),
    "lost spacing": ("unit_spacing", both(np.eye(4)), IMAGE, "4 of 5 cases have another"),
    "thin": ("small_structure", edit_label(thin), LABEL, r"class 2 \(right\) measures 1\.5 mm along z \(target 1\.5 mm\)"),
    "outside": ("foreground_outside", edit_label(outside), LABEL, r"25 of 79 labelled voxels \(31\.6%\)"),
}


@pytest.mark.parametrize("fault", CASE_FAULTS)
def test_a_faulty_case_is_found(tmp_path, fault):
    task = write(tmp_path)
    assert verify(task).findings == ()
    key, plant, file, detail = CASE_FAULTS[fault]
    plant(tmp_path)
    report = verify(task)
    assert where(report.findings) == [(key, "case_1", tmp_path / file)]
    with pytest.raises(AssertionError, match=detail):
        raise AssertionError(report.findings[0].detail)
    assert report.has_errors == (KINDS[key].severity == ERROR)


def test_channel_faults_are_told_by_case_and_for_the_dataset(tmp_path):
    task = write(tmp_path)
    put(tmp_path / IMAGE, np.random.default_rng(0).uniform(1, 9, (*SHAPE, 3)).astype(np.float32))
    found = {finding.key: finding for finding in verify(task).findings}
    assert {key: (finding.case, finding.file, finding.detail) for key, finding in found.items()} == {
        "channels": ("case_1", tmp_path / IMAGE, "3 in the file, 2 declared"),
        "mixed_channels": ("case_1", tmp_path / IMAGE, "3; most cases have 2"),
    }


def split_channels(folder):
    """A task whose cases have a file per channel."""
    task = write(folder)
    cases = []
    for case in task.cases:
        files = tuple(folder / "imagesTr" / f"{case.name}_{channel:04d}.nii.gz" for channel in range(2))
        for channel, file in enumerate(files):
            put(file, array_of(case.images[0])[..., channel])
        case.images[0].unlink()
        cases.append(dataclasses.replace(case, images=files))
    return dataclasses.replace(task, cases=tuple(cases))


def test_channel_files_on_different_grids_are_found(tmp_path):
    task = split_channels(tmp_path)
    assert verify(task).findings == ()
    file = tmp_path / "imagesTr/case_1_0001.nii.gz"
    save(file, array_of(file), np.diag([1, 1, 1.6, 1]))
    other = tmp_path / "imagesTr/case_2_0001.nii.gz"
    put(other, array_of(other)[1:])
    found = [(finding.key, finding.case, finding.file, finding.detail) for finding in verify(task).findings]
    assert found == [
        ("channel_grids", "case_1", file, "0.467 voxels (0.7 mm) off case_1_0000.nii.gz"),
        ("channel_grids", "case_2", other, "11x10x8, not 12x10x8 like case_2_0000.nii.gz"),
    ]


def test_a_missing_channel_file_is_found(tmp_path):
    task = split_channels(tmp_path)
    file = tmp_path / "imagesTr/case_1_0001.nii.gz"
    file.unlink()
    assert where(verify(task).findings) == [("missing", "case_1", file)]


def test_a_faulty_channel_is_told_with_its_own_file(tmp_path):
    task = split_channels(tmp_path)
    change(tmp_path / "imagesTr/case_1_0001.nii.gz", lambda array: array.fill(3))
    (finding,) = verify(task).findings
    assert (finding.key, finding.file) == ("constant_channel", tmp_path / "imagesTr/case_1_0001.nii.gz")


def test_one_unreadable_case_does_not_hide_the_others(tmp_path):
    task = write(tmp_path)
    (tmp_path / "imagesTr/case_0.nii.gz").write_text("hello")
    change(tmp_path / "labelsTr/case_0.nii.gz", undeclared)
    change(tmp_path / IMAGE, spoil)
    found = {(finding.key, finding.case) for finding in verify(task).findings}
    assert found == {("unreadable", "case_0"), ("undeclared", "case_0"), ("not_finite", "case_1")}


def test_a_case_that_memory_does_not_suffice_for_does_not_lose_the_report(tmp_path, monkeypatch):
    def read_or_fail(case, **known):
        if case.name == "case_1":
            raise MemoryError("no more")
        return read_voxels(case, **known)

    task = write(tmp_path)
    put(tmp_path / LABEL, array_of(tmp_path / LABEL)[:, :, :7])
    change(tmp_path / "labelsTr/case_3.nii.gz", undeclared)
    monkeypatch.setattr(dataset, "read_voxels", read_or_fail)
    report = verify(task)
    assert where(report.findings) == [
        ("shapes", "case_1", tmp_path / LABEL),
        ("memory", "case_1", tmp_path / IMAGE),
        ("undeclared", "case_3", tmp_path / "labelsTr/case_3.nii.gz"),
    ]
    assert report.findings[1].detail.startswith("memory ran out (no more)")


def test_the_result_does_not_depend_on_the_number_of_processes(tmp_path):
    task = write(tmp_path)
    change(tmp_path / IMAGE, spoil)
    change(tmp_path / "labelsTr/case_3.nii.gz", undeclared)
    assert verify_task(task, processes=2, progress=False) == verify(task)


def test_rare_and_absent_classes_are_told_with_their_cases(tmp_path):
    write(tmp_path)
    for index in range(5):
        if index != 3:
            change(tmp_path / f"labelsTr/case_{index}.nii.gz", lambda array: np.copyto(array, 0, where=array == 2))
    labels = {"0": "background", "1": "left", "2": "right", "3": "middle"}
    write_json(tmp_path, [f"case_{index}" for index in range(5)], labels=labels)
    assert what(verify(load_task(tmp_path)).findings) == [
        ("rare_class", None, "class 2 (right) is in 1 of 5 cases (case_3)"),
        ("absent_class", None, "class 3 (middle) is in none of 5 cases"),
    ]


def test_ct_at_one_millimetre_throughout_is_doubted(tmp_path):
    task = load_task(write_task(tmp_path, num_cases=5, channels=("CT",), spacing=(1.0, 1.0, 1.0)))
    assert [(finding.key, finding.case) for finding in verify(task).findings] == [("unit_spacing", None)]
    assert verify(dataclasses.replace(task, channel_names=("T1",))).findings == ()


def test_structures_are_measured_against_the_spacing_that_is_asked_for(tmp_path):
    task = write(tmp_path)
    details = [finding.detail for finding in verify(task, spacing=(1.0, 1.0, 2.5)).findings if finding.case == "case_1"]
    assert details == [f"class {name} measures 4.5 mm along z (target 2.5 mm)" for name in ("1 (left)", "2 (right)")]


def test_patients_with_several_cases_are_told(tmp_path):
    task = write(tmp_path)
    assert verify(task, group_pattern=r"\d").findings == ()
    assert what(verify(task, group_pattern="case").findings) == [
        ("shared_patient", "case_0", "case: 5 cases (case_0, case_1, case_2, case_3, case_4), by --group_pattern='case'"),
        ("too_few_cases", None, "5 labelled cases of 1 patients"),
    ]
    with pytest.raises(ConfigError, match="group_pattern"):
        verify(task, group_pattern="x(")


def test_patients_are_guessed_from_names(tmp_path):
    task = write(tmp_path)
    names = ["P01_R_1", "P01_R_2", "P02_R_1", "P02_R_2", "P03_R_1"]
    cases = tuple(dataclasses.replace(case, name=name) for case, name in zip(task.cases, names))
    found = verify(dataclasses.replace(task, cases=cases)).findings
    assert {finding.key for finding in found} == {"shared_patient"}
    assert [finding.case for finding in found] == ["P01_R_1", "P02_R_1"]


def test_another_number_of_cases_than_announced_is_told(tmp_path):
    write(tmp_path)
    write_json(tmp_path, [f"case_{index}" for index in range(5)], numTraining=6, numTest="0")
    (finding,) = verify(load_task(tmp_path)).findings
    assert (finding.key, finding.file) == ("declared_count", tmp_path / "dataset.json")
    assert finding.detail == "numTraining is 6, but there are 5"


def test_much_bigger_scans_are_told():
    sizes = {"a": (100, 100, 100), "b": (110, 100, 100), "c": (500, 500, 400)}
    scans = [Scan(Case(name, (Path(name),), None), (), Grid(shape, 1, (1.0, 1.0, 2.0), "RAS")) for name, shape in sizes.items()]
    task = dataclasses.replace(EMPTY, cases=tuple(scan.case for scan in scans))
    assert what(header_comparisons(scans, task)) == [("big_scan", "c", "500x500x400, 90.9 times the median; 0.4 GB as float32")]


def with_test_image(folder, array, affine=np.diag([1.0, 1.0, 1.5, 1.0])):
    task = write(folder)
    save(folder / "imagesTs" / "test_0.nii.gz", array, affine)
    return dataclasses.replace(task, test_cases=(Case("test_0", (folder / "imagesTs" / "test_0.nii.gz",), None),))


def random_image(low=10, high=100, channels=2):
    return np.random.default_rng(1).uniform(low, high, (*SHAPE, channels)).astype(np.float32)


TEST_FAULTS = {
    "test_channels": (random_image(channels=3), (1, 1, 1.5), "^3; training images have 2$"),
    "test_spacing": (random_image(), (1, 1, 4.6), "1 x 1 x 4.6 mm; the training images have 1 x 1 x 1.5 mm to"),
    "test_intensities": (random_image(1000, 2000), (1, 1, 1.5), r"channel 0 \(T1\) goes from 10\d\d to 1\d+; the training images' go from"),
    "not_finite": (np.where(np.arange(2), np.nan, random_image()), (1, 1, 1.5), "NaN"),
}


@pytest.mark.parametrize("key", TEST_FAULTS)
def test_test_images_are_held_against_the_training_images(tmp_path, key):
    array, spacing, detail = TEST_FAULTS[key]
    findings = verify(with_test_image(tmp_path, array, np.diag([*spacing, 1]))).findings
    assert set(where(findings)) == {(key, "test_0", tmp_path / "imagesTs/test_0.nii.gz")}
    with pytest.raises(AssertionError, match=detail):
        raise AssertionError(findings[0].detail)


def test_a_test_image_like_the_training_images_is_sound(tmp_path):
    report = verify(with_test_image(tmp_path, random_image()))
    assert report.findings == ()
    assert report.checked["test_images"] == 1


def test_a_training_image_among_the_test_images_is_found(tmp_path):
    write(tmp_path)
    task = with_test_image(tmp_path, array_of(tmp_path / IMAGE))
    assert what(verify(task).findings) == [("duplicate", "test_0", "test image test_0 has the voxels of case case_1")]


def test_ignored_voxels_are_no_class_and_no_foreground(tmp_path):
    task = dataclasses.replace(write(tmp_path), labels={0: "background", 1: "left"}, ignore_label=2)
    assert verify(task).findings == ()
    change(tmp_path / LABEL, lambda array: array.fill(2))
    (finding,) = verify(task).findings
    assert (finding.key, finding.case, finding.detail) == ("all_ignored", "case_1", "every voxel is 2 (ignore)")


def test_values_are_judged_after_the_tasks_own_mapping(tmp_path):
    task = write(tmp_path)
    for case in task.cases:
        change(case.label, lambda array: np.copyto(array, 255, where=array == 2))
    assert len(verify(task).findings) == 5 + 1  # undeclared in each case, and a class that none has
    assert verify(dataclasses.replace(task, label_map={255: 2})).findings == ()


def test_zeros_inside_a_scan_are_not_outside(tmp_path):
    task = write(tmp_path)
    change(tmp_path / IMAGE, lambda array: array[4:8, 4, 3].fill(0))
    assert verify(task).findings == ()


def test_the_largest_part_of_a_class_is_measured(tmp_path):
    label = np.zeros((20, 10, 1), np.uint8)
    label[0:3, 0:2, 0] = 1
    label[5:7, 4:9, 0] = 1
    label[19, 9, 0] = 1
    found = structures(label, (0.5, 2.0, 999.0), EMPTY)
    assert found == {1: Structure(17, (1.5, 10.0, math.inf))}


def test_value_counts_agree_with_numpy_across_slabs():
    array = np.random.default_rng(0).integers(-3, 9, (150, 120, 70)).astype(np.int32)
    for ours, expected in zip(value_counts(array), np.unique(array, return_counts=True)):
        np.testing.assert_array_equal(ours, expected)


def test_every_kind_says_what_to_do_and_errors_come_first():
    assert all(kind.remedy.endswith(".") and kind.heading for kind in KINDS.values())
    severities = [kind.severity for kind in KINDS.values()]
    assert severities == sorted(severities) and set(severities) == {ERROR, WARNING}


def test_the_report_has_all_in_json_and_five_of_a_kind_in_text(tmp_path):
    task = load_task(write_task(tmp_path, num_cases=8))
    for case in task.cases[:7]:
        change(case.label, undeclared)
    change(task.cases[7].images[0], lambda array: array[..., 1].fill(3))
    report = verify(task)
    lines = report.text().splitlines()
    assert lines[:3] == [
        f"Errors in {tmp_path}:",
        "  label values that aren't declared (7):",
        "    labelsTr/case_0.nii.gz: 7 (3 voxels); declared are 0, 1, 2",
    ]
    assert lines[7] == "    and 2 more" and lines[8].startswith("    -> Declare")
    assert lines[9:11] == [f"Warnings in {tmp_path}:", "  channel is constant (1):"]
    assert lines[-1] == "8 cases: 1 kind of error, 1 kind of warning."
    content = json.loads(report.json())
    assert content["cases"] == 8 and content["checked"]["files"] == 16
    assert content["checked"]["voxels"] == 8 * 2 * math.prod(SHAPE)
    (error,), (warning,) = content["errors"], content["warnings"]
    assert (error["kind"], warning["kind"]) == ("undeclared", "constant_channel")
    assert [entry["case"] for entry in error["cases"]] == [f"case_{index}" for index in range(7)]
    assert warning["cases"] == [
        {"case": "case_7", "file": str(tmp_path / "imagesTr/case_7.nii.gz"), "detail": "channel 1 (T2) is 3 everywhere"}
    ]


REAL_WARNINGS = {
    "brain": {"no_unit": 1, "few_cases": 1},
    "hippocampus": {},
    "lung": {"no_unit": 1, "orientation": 4, "shared_patient": 9},
    "nuclei": {"foreground_outside": 1},
}


@pytest.mark.skipif(not REAL_DATA.is_dir(), reason=f"no real data in {REAL_DATA}")
@pytest.mark.parametrize("hint", REAL_WARNINGS)
def test_real_tasks_have_no_errors_and_only_true_warnings(hint):
    report = verify_task(load_task(find_task(hint, REAL_DATA)), progress=False)
    assert not report.has_errors
    assert {kind.key: len(group) for kind, group in by_kind(report.findings, WARNING).items()} == REAL_WARNINGS[hint]


def test_images_with_the_label_of_another_case_are_doubted(tmp_path):
    write(tmp_path)
    names = [f"case_{index}" for index in range(5)]
    listed = [
        {"image": f"imagesTr/{image}.nii.gz", "label": f"labelsTr/{label}.nii.gz"} for image, label in zip(names, names[1:] + names[:1])
    ]
    write_json(tmp_path, names, training=listed)
    (finding,) = verify(load_task(tmp_path)).findings
    assert (finding.key, finding.file) == ("other_name", tmp_path / "dataset.json")
    assert finding.detail == "5 of 5 cases, for example case_4.nii.gz with case_0.nii.gz"


def test_images_that_are_called_otherwise_than_all_labels_are_not_doubted(tmp_path):
    write(tmp_path)
    for index in range(5):
        (tmp_path / "labelsTr" / f"case_{index}.nii.gz").rename(tmp_path / "labelsTr" / f"seg_{index}.nii.gz")
    listed = [{"image": f"imagesTr/case_{index}.nii.gz", "label": f"labelsTr/seg_{index}.nii.gz"} for index in range(5)]
    write_json(tmp_path, (), training=listed)
    assert not verify(load_task(tmp_path)).findings


def test_a_class_that_is_nearly_called_ignore_is_doubted(tmp_path):
    write(tmp_path)
    write_json(tmp_path, [f"case_{index}" for index in range(5)], labels={"background": 0, "left": 1, "Ignore": 2})
    (finding,) = verify(load_task(tmp_path)).findings
    assert (finding.key, finding.detail) == ("ignore_spelling", '"Ignore", the value 2')


def test_files_that_are_listed_from_the_root_belong_to_their_cases(tmp_path, monkeypatch):
    write(tmp_path / "task")
    names = [f"case_{index}" for index in range(5)]
    listed = [{"image": f"{tmp_path}/task/imagesTr/{name}.nii.gz", "label": f"{tmp_path}/task/labelsTr/{name}.nii.gz"} for name in names]
    write_json(tmp_path / "task", names, training=listed)
    monkeypatch.chdir(tmp_path)
    assert not dataset.verify_dataset(Path("task"), processes=1, progress=False).findings
