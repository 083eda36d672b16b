import json

import nibabel as nib
import numpy as np
import pytest
from row_by_row import resize_argmax, restore_probabilities
from small_task import REAL_DATA, change, save, write_task

from scnas_keras.documents import Misfit
from scnas_keras.errors import DataError
from scnas_keras.formats.volumes import read_image, read_label, write_label
from scnas_keras.preprocessing.cropping import crop_to_nonzero
from scnas_keras.preprocessing.plan import Denoising, Normalization, PreprocessingPlan, Resampling
from scnas_keras.preprocessing.resampling import resize, resize_label
from scnas_keras.preprocessing.scans import preprocess_image, preprocess_label
from scnas_keras.tasks.loading import load_task

LABELS = {0: "background", 1: "left", 2: "right"}
ZSCORE = (Normalization("T1", "zscore"), Normalization("T2", "zscore"))
MASKED = (Normalization("T1", "zscore", use_mask=True), Normalization("T2", "zscore"))
TRANSPOSES = [(0, 1, 2), (2, 0, 1), (1, 2, 0)]


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


def in_plan_axes(values, transpose):
    return tuple(values[axis] for axis in transpose)


def read_small(tmp_path, label, spacing):
    image = np.zeros((*label.shape, 2), np.float32)
    image[2:-3, 1:-2, 3:] = np.random.default_rng(0).uniform(1, 2, (*label[2:-3, 1:-2, 3:].shape, 2))
    affine = np.diag([-spacing[0], -spacing[1], spacing[2], 1.0])
    save(tmp_path / "image.nii.gz", image, affine)
    save(tmp_path / "label.nii.gz", label, affine)
    return read_image(tmp_path / "image.nii.gz"), *read_label(tmp_path / "label.nii.gz")


@pytest.mark.parametrize("transpose", TRANSPOSES)
@pytest.mark.parametrize("target, least", [((1.0, 1.0, 1.5), 1.0), ((0.6, 0.6, 0.6), 0.99)])
def test_a_label_survives_preprocessing_and_restoring(tmp_path, target, least, transpose):
    volume, label, geometry = read_small(tmp_path, balls(), (1.0, 1.0, 1.5))
    plan = PreprocessingPlan(in_plan_axes(target, transpose), ZSCORE, LABELS, transpose)
    image, crop, _ = preprocess_image(volume, plan)
    prepared = preprocess_label(label, crop, plan)
    restored = restore_probabilities((one_hot(prepared)), crop, plan)
    assert prepared.shape == image.shape[:3]
    for value in (1, 2):
        assert dice(restored == value, label == value) >= least
    write_label(tmp_path / "out.nii.gz", restored, geometry)
    written, original = nib.load(tmp_path / "out.nii.gz"), nib.load(tmp_path / "label.nii.gz")
    np.testing.assert_array_equal(written.affine, original.affine)
    assert dice(np.asarray(written.dataobj) > 0, np.asarray(original.dataobj) > 0) >= least


@pytest.mark.skipif(not (REAL_DATA / "Task04_Hippocampus").is_dir(), reason="the Hippocampus task isn't here")
@pytest.mark.parametrize("spacing, least", [(1.0, 1.0), (0.5, 0.99)])
def test_real_labels_survive_preprocessing_and_restoring(spacing, least):
    task = load_task(REAL_DATA / "Task04_Hippocampus")
    plan = PreprocessingPlan((spacing,) * 3, ZSCORE[:1], task.labels, (2, 0, 1))
    for case in task.cases[:3]:
        volume, (label, _) = read_image(case.images), read_label(case.label)
        _, crop, _ = preprocess_image(volume, plan)
        restored = restore_probabilities((one_hot(preprocess_label(label, crop, plan))), crop, plan)
        for value in (1, 2):
            assert dice(restored == value, label == value) >= least


@pytest.mark.parametrize("transpose", TRANSPOSES)
def test_the_plans_axes_are_the_canonical_ones_in_its_order(tmp_path, transpose):
    volume, label, _ = read_small(tmp_path, balls(), (1.0, 1.0, 1.5))
    canonical = PreprocessingPlan((0.8, 1.0, 1.2), ZSCORE, LABELS)
    plan = PreprocessingPlan(in_plan_axes((0.8, 1.0, 1.2), transpose), ZSCORE, LABELS, transpose)
    expected, crop, _ = preprocess_image(volume, canonical)
    image, same_crop, _ = preprocess_image(volume, plan)
    assert same_crop == crop
    np.testing.assert_allclose(image, expected.transpose(*transpose, 3), atol=1e-5)
    turned = preprocess_label(label, crop, canonical).transpose(transpose)
    np.testing.assert_array_equal(preprocess_label(label, crop, plan), turned)


