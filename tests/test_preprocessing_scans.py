import nibabel as nib
import numpy as np
import pytest
import scipy.ndimage
from small_task import change, save, write_task

from scnas_keras.planning.plans import Normalization, Plan, make_plan
from scnas_keras.preprocessing.scans import crop_to_nonzero, preprocess_image, preprocess_label, restore_probabilities
from scnas_keras.preprocessing.resampling import resampled_shape, resize, resize_label
from scnas_keras.data.tasks import load_task
from scnas_keras.formats.volumes import read_image, read_label, write_label
from scnas_keras.errors import ConfigError, DataError

LABELS = {0: "background", 1: "left", 2: "right"}
ZSCORE = (Normalization("T1", "zscore"), Normalization("T2", "zscore"))


def one_hot(label, num_classes=3):
    return np.eye(num_classes, dtype=np.float32)[label]


def dice(first, second):
    return 2 * np.count_nonzero(first & second) / (np.count_nonzero(first) + np.count_nonzero(second))


def balls(shape=(40, 36, 32)):
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    label = np.zeros(shape, np.uint8)
    label[np.linalg.norm(grid - (14, 16, 15), axis=-1) < 10] = 1
    label[np.linalg.norm(grid - (26, 20, 16), axis=-1) < 8] = 2
    return label


@pytest.mark.parametrize("order", [1, 3])
@pytest.mark.parametrize("shape", [(20, 9, 7), (6, 22, 11), (13, 11, 1)])
def test_resize_is_scipys_interpolation_at_voxel_centres(order, shape):
    array = np.random.default_rng(0).normal(size=(13, 11, 7)).astype(np.float32)
    centres = np.meshgrid(*((np.arange(new) + 0.5) * old / new - 0.5 for old, new in zip(array.shape, shape)),
                          indexing="ij")
    expected = scipy.ndimage.map_coordinates(array, centres, order=order, mode="nearest")
    np.testing.assert_allclose(resize(array, shape, order), expected, atol=1e-5)


def test_resize_there_and_back_shifts_nothing():
    ramp = np.broadcast_to(np.arange(20, dtype=np.float32)[:, None, None], (20, 4, 4))
    back = resize(resize(ramp, (34, 6, 6), order=1), (20, 4, 4), order=1)
    np.testing.assert_allclose(back[1:-1], ramp[1:-1], atol=0.02)
    np.testing.assert_allclose(back, 19 - back[::-1], atol=1e-4)


def test_an_axis_with_the_right_spacing_keeps_its_size():
    assert resampled_shape((1000, 10, 3), (1.0009, 1.0, 0.5), (1.0, 0.7, 9.0)) == (1000, 14, 1)


def test_labels_stay_labels_when_resampled():
    label = balls() * 5
    result = resize_label(label, (57, 51, 46))
    assert set(np.unique(result)) == {0, 5, 10}
    assert resize_label(label, label.shape) is label


def read_small(tmp_path, label, spacing):
    image = np.zeros((*label.shape, 2), np.float32)
    image[2:-3, 1:-2, 3:] = np.random.default_rng(0).uniform(1, 2, (*label[2:-3, 1:-2, 3:].shape, 2))
    affine = np.diag([-spacing[0], -spacing[1], spacing[2], 1.0])
    save(tmp_path / "image.nii.gz", image, affine)
    save(tmp_path / "label.nii.gz", label, affine)
    return read_image(tmp_path / "image.nii.gz"), *read_label(tmp_path / "label.nii.gz")


@pytest.mark.parametrize("target, least", [((1.0, 1.0, 1.5), 1.0), ((0.6, 0.6, 0.6), 0.99)])
def test_a_label_survives_preprocessing_and_restoring(tmp_path, target, least):
    volume, label, geometry = read_small(tmp_path, balls(), (1.0, 1.0, 1.5))
    image, crop = preprocess_image(volume, Plan(target, ZSCORE, LABELS))
    prepared = preprocess_label(label, crop, image.shape[:3])
    restored = restore_probabilities(one_hot(prepared), crop)
    assert prepared.shape == image.shape[:3]
    for value in (1, 2):
        assert dice(restored == value, label == value) >= least
    write_label(tmp_path / "out.nii.gz", restored, geometry)
    written, original = nib.load(tmp_path / "out.nii.gz"), nib.load(tmp_path / "label.nii.gz")
    np.testing.assert_array_equal(written.affine, original.affine)
    assert dice(np.asarray(written.dataobj) > 0, np.asarray(original.dataobj) > 0) >= least


def test_the_crop_is_the_box_of_voxels_that_any_channel_has():
    array = np.zeros((10, 9, 8, 2), np.float32)
    array[2, 3, 4, 0] = array[6, 3, 5, 1] = -1
    crop = crop_to_nonzero(array)
    assert (crop.start, crop.stop, crop.size) == ((2, 3, 4), (7, 4, 6), (5, 1, 2))


def test_what_was_cropped_away_is_restored_as_background():
    array = np.zeros((10, 9, 8, 1), np.float32)
    array[2:5, 3:6, 4:7] = 1
    restored = restore_probabilities(one_hot(np.full((5, 5, 5), 2)), crop_to_nonzero(array))
    assert restored.shape == (10, 9, 8)
    assert restored.sum() == 2 * restored[2:5, 3:6, 4:7].size == 2 * np.count_nonzero(restored)


