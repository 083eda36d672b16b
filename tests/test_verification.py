import nibabel as nib
import numpy as np
import pytest
from small_task import REAL_DATA, change, save, write_task

from scnas_keras.checks.headers import verify_headers
from scnas_keras.checks.preparation import verify_voxels
from scnas_keras.errors import DataError
from scnas_keras.formats.volumes import read_image, read_label
from scnas_keras.tasks.loading import find_task, load_task

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
    "not a NIfTI": (
        lambda folder: (folder / "imagesTr" / "case_1.nii.gz").write_text("hello"),
        "can't be read.*imagesTr/case_1.nii.gz.*Download",
    ),
    "channels": (
        lambda folder: save(folder / "imagesTr" / "case_1.nii.gz", np.ones((*SHAPE, 3))),
        "channels.*case_1.nii.gz: 3 in the file, 2 declared.*modality",
    ),
    "shape": (
        lambda folder: save(folder / "labelsTr" / "case_1.nii.gz", np.zeros((12, 10, 7), np.uint8)),
        "shapes.*case_1.nii.gz: 12x10x7, not 12x10x8 like its image.*nearest",
    ),
    "affine": (shift_label, r"different places.*case_1.nii.gz: 2\.5 voxels \(2\.5 mm\) off its image.*--fix=header"),
    "spacing": (flatten, r"spacing.*imagesTr/case_1.nii.gz: .*0\.0\) mm.*Fix"),
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
    with pytest.raises(DataError, match=r"(?s)read \(7\).*case_4.*and 2 more.*shapes \(1\).*case_8"):
        verify_headers(task)


def spoil(value):
    def edit(array):
        array[5, 5, 5, 1] = value

    return edit


def undeclared(array):
    array[0, 0, :3] = 7


VOXEL_FAULTS = {
    "NaN": ("imagesTr", spoil(np.nan), r"channel 1 \(T2\) has 1 voxels that are NaN.*Replace"),
    "Inf": ("imagesTr", spoil(np.inf), r"channel 1 \(T2\) has 1 voxels that are NaN or infinite"),
    "constant": ("imagesTr", lambda array: array.fill(3), r"\(T1\) is 3 everywhere; channel 1 \(T2\) is 3 everywhere.*Export"),
    "undeclared": ("labelsTr", undeclared, r"7 \(3 voxels\).*declared are 0, 1, 2.*labels"),
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


def test_a_constant_channel_beside_a_sound_one_is_no_error(tmp_path):
    task = load_task(write_task(tmp_path))
    change(tmp_path / "imagesTr" / "case_0.nii.gz", lambda array: array[..., 0].fill(3))
    assert voxel_problems(task) == []


def test_several_voxel_faults_of_a_case_are_all_found(tmp_path):
    task = load_task(write_task(tmp_path))
    change(tmp_path / "imagesTr" / "case_0.nii.gz", spoil(np.nan))
    change(tmp_path / "labelsTr" / "case_0.nii.gz", undeclared)
    assert len(voxel_problems(task)) == 2


def test_doubtful_headers_are_logged_one_line_a_kind(tmp_path, caplog):
    task = load_task(write_task(tmp_path, num_cases=5))
    for index in (1, 2):
        path = tmp_path / "imagesTr" / f"case_{index}.nii.gz"
        for file in (path, tmp_path / "labelsTr" / path.name):
            save(file, np.asarray(nib.load(file).dataobj), np.diag([-1, -1, 1.5, 1]))
    with caplog.at_level("WARNING", logger="absl"):
        verify_headers(task)
    assert [record.getMessage() for record in caplog.records] == [
        "Small: axes point in other directions than in most cases (2), for example imagesTr/case_1.nii.gz: LPS; 3 cases "
        "are RAS; scnas verify tells more"
    ]


@pytest.mark.skipif(not REAL_DATA.is_dir(), reason=f"no real data in {REAL_DATA}")
@pytest.mark.parametrize("hint", ["brain", "hippocampus", "lung", "nuclei"])
def test_real_headers_pass(hint):
    assert verify_headers(load_task(find_task(hint, REAL_DATA))) is None  # does not raise
