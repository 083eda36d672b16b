"""The fingerprint of a small task, against numpy."""

import dataclasses

import numpy as np
import pytest
from small_task import change, write_json, write_task

from scnas_keras.errors import DataError, OutputError
from scnas_keras.formats.volumes import read_image
from scnas_keras.preprocessing import measure
from scnas_keras.preprocessing.measure import measure_task
from scnas_keras.preprocessing.sketch import RELATIVE_ERROR
from scnas_keras.tasks.loading import load_image, load_label, load_task
from scnas_keras.verify.dataset import verify_task


@pytest.fixture
def task(tmp_path):
    return load_task(write_task(tmp_path / "task", num_cases=4, shape=(12, 10, 8), spacing=(0.5, 1.0, 3.0)))


def measured(task, tmp_path, processes=1):
    return measure_task(task, tmp_path / "cache", processes, progress=False)


def test_the_fingerprint_is_that_of_the_voxels(task, tmp_path):
    found = measured(task, tmp_path)
    assert found.cases == tuple(case.name for case in task.cases) and found.num_training == 4
    assert found.spacings == ((0.5, 1.0, 3.0),) * 4 and found.shapes == ((10, 8, 6),) * 4  # the margin of air is cropped
    assert found.relative_size == pytest.approx(10 * 8 * 6 / (12 * 10 * 8))
    assert found.labels == {"background": 0, "left": 1, "right": 2}
    for channel, intensities in enumerate(found.intensities):
        values = np.concatenate([read_image(case.images).array[load_label(task, case) > 0, channel] for case in task.cases])
        quantiles = (intensities.percentile_00_5, intensities.median, intensities.percentile_99_5)
        # A share that falls between two of the values allows either.
        below, above = (np.percentile(values, (0.5, 50, 99.5), method=method) for method in ("lower", "higher"))
        assert (quantiles >= below * (1 - RELATIVE_ERROR)).all() and (quantiles <= above * (1 + RELATIVE_ERROR)).all()
        exact = (values.min(), values.max(), values.mean(dtype=np.float64), values.std(dtype=np.float64))
        np.testing.assert_allclose((intensities.min, intensities.max, intensities.mean, intensities.std), exact, rtol=1e-6)


def test_clipping_goes_from_half_a_percent_to_all_but_half_a_percent(task, tmp_path):
    """Of 1 to 960, a voxel each, and ten times as much in another channel: 4.8 of 960 values are below 5, and 4.8 above 956."""
    values = np.arange(1, 961, dtype=np.float32).reshape(12, 10, 8)
    for case in task.cases:
        change(case.images[0], lambda array: np.copyto(array, np.stack([values, 10 * values], -1)))
        change(case.label, lambda array: array.fill(1))
    for scale, found in zip((1, 10), measured(task, tmp_path).intensities, strict=True):
        limits = (found.percentile_00_5, found.percentile_99_5)
        np.testing.assert_allclose(limits, (5 * scale, 956 * scale), rtol=RELATIVE_ERROR)


def test_large_structures_count_as_much_as_small_ones(task, tmp_path):
    """A case of ones with 960 labelled voxels beside three of 54 sevens."""
    for case, value in zip(task.cases, (1, 7, 7, 7), strict=True):
        change(case.images[0], lambda array, value=value: array[..., 0].fill(value))
    change(task.cases[0].label, lambda array: array.fill(1))
    found = measured(task, tmp_path).intensities[0]
    assert (found.mean, found.std) == (pytest.approx((1 + 3 * 7) / 4), pytest.approx(6 * (3 / 16) ** 0.5))


def test_what_a_crop_leaves_is_the_median_of_the_cases(task, tmp_path):
    for case, last in zip(task.cases, (3, 3, 6, 11), strict=True):
        change(case.images[0], lambda array, last=last: array[last:].fill(0))
    assert measured(task, tmp_path).relative_size == pytest.approx((2 + 5) / 2 * 8 * 6 / (12 * 10 * 8))