def test_of_equally_probable_classes_the_first_wins():
    crop = crop_to_nonzero(np.ones((4, 4, 4, 1)))
    assert not restore_probabilities(np.full((6, 6, 6, 3), 1 / 3, np.float16), crop).any()


def test_zscore_is_over_the_nonzero_voxels(tmp_path):
    volume, *_ = read_small(tmp_path, balls(), (1.0, 1.0, 1.0))
    image, crop = preprocess_image(volume, Plan((1.0, 1.0, 1.0), ZSCORE, LABELS))
    raw = volume.array[crop.slices]
    assert image.dtype == np.float32
    np.testing.assert_allclose(image, (raw - raw.mean(axis=(0, 1, 2))) / raw.std(axis=(0, 1, 2)), atol=1e-4)


def test_zscore_does_not_count_air_inside_the_crop(tmp_path):
    values = np.random.default_rng(0).normal(100, 5, (8, 8, 8, 1)).astype(np.float32)
    values[:4, :4] = 0
    save(tmp_path / "image.nii.gz", values)
    image, _ = preprocess_image(read_image(tmp_path / "image.nii.gz"), Plan((1, 1, 1.5), ZSCORE[:1], LABELS))
    body = image[values != 0]
    assert body.mean() == pytest.approx(0, abs=1e-4)
    assert body.std() == pytest.approx(1, abs=1e-4)


def test_ct_is_clipped_and_scaled_by_the_plan(tmp_path):
    values = np.random.default_rng(0).uniform(-1000, 1000, (6, 6, 6)).astype(np.float32)
    save(tmp_path / "image.nii.gz", values)
    plan = Plan((1.0, 1.0, 1.5), (Normalization("CT", "ct", -100.0, 300.0, 50.0, 80.0),), {0: "background", 1: "x"})
    image, _ = preprocess_image(read_image(tmp_path / "image.nii.gz"), plan)
    np.testing.assert_allclose(image[..., 0], (np.clip(values, -100, 300) - 50) / 80, rtol=1e-5, atol=1e-5)


def test_ct_statistics_are_those_of_the_foreground(tmp_path):
    task = load_task(write_task(tmp_path, channels=("CT",)))
    plan = make_plan(task, (1.0, 1.0, 1.0), processes=1, progress=False)
    voxels = np.concatenate([read_image(case.images).array[read_label(case.label)[0] > 0, 0] for case in task.cases])
    channel = plan.channels[0]
    assert (channel.low, channel.high) == pytest.approx(tuple(np.percentile(voxels, (0.5, 99.5))))
    assert (channel.mean, channel.std) == pytest.approx((voxels.mean(), voxels.std()), rel=1e-5)


def test_the_median_spacing_is_over_all_cases(tmp_path):
    task = load_task(write_task(tmp_path))
    save(task.cases[0].images[0], np.ones((12, 10, 8, 2)), np.diag([9.0, 9.0, 9.0, 1.0]))
    assert make_plan(task, "median").spacing == (1.0, 1.0, 1.5)


@pytest.mark.parametrize("spacing", ["mean", (1.0, 1.0), (1.0, 1.0, 0.0), (1.0, 1.0, float("nan"))])
def test_other_spacings_are_refused(tmp_path, spacing):
    with pytest.raises(ConfigError, match="--spacing=0.7,0.7,0.7"):
        make_plan(load_task(write_task(tmp_path)), spacing)


def test_a_plan_survives_json():
    plan = Plan((0.7, 1.0, 2.5), (ZSCORE[0], Normalization("CT", "ct", -100.5, 300.0, 50.0, 80.0)), LABELS)
    assert Plan.from_json(plan.to_json()) == plan
    assert Plan.from_json(plan.to_json()).to_json() == plan.to_json()


@pytest.mark.parametrize("damage", [lambda text: text[:-20], lambda text: text.replace("zscore", "minmax"),
                                    lambda text: text.replace('"version": 1', '"version": 99'), lambda text: "[]",
                                    lambda text: text.replace('"spacing"', '"space"'),
                                    lambda text: text.replace('"zscore"', '"ct"')])
def test_a_damaged_plan_is_refused(damage):
    with pytest.raises(DataError, match="plan|Plan"):
        Plan.from_json(damage(Plan((1.0, 1.0, 1.0), ZSCORE, LABELS).to_json()))


def spoil(array):
    array[0, 0, 0, 0] = np.nan


@pytest.mark.parametrize("edit, message", [(spoil, "1 voxels are NaN"),
                                           (lambda array: array.fill(0), "every voxel is 0")])
def test_a_scan_that_cannot_be_preprocessed_is_named(tmp_path, edit, message):
    task = load_task(write_task(tmp_path))
    change(task.cases[0].images[0], edit)
    with pytest.raises(DataError, match=rf"case_0\.nii\.gz: {message}"):
        preprocess_image(read_image(task.cases[0].images), Plan((1.0, 1.0, 1.0), ZSCORE, LABELS))


def test_a_scan_with_other_channels_is_refused(tmp_path):
    task = load_task(write_task(tmp_path))
    with pytest.raises(DataError, match=r"case_0\.nii\.gz: expected 1 channels \(T1\), found 2"):
        preprocess_image(read_image(task.cases[0].images), Plan((1.0, 1.0, 1.0), ZSCORE[:1], LABELS))