def test_scans_are_normalised_before_they_are_resampled(tmp_path):
    volume, *_ = read_small(tmp_path, balls(), (1.0, 1.0, 1.5))
    image, crop, outside = preprocess_image(volume, PreprocessingPlan((0.7, 1.0, 1.0), ZSCORE, LABELS))
    raw = volume.array[crop.slices].astype(float)
    normalised = (raw - raw.mean(axis=(0, 1, 2))) / raw.std(axis=(0, 1, 2))
    for channel in range(2):
        expected = resize(normalised[..., channel], image.shape[:3], (3, 3, 3))
        np.testing.assert_allclose(image[..., channel], expected, atol=1e-4)
    assert image.dtype == np.float32 and outside is None


def test_scnas_normalises_what_was_resampled(tmp_path):
    volume, *_ = read_small(tmp_path, balls(), (1.0, 1.0, 1.5))
    channels = Normalization("T1", "zscore_resampled", use_mask=True), Normalization("T2", "zscore_resampled")
    image, crop, outside = preprocess_image(volume, PreprocessingPlan((0.7, 1.0, 1.0), channels, LABELS))
    raw = volume.array[crop.slices].astype(float)
    for channel, inside in enumerate((~outside, np.ones_like(outside))):
        resized = resize(raw[..., channel], image.shape[:3], (3, 3, 3)).astype(float)
        known = resized[inside]
        np.testing.assert_allclose(image[inside, channel], (known - known.mean()) / known.std(), atol=1e-4)
    assert not image[outside, 0].any()
    early = preprocess_image(volume, PreprocessingPlan((0.7, 1.0, 1.0), ZSCORE, LABELS)).image
    assert abs(image[..., 1].std() - 1) < 1e-4 < abs(early[..., 1].std() - 1)  # the spline's smoothing isn't undone there


def test_images_labels_and_probabilities_have_orders_of_their_own(tmp_path):
    volume, label, _ = read_small(tmp_path, np.random.default_rng(1).integers(0, 3, (20, 18, 16), np.uint8), (1.0, 1.0, 1.0))
    plan = PreprocessingPlan((0.7, 0.8, 0.9), (Normalization("T1", "none"),) * 2, LABELS, resampling=Resampling(3, 1, 0))
    image, crop, _ = preprocess_image(volume, plan)
    probabilities = np.random.default_rng(2).random((*image.shape[:3], 3)).astype(np.float32)
    found = image[..., 0], preprocess_label(label, crop, plan), restore_probabilities((probabilities), crop, plan)[crop.slices]
    inputs = volume.array[(*crop.slices, 0)], label[crop.slices], probabilities
    for ours, given, function, own in zip(found, inputs, (resize, resize_label, resize_argmax), (3, 1, 0)):
        for order in (0, 1, 3):
            same = np.allclose(ours, function(given, ours.shape, (order,) * 3), atol=1e-5)
            assert same == (order == own), (function.__name__, order)


def test_a_scan_is_left_as_it_was(tmp_path):
    volume, *_ = read_small(tmp_path, balls(), (1.0, 1.0, 1.5))
    before = volume.array.copy()
    preprocess_image(volume, PreprocessingPlan((1.0, 1.0, 1.5), MASKED, LABELS))
    np.testing.assert_array_equal(volume.array, before)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.5), (0.7, 0.8, 1.0)])
def test_channels_that_use_the_mask_are_zero_outside(tmp_path, spacing):
    values = np.random.default_rng(0).normal(100, 5, (12, 12, 12, 2)).astype(np.float32)
    values[:6, :6] = 0
    values[8, 8, 8] = 0  # a hole counts as inside
    save(tmp_path / "image.nii.gz", values)
    plan = PreprocessingPlan(spacing, MASKED, LABELS)
    image, _, outside = preprocess_image(read_image(tmp_path / "image.nii.gz"), plan)
    assert outside.shape == image.shape[:3] and outside.dtype == bool
    assert outside.mean() == pytest.approx(0.25, abs=0.05)
    assert not image[outside, 0].any()
    assert image[outside, 1].all()
    if image.shape[:3] == (12, 12, 12):
        known = values[~outside, 0].astype(float)
        np.testing.assert_allclose(image[~outside, 0], (known - known.mean()) / known.std(), atol=1e-5)
        np.testing.assert_array_equal(outside, np.pad(np.ones((6, 6, 12), bool), ((0, 6), (0, 6), (0, 0))))


