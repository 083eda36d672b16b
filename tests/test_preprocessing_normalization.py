import numpy as np
import pytest

from scnas_keras.checks import ranges
from scnas_keras.documents import Misfit
from scnas_keras.errors import DataError
from scnas_keras.preprocessing.cropping import nonzero_mask
from scnas_keras.preprocessing.normalization import mean_and_std, normalize
from scnas_keras.preprocessing.plan import Normalization


def values(low=50.0, high=150.0, shape=(9, 8, 7)):
    return np.random.default_rng(0).uniform(low, high, shape).astype(np.float32)


@pytest.fixture(autouse=True, params=[2**20, 100])
def slab(request, monkeypatch):
    monkeypatch.setattr(ranges, "_SLAB_VOXELS", request.param)


def test_zscore_is_over_all_voxels_of_the_crop():
    array = values()
    array[:4, :4] = 0
    result = normalize(array, Normalization("T1", "zscore"))
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, (array - array.mean(dtype=float)) / array.std(dtype=float), atol=1e-6)


def test_zscore_with_mask_is_over_the_mask_and_zero_outside():
    array = values()
    inside = np.ones(array.shape, bool)
    inside[:3] = False
    array[:3] = 0
    result = normalize(array, Normalization("T1", "zscore", use_mask=True), inside)
    known = array[3:].astype(float)
    np.testing.assert_allclose(result[3:], (known - known.mean()) / known.std(), atol=1e-6)
    assert not result[:3].any()


def test_only_channels_that_ask_for_it_use_the_mask():
    array, inside = values(), np.zeros((9, 8, 7), bool)
    np.testing.assert_array_equal(normalize(array, Normalization("T1", "zscore"), inside), normalize(array, Normalization("T1", "zscore")))


def test_ct_is_clipped_and_scaled_by_the_plan():
    array = values(-1000, 1000)
    result = normalize(array, Normalization("CT", "ct", low=-100.0, high=300.0, mean=50.0, std=80.0))
    np.testing.assert_allclose(result, (np.clip(array, -100, 300) - 50) / 80, atol=1e-6)
    assert (result.min(), result.max()) == (-1.875, 3.125)


def test_rescaling_goes_from_0_to_1():
    array = values()
    result = normalize(array, Normalization("T1", "rescale_to_0_1"))
    np.testing.assert_allclose(result, (array - array.min()) / (array.max() - array.min()), atol=1e-6)
    assert (result.min(), result.max()) == (0, 1)


def test_colours_are_divided_by_255():
    array = np.array([0, 51, 255], np.float32).reshape(3, 1, 1)
    np.testing.assert_allclose(normalize(array, Normalization("R", "rgb_to_0_1")).ravel(), [0, 0.2, 1], rtol=1e-6)


@pytest.mark.parametrize("low, high", [(-1, 200), (0, 256)])
def test_other_values_are_no_colours(low, high):
    array = np.array([low, high], np.float32).reshape(2, 1, 1)
    with pytest.raises(DataError, match=f"channel R holds values from {low} to {high}.*0 to 255"):
        normalize(array, Normalization("R", "rgb_to_0_1"))


def test_none_copies():
    array = values()
    result = normalize(array, Normalization("T1", "none"))
    np.testing.assert_array_equal(result, array)
    assert not np.shares_memory(result, array)


@pytest.mark.parametrize("scheme", ["zscore", "rescale_to_0_1"])
def test_a_constant_channel_becomes_zero(scheme):
    assert not normalize(np.full((4, 4, 4), 7, np.float32), Normalization("T1", scheme)).any()


def test_statistics_are_in_float64():
    array = np.full((64, 64, 64), 1e4, np.float32)
    array[::2] += 1
    assert mean_and_std(array) == pytest.approx((10000.5, 0.5), rel=1e-12)


def test_the_mask_is_what_any_channel_has_with_its_holes_filled():
    array = np.zeros((9, 9, 9, 2), np.float32)
    array[2:7, 2:7, 2:7, 0] = 1
    array[4, 4, 4, 0] = 0  # a hole
    array[0, 0, 0, 1] = -1
    expected = np.zeros((9, 9, 9), bool)
    expected[2:7, 2:7, 2:7] = expected[0, 0, 0] = True
    np.testing.assert_array_equal(nonzero_mask(array), expected)
    array[4, 4, 2:4, 0] = 0  # a way out
    assert not nonzero_mask(array)[4, 4, 2:5].any()


def test_fixed_numbers_follow_the_scans_own_range():
    """Auto-LW-MISN (Zhang et al. 2022, section 3.2): 0 to 1, minus 0.3667, over 0.3533."""
    fixed = Normalization("CT", "fixed", mean=0.3667, std=0.3533)
    array = np.array([-1000, 0, 1000], np.float32).reshape(3, 1, 1)
    np.testing.assert_allclose(normalize(array, fixed).ravel(), [-0.3667 / 0.3533, 0.1333 / 0.3533, 0.6333 / 0.3533], rtol=1e-5)
    np.testing.assert_allclose(normalize(3 * array + 7, fixed), normalize(array, fixed), atol=1e-6)
    np.testing.assert_allclose(normalize(np.full((2, 2, 2), 5, np.float32), fixed), -0.3667 / 0.3533, rtol=1e-5)


@pytest.mark.parametrize(
    "numbers, words", [({"mean": 0.5}, "std: found null"), ({"mean": 0.5, "std": 0.0}, "std: found 0.0, expected a number above 0")]
)
def test_fixed_numbers_must_be_there(numbers, words):
    with pytest.raises(Misfit, match=words):
        Normalization("CT", "fixed", **numbers)
