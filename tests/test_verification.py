import nibabel as nib
import numpy as np
import pytest
from small_task import REAL_DATA, change, save, write_task

from scnas_keras.data.tasks import find_task, load_task
from scnas_keras.verification.checks import affine_distance, check_patch, verify_headers, verify_voxels
from scnas_keras.formats.volumes import read_image, read_label
from scnas_keras.errors import ConfigError, DataError

SHAPE = (12, 10, 8)


def voxel_problems(task):
    case = task.cases[0]
    return verify_voxels(case, read_image(case.images).array, read_label(case.label)[0], task)


def test_a_sound_task_passes(tmp_path):
    task = load_task(write_task(tmp_path))
    verify_headers(task)
    assert voxel_problems(task) == []


def shift_label(folder):
    affine = np.diag([1.0, 1.0, 1.5, 1.0])
    affine[0, 3] = 2.5
    save(folder / "labelsTr" / "case_1.nii.gz", np.zeros(SHAPE, np.uint8), affine)


def flatten(folder):
    path = folder / "imagesTr" / "case_1.nii.gz"
    image = nib.load(path)
    header = image.header.copy()
    header["srow_z"] = 0
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj), None, header), path)


HEADER_FAULTS = {
    "not a NIfTI": (lambda folder: (folder / "imagesTr" / "case_1.nii.gz").write_text("hello"),
                    "not a readable NIfTI.*imagesTr/case_1.nii.gz.*Download"),
    "channels": (lambda folder: save(folder / "imagesTr" / "case_1.nii.gz", np.ones((*SHAPE, 3))),
                 "channels.*case_1.nii.gz: 3 in the file, 2 declared.*modality"),
    "shape": (lambda folder: save(folder / "labelsTr" / "case_1.nii.gz", np.zeros((12, 10, 7), np.uint8)),
              "shapes.*case_1.nii.gz: 12x10x7, its image 12x10x8.*nearest"),
    "affine": (shift_label, r"different places.*case_1.nii.gz: 2\.5 mm off.*copy"),
    "spacing": (flatten, r"spacing.*imagesTr/case_1.nii.gz: .*0\.0\) mm.*Mend"),
}


@pytest.mark.parametrize("fault", HEADER_FAULTS)
def test_header_faults_are_found(tmp_path, fault):
    task = load_task(write_task(tmp_path))
    plant, message = HEADER_FAULTS[fault]
    plant(tmp_path)
    with pytest.raises(DataError, match=f"(?s){message}") as error:
        verify_headers(task)
    assert "case_0" not in str(error.value)


def test_all_header_faults_are_reported_together(tmp_path):
    task = load_task(write_task(tmp_path, num_cases=9))
    for index in range(7):
        (tmp_path / "imagesTr" / f"case_{index}.nii.gz").write_text("hello")
    save(tmp_path / "labelsTr" / "case_8.nii.gz", np.zeros((2, 2, 2), np.uint8))
    with pytest.raises(DataError, match=r"(?s)NIfTI file \(7\).*case_4.*and 2 more.*shapes \(1\).*case_8"):
        verify_headers(task)


def test_affine_distance_is_the_worst_corner_in_mm():
    angle = 0.01
    turned = np.eye(4)
    turned[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    far_corner = np.hypot(100, 50)
    assert affine_distance(np.eye(4), turned, (101, 51, 3)) == pytest.approx(far_corner * 2 * np.sin(angle / 2))


def spoil(value):
    def edit(array):
        array[5, 5, 5, 1] = value
    return edit


def undeclared(array):
    array[0, 0, :3] = 7


VOXEL_FAULTS = {
    "NaN": ("imagesTr", spoil(np.nan), r"channel 1 \(T2\) has 1 voxels that are NaN.*Replace"),
    "Inf": ("imagesTr", spoil(np.inf), r"channel 1 \(T2\) has 1 voxels that are NaN or infinite"),
    "constant": ("imagesTr", lambda array: array[..., 0].fill(3), r"channel 0 \(T1\) is 3 everywhere"),
    "undeclared": ("labelsTr", undeclared, r"7 \(3 voxels\).*declared are 0, 1, 2.*labels"),
    "background": ("labelsTr", lambda array: array.fill(0), "every voxel is background"),
}


@pytest.mark.parametrize("fault", VOXEL_FAULTS)
def test_voxel_faults_are_found(tmp_path, fault):
    task = load_task(write_task(tmp_path))
    folder, edit, message = VOXEL_FAULTS[fault]
    change(tmp_path / folder / "case_0.nii.gz", edit)
    problems = voxel_problems(task)
    assert len(problems) == 1
    with pytest.raises(DataError, match=rf"{folder}/case_0\.nii\.gz: .*{message}"):
        raise DataError(problems[0])


def test_several_voxel_faults_of_a_case_are_all_found(tmp_path):
    task = load_task(write_task(tmp_path))
    change(tmp_path / "imagesTr" / "case_0.nii.gz", spoil(np.nan))
    change(tmp_path / "labelsTr" / "case_0.nii.gz", undeclared)
    assert len(voxel_problems(task)) == 2


@pytest.mark.parametrize("patch, message", [((64, 60, 64), "instead of 60 use 56 or 64"),
                                            ((4, 64, 64), "instead of 4 use 8"), ((0, 64, 64), "instead of 0 use 8"),
                                            ((-8, 64, 64), "instead of -8 use 8"), ((64, 64), "three sizes")])
def test_a_patch_that_cannot_be_halved_is_refused_with_the_nearest(patch, message):
    with pytest.raises(ConfigError, match=message):
        check_patch(patch)


def test_a_patch_of_multiples_of_eight_passes():
    assert check_patch((128, 8, 40)) is None  # does not raise


@pytest.mark.skipif(not REAL_DATA.is_dir(), reason=f"no real data in {REAL_DATA}")
@pytest.mark.parametrize("hint", ["brain", "hippocampus", "lung"])
def test_real_headers_pass(hint):
    assert verify_headers(load_task(find_task(hint, REAL_DATA))) is None  # does not raise