def test_thick_slices_are_resampled_in_their_plane_first(tmp_path):
    """Every slice of the result is one slice of the scan, resized in the plane."""
    volume, label, _ = read_small(tmp_path, balls(), (1.0, 1.0, 4.0))
    plan = PreprocessingPlan((2.0, 0.6, 0.6), (Normalization("T1", "none"),) * 2, LABELS, (2, 0, 1))
    image, crop, _ = preprocess_image(volume, plan)
    scan = volume.array[crop.slices].transpose(2, 0, 1, 3)
    assert image.shape[0] == 2 * scan.shape[0]
    for index in range(len(image)):
        expected = resize(scan[index // 2, ..., 1][None], (1, *image.shape[1:3]), (3, 3, 3))[0]
        np.testing.assert_allclose(image[index, ..., 1], expected, atol=1e-5)
    prepared = preprocess_label(label, crop, plan)
    np.testing.assert_array_equal(prepared[::2], prepared[1::2])
    restored = restore_probabilities((one_hot(prepared)), crop, plan)
    assert dice(restored == 1, label == 1) > 0.99


def test_pictures_keep_their_single_slice(tmp_path):
    """A 2D picture is a volume of one slice, 999 mm thick; its network's plan leaves slices alone."""
    array = np.random.default_rng(0).integers(1, 255, (30, 20, 1, 3)).astype(np.float32)
    colours = tuple(Normalization(name, "rgb_to_0_1") for name in "RGB")
    plan = PreprocessingPlan((None, 1.0, 1.0), colours, LABELS, (2, 0, 1))
    save(tmp_path / "picture.nii.gz", array, np.diag([1.0, 1.0, 999.0, 1.0]))
    volume = read_image(tmp_path / "picture.nii.gz")
    image, *_ = preprocess_image(volume, plan)
    np.testing.assert_allclose(image, array.transpose(2, 0, 1, 3) / 255, rtol=1e-6)
    finer = PreprocessingPlan((None, 0.5, 0.5), colours, LABELS, (2, 0, 1))
    image, crop, _ = preprocess_image(volume, finer)
    assert image.shape == (1, 60, 40, 3)
    label = np.zeros((30, 20, 1), np.uint8)
    label[5:20, 5:12] = 2
    prepared = preprocess_label(label, crop, finer)
    assert prepared.shape == (1, 60, 40)
    np.testing.assert_array_equal(restore_probabilities((one_hot(prepared)), crop, finer), label)


@pytest.mark.parametrize("size", [(31, 17), (60, 45), (2000, 9), (1, 1)])
def test_whole_slices_are_brought_to_one_size_and_back(size, tmp_path):
    """Whatever their spacing and their empty borders; 1999 pixels aren't 2000, although within a thousandth."""
    colours = tuple(Normalization(name, "rgb_to_0_1") for name in "RGB")
    plan = PreprocessingPlan((None, 1.0, 1.0), colours, LABELS, (2, 0, 1), slice_size=(2000, 9))
    array = np.zeros((*size, 1, 3), np.float32)
    array[size[0] // 3 :, :] = np.random.default_rng(0).integers(1, 255, (size[0] - size[0] // 3, size[1], 1, 3))
    save(tmp_path / "picture.nii.gz", array, np.diag([0.3, 1.7, 999.0, 1.0]))
    volume = read_image(tmp_path / "picture.nii.gz")
    image, crop, _ = preprocess_image(volume, plan)
    assert image.shape == (1, 2000, 9, 3) and crop.size == (*size, 1)
    expected = [resize(array[..., channel].transpose(2, 0, 1) / 255, (1, 2000, 9), (0, 3, 3)) for channel in range(3)]
    np.testing.assert_allclose(image, np.stack(expected, -1), atol=1e-6)
    label = np.zeros((*size, 1), np.uint8)
    label[size[0] // 2 :] = 2
    prepared = preprocess_label(label, crop, plan)
    assert prepared.shape == (1, 2000, 9)
    restored = restore_probabilities(one_hot(prepared), crop, plan)
    assert restored.shape == label.shape
    if size[1] <= 9:
        np.testing.assert_array_equal(restored, label)
    narrow = PreprocessingPlan((None, 1.0, 1.0), colours, LABELS, (2, 0, 1), slice_size=(1999, 9))
    assert preprocess_image(volume, narrow).image.shape == (1, 1999, 9, 3)


def test_slices_of_a_scan_are_brought_to_one_size_and_keep_their_number(tmp_path):
    volume, label, _ = read_small(tmp_path, balls(), (1.0, 1.0, 2.5))
    plan = PreprocessingPlan((None, 1.0, 1.0), ZSCORE, LABELS, (2, 0, 1), slice_size=(64, 48))
    image, crop, _ = preprocess_image(volume, plan)
    assert image.shape == (32, 64, 48, 2) and crop.size == label.shape
    restored = restore_probabilities(one_hot(preprocess_label(label, crop, plan)), crop, plan)
    for value in (1, 2):
        assert dice(restored == value, label == value) > 0.97


def test_volumes_are_not_brought_to_a_size():
    with pytest.raises(Misfit, match=r"slice_size: found \[64, 64\], expected none, as spacing resamples slices"):
        PreprocessingPlan((1.0, 1.0, 1.0), ZSCORE, LABELS, slice_size=(64, 64))


def test_a_plan_without_new_steps_is_written_as_before():
    """What the cache and runs were begun with stays."""
    plain = PreprocessingPlan((1.0, 1.0, 1.0), ZSCORE, LABELS)
    assert "slice_size" not in plain.to_json() + repr(plain) and "denoising" not in plain.to_json() + repr(plain)
    steps = PreprocessingPlan((None, 1.0, 1.0), ZSCORE, LABELS, slice_size=(64, 48), denoising=Denoising())
    assert json.loads(steps.to_json())["slice_size"] == [64, 48] and json.loads(steps.to_json())["denoising"]["iterations"] == 5


def test_every_value_of_a_label_survives(tmp_path):
    volume, label, _ = read_small(tmp_path, balls(), (1.0, 1.0, 1.5))
    plan = PreprocessingPlan((0.7, 0.9, 1.0), ZSCORE, LABELS)
    crop = preprocess_image(volume, plan).crop
    labels = np.choose(label, [0, 254, 3]).astype(np.int32)
    prepared = preprocess_label(labels, crop, plan)
    assert set(np.unique(prepared)) == {0, 3, 254}
    np.testing.assert_array_equal(prepared, np.choose(preprocess_label(label, crop, plan), [0, 254, 3]))


def test_the_crop_is_the_box_of_voxels_that_any_channel_has():
    array = np.zeros((10, 9, 8, 2), np.float32)
    array[2, 3, 4, 0] = array[6, 3, 5, 1] = -1
    crop = crop_to_nonzero(array, (1.0, 2.0, 3.0))
    assert (crop.start, crop.stop, crop.size, crop.spacing) == ((2, 3, 4), (7, 4, 6), (5, 1, 2), (1.0, 2.0, 3.0))


def test_what_was_cropped_away_is_restored_as_background():
    array = np.zeros((10, 9, 8, 1), np.float32)
    array[2:5, 3:6, 4:7] = 1
    crop = crop_to_nonzero(array, (1.0, 1.0, 1.0))
    plan = PreprocessingPlan((0.6, 0.6, 0.6), ZSCORE[:1], LABELS)
    restored = restore_probabilities((one_hot(np.full((5, 5, 5), 2))), crop, plan)
    assert restored.shape == (10, 9, 8)
    assert restored.sum() == 2 * restored[2:5, 3:6, 4:7].size == 2 * np.count_nonzero(restored)


def spoil(array):
    array[0, 0, 0, 0] = np.nan


@pytest.mark.parametrize("edit, message", [(spoil, "1 voxels are NaN"), (lambda array: array.fill(0), "every voxel is 0")])
def test_a_scan_that_cannot_be_preprocessed_is_named(tmp_path, edit, message):
    task = load_task(write_task(tmp_path))
    change(task.cases[0].images[0], edit)
    with pytest.raises(DataError, match=rf"case_0\.nii\.gz: {message}"):
        preprocess_image(read_image(task.cases[0].images), PreprocessingPlan((1.0, 1.0, 1.0), ZSCORE, LABELS))


def test_a_scan_that_is_no_picture_is_named(tmp_path):
    task = load_task(write_task(tmp_path))
    change(task.cases[0].images[0], lambda array: np.multiply(array, 9, out=array))
    plan = PreprocessingPlan((1.0, 1.0, 1.0), (Normalization("R", "rgb_to_0_1"),) * 2, LABELS)
    with pytest.raises(DataError, match=r"case_0\.nii\.gz: channel R holds values from 9[0-9.]+ to 89"):
        preprocess_image(read_image(task.cases[0].images), plan)


def test_a_scan_with_other_channels_is_refused(tmp_path):
    task = load_task(write_task(tmp_path))
    with pytest.raises(DataError, match=r"case_0\.nii\.gz: expected 1 channel \(T1\), found 2"):
        preprocess_image(read_image(task.cases[0].images), PreprocessingPlan((1.0, 1.0, 1.0), ZSCORE[:1], LABELS))