def test_it_is_the_same_from_several_processes_and_only_changed_cases_are_read_again(task, tmp_path, monkeypatch):
    first = measured(task, tmp_path)
    assert measure_task(task, tmp_path / "other", 2, progress=False) == first
    read = []
    monkeypatch.setattr(measure, "load_image", lambda task, case: read.append(case.images[0].name) or load_image(task, case))
    assert measured(task, tmp_path) == first and not read
    change(task.cases[2].images[0], lambda array: np.multiply(array, 2, out=array))
    assert measured(task, tmp_path).intensities[0].max > first.intensities[0].max
    assert read == ["case_2.nii.gz"]


def test_voxels_to_ignore_do_not_count(task, tmp_path):
    plain = measured(task, tmp_path)
    ignoring = dataclasses.replace(task, labels={0: "background", 1: "left"}, ignore_label=2)
    found = measured(ignoring, tmp_path)  # from the same cache
    assert found.labels == {"background": 0, "left": 1, "ignore": 2}
    values = np.concatenate([read_image(case.images).array[load_label(task, case) == 1, 0] for case in task.cases])
    assert found.intensities[0].max == pytest.approx(values.max()) and found.intensities[0].mean != plain.intensities[0].mean


@pytest.mark.parametrize(
    "value, told",
    [
        (1e30, r"channel 0 \(T1\): 80 voxels .* are 1e\+30; all others lie in.*Set them to 0"),
        (-3.4e38, r"channel 0 \(T1\): 80 voxels .* are -3.4e\+38"),
        (np.nan, r"channel 0 \(T1\) has 80 voxels that are NaN or infinite"),
    ],
)
def test_a_plan_needs_voxels_that_can_be_trained_on(value, told, task, tmp_path):
    """What `verify` refuses is refused before a training run has measured all scans, and before `plan` plans for them."""
    other = dataclasses.replace(task, channel_names=("CT", "T2"))
    change(task.cases[0].images[0], lambda array: array[0, ..., 0].fill(value))
    if np.isfinite(value):
        measured(other, tmp_path)  # of CT it is clipped
    with pytest.raises(DataError, match=rf"case_0\.nii\.gz: {told}"):
        measured(task, tmp_path)


def test_a_cache_that_can_not_be_written_is_refused(task, tmp_path):
    (tmp_path / "cache").write_text("")
    with pytest.raises(OutputError, match="--cache_dir=.*cache can't be written"):
        measured(task, tmp_path)


def test_a_task_without_labelled_voxels_and_one_of_other_shapes_are_refused(task, tmp_path):
    for case in task.cases:
        change(case.label, lambda array: np.multiply(array, 0, out=array))
    with pytest.raises(DataError, match="no case has a labelled voxel.*T1.*scnas verify"):
        measured(task, tmp_path)
    write_json(task.root, ["case_0"], channels=("T1",))
    with pytest.raises(DataError, match=r"case_0.*dataset.json declares 1 channel\."):
        measured(load_task(task.root), tmp_path / "new")


def test_labelled_voxels_of_ct_that_are_no_hounsfield_units_are_refused(task, tmp_path):
    """They would scale all scans; where nothing is labelled they are clipped."""
    write_json(task.root, [case.name for case in task.cases], ("CT", "CT"))
    task = load_task(task.root)
    change(task.cases[1].images[0], lambda array: array.__setitem__((0, 0, 0, 0), 1e30))
    measured(task, tmp_path)
    place = tuple(np.argwhere(load_label(task, task.cases[1]) > 0)[0])
    change(task.cases[1].images[0], lambda array: array.__setitem__((*place, 0), -1e30))
    for refuse in (lambda: measured(task, tmp_path), lambda: check(task)):
        with pytest.raises(DataError, match=r"case_1.*channel 0 \(.*\): 1 labelled voxels are beyond 100000 HU, up to -1e\+30"):
            refuse()


def test_other_declared_labels_are_other_measures(task, tmp_path):
    measured(task, tmp_path)
    write_json(task.root, [case.name for case in task.cases], labels={"0": "background", "1": "left"})
    with pytest.raises(DataError, match="2 .*declared are 0, 1"):
        measured(load_task(task.root), tmp_path)


def check(task):
    found = verify_task(task, processes=1, progress=False).findings
    raise DataError("; ".join(finding.text(task.root) for finding in found))
