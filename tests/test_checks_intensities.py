"""Padding that takes all contrast, and cases in other units than the rest."""

import numpy as np
import pytest
from small_task import change, write_task

from scnas_keras.checks.intensities import apart, padding
from scnas_keras.errors import DataError
from scnas_keras.preprocessing.cache import prepare
from scnas_keras.preprocessing.plan import Normalization, PreprocessingPlan
from scnas_keras.tasks.loading import load_task
from scnas_keras.verify.dataset import verify_task

TISSUE = np.random.default_rng(0).normal(500, 100, (20, 20, 20)).astype(np.float32)


def padded(value, slices=4, tissue=TISSUE):
    array = tissue.copy()
    array[:slices] = value
    return array


@pytest.mark.parametrize("value", [1e30, -3.4e38, -32768, 65535.0 * 2])
@pytest.mark.parametrize("slices", [1, 4, 15])
def test_padding_far_from_all_others_is_found(value, slices):
    assert f"{slices * 400} voxels ({slices / 20:.1%}) are {value:.4g}; all others lie in" in padding(padded(value, slices))


def test_one_voxel_is_enough():
    array = TISSUE.copy()
    array[3, 4, 5] = 1e30
    assert "1 voxels (0.0%) are 1e+30" in padding(array)


@pytest.mark.parametrize("extremes", [np.linspace(60_000, 65_535, 10), [-32_768] * 10 + [32_767] * 10])
def test_a_few_voxels_of_several_extremes_are_found(extremes):
    array = np.random.default_rng(0).uniform(60, 200, (24, 24, 24)).astype(np.float32)
    array.reshape(-1)[: len(extremes)] = extremes
    assert "99% of them lie in 6" in padding(array)


@pytest.mark.parametrize("values", [(-9999, 32767), (-9999, -5000), (-9999, -5000, 32767), (4e4, 6e4)])
def test_padding_of_several_values_is_found(values):
    array = TISSUE.copy()
    for i, value in enumerate(values):
        array[2 * i : 2 * i + 2] = value
    assert "of them lie in" in padding(array)


def test_interpolated_padding_is_found():
    array = padded(1e30)
    array[4] = np.linspace(1e3, 1e30, 400).reshape(20, 20)
    assert "values reach 1e+30; three quarters of them are below" in padding(array)


@pytest.mark.parametrize(
    "array",
    [
        TISSUE,
        padded(0),
        padded(0, tissue=TISSUE + 1e6),
        padded(-1024),
        padded(-3024, tissue=4 * TISSUE - 1000),
        np.round(TISSUE / 1000) * 255,
        np.where(TISSUE > 700, 100 * TISSUE, TISSUE / 100),  # bright spots over noise
        np.abs(np.random.default_rng(0).standard_cauchy((20, 20, 20))),
        np.zeros((4, 4, 4)),
    ],
)
def test_what_scans_hold_is_no_padding(array):
    assert padding(np.asarray(array, np.float32)) is None


def cases(*spans):
    return {f"c{number}": ((float(low), float(high)),) for number, (low, high) in enumerate(spans)}


@pytest.mark.parametrize(
    "channel, spans, found",
    [
        ("CT", [(-1000, 900), (24, 1924), (-990, 1200), (30, 2000)], ("c1", "c3")),
        ("CT", [(-1000, 900)] * 5 + [(24, 1924)], ("c5",)),
        ("CT", [(24, 1924)] * 5 + [(-1000, 900)], ("c5",)),
        ("CT", [(-1000, 900)] * 3 + [(0, 1)], ("c3",)),
        ("CT", [(-1000, 900), (-150, 800), (-1024, 1500), (-100, 300)], None),  # crops without air
        ("noNorm", [(0, 1), (0, 1.5), (0, 255)], ("c2",)),
        ("noNorm", [(0, 1), (0, 1.5), (0, 8)], None),
        ("T1", [(0, 500), (0, 4000), (0, 20_000)], None),  # each is normalised by itself
        ("noNorm", [(0, 0), (0, 1)], None),
        ("CT", [(-1000, 900)], None),
        ("CT", [], None),
    ],
)
def test_cases_are_compared_with_each_other(channel, spans, found):
    groups = apart((channel,), cases(*spans))
    assert [group.cases for group in groups] == ([] if found is None else [found])


def test_what_sets_them_apart_is_told():
    (group,) = apart(("T1", "CT"), {name: ((0, 1), span[0]) for name, span in cases((-1000, 900), (24, 1924), (-900, 1000)).items()})
    assert (group.channel, group.cases) == (1, ("c1",))
    assert group.text == "channel 1 (CT) goes from 24 to 1924 in 1 of 3 cases, in the others from -1000 to 1000"


def test_verification_tells_both(tmp_path):
    folder = write_task(tmp_path, num_cases=6, channels=("CT", "MR"))
    clean = verify_task(load_task(folder), processes=1, progress=False)
    assert clean.findings == ()
    for number in (1, 3, 5):
        change(folder / f"imagesTr/case_{number}.nii.gz", lambda array: array[..., 0].__iadd__(1024))
    change(folder / "imagesTr/case_0.nii.gz", lambda array: array[0, :, :, 1].fill(1e30))
    found = verify_task(load_task(folder), processes=1, progress=False).findings
    told = [(finding.key, finding.case) for finding in found if "channel 1" not in finding.detail or finding.key == "padding"]
    assert told == [("padding", "case_0"), *(("intensities", f"case_{number}") for number in (1, 3, 5))]


def test_padding_of_ct_is_clipped_and_other_padding_refused(tmp_path):
    task = load_task(write_task(tmp_path / "task", channels=("CT", "MR")))
    schemes = Normalization("CT", "ct", low=0, high=100, mean=50, std=20), Normalization("MR", "zscore")
    plan = PreprocessingPlan((1.5, 1, 1), schemes, task.labels, (2, 0, 1))
    change(task.cases[0].images[0], lambda array: array[0, ..., 0].fill(-3.4e38))
    image = prepare(task, plan, tmp_path / "cache", processes=1)[0].image()
    assert image[..., 0].min() == -2.5 and np.ptp(image[..., 0]) > 4
    change(task.cases[0].images[0], lambda array: array[0, ..., 1].fill(-3.4e38))
    with pytest.raises(DataError, match=r"case_0.nii.gz: channel 1 \(MR\): 80 voxels .* are -3.4e\+38; all others lie in.*Set them to 0"):
        prepare(task, plan, tmp_path / "cache", processes=1)
