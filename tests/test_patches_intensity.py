import math

import numpy as np
import pytest
from scipy import ndimage

from scnas_keras.patches.intensity import Brightness, Contrast, Gamma, GaussianBlur, GaussianNoise, LowResolution
from scnas_keras.patches.presets import preset

COUNT = 4000


def image_of(shape=(16, 14, 12), channels=2, seed=0):
    """Random intensities, one channel after the other in memory."""
    return np.moveaxis(np.random.default_rng(seed).standard_normal((channels, *shape), np.float32), 0, -1)


def change(transform, image, drawn):
    return transform.change(image.copy(order="K"), drawn, np.random.default_rng(0))


def recorded(transform, monkeypatch, channels=2):
    """The parameters with which `COUNT` calls of `apply` change an image."""
    draws = []
    monkeypatch.setattr(type(transform), "change", lambda self, image, drawn, random: draws.append(drawn) or image)
    for number in range(COUNT):
        transform.apply(np.zeros((1, 1, 1, channels), np.float32), np.random.default_rng((0, number)))
    return draws


def assert_share(found, share, total):
    assert abs(found - share * total) < 5 * math.sqrt(total * share * (1 - share))


TRANSFORMS = {
    type(item).__name__ + ("Inverted" if getattr(item, "inverted", False) else ""): item
    for item in preset("v2", (64, 64, 64), ()).transforms
}


@pytest.mark.parametrize(
    "name, probability",
    [
        ("GaussianNoise", 0.1),
        ("GaussianBlur", 0.2),
        ("Brightness", 0.15),
        ("Contrast", 0.15),
        ("LowResolution", 0.25),
        ("GammaInverted", 0.1),
        ("Gamma", 0.3),
    ],
)
def test_v2_changes_as_many_patches_as_documented(name, probability, monkeypatch):
    assert_share(len(recorded(TRANSFORMS[name], monkeypatch)), probability, COUNT)


@pytest.mark.parametrize(
    "name, low, high", [("Brightness", 0.75, 1.25), ("Contrast", 0.75, 1.25), ("Gamma", 0.7, 1.5), ("GammaInverted", 0.7, 1.5)]
)
def test_half_of_the_factors_are_below_1(name, low, high, monkeypatch):
    factors = np.stack(recorded(TRANSFORMS[name], monkeypatch))
    assert factors.shape[1] == 2 and (factors[:, 0] != factors[:, 1]).all()  # each channel has its own
    assert low <= factors.min() < low + 0.02 and high - 0.02 < factors.max() <= high
    assert_share((factors < 1).sum(), 0.5, factors.size)
    assert_share((factors < (1 + low) / 2).sum(), 0.25, factors.size)
    assert_share((factors > (1 + high) / 2).sum(), 0.25, factors.size)


@pytest.mark.parametrize("name, low, high", [("GaussianBlur", 0.5, 1.0), ("LowResolution", 0.5, 1.0)])
def test_half_of_the_channels_are_blurred_or_coarser(name, low, high, monkeypatch):
    draws = recorded(TRANSFORMS[name], monkeypatch)
    chosen, values = (np.stack(part) for part in zip(*draws))
    assert_share(chosen.sum(), 0.5, chosen.size)
    assert low <= values.min() < low + 0.01 and high - 0.01 < values.max() <= high
    assert_share((values < (low + high) / 2).sum(), 0.5, values.size)


def test_the_noise_has_the_drawn_deviation(monkeypatch):
    stds = np.array(recorded(TRANSFORMS["GaussianNoise"], monkeypatch))
    monkeypatch.undo()
    assert 0 <= stds.min() and stds.max() <= 0.1
    assert_share((stds < 0.05).sum(), 0.5, len(stds))
    noise = change(GaussianNoise(1.0, (0.0, 0.1)), np.zeros((40, 40, 40, 2), np.float32), 0.07)
    # One standard error of a deviation from 64000 voxels is 0.3 %.
    assert noise.std(axis=(0, 1, 2)) == pytest.approx([0.07, 0.07], rel=0.015)
    assert abs(np.corrcoef(noise[..., 0].ravel(), noise[..., 1].ravel())[0, 1]) < 5 / math.sqrt(64000)


def test_blurring_is_a_gaussian_of_the_chosen_channels():
    image = image_of()
    drawn = np.array([False, True]), np.array([[1, 1, 1], [0.5, 0.7, 0.9]])
    result = change(GaussianBlur(1.0, (0.5, 1.0), 0.5), image, drawn)
    np.testing.assert_array_equal(result[..., 0], image[..., 0])
    np.testing.assert_allclose(result[..., 1], ndimage.gaussian_filter(image[..., 1], (0.5, 0.7, 0.9)), atol=1e-6)


def test_brightness_multiplies():
    image = image_of()
    result = change(Brightness(1.0, (0.5, 2.0)), image, np.array([0.5, 2.0]))
    np.testing.assert_allclose(result, image * [0.5, 2.0], rtol=1e-6)


def test_contrast_stretches_around_the_mean_and_keeps_the_range():
    image = np.array([0, 1, 2, 3, 9], np.float32).reshape(5, 1, 1, 1)  # mean 3
    transform = Contrast(1.0, (0.5, 2.0))
    assert change(transform, image, np.array([0.5])).ravel().tolist() == [1.5, 2, 2.5, 3, 6]
    assert change(transform, image, np.array([2.0])).ravel().tolist() == [0, 0, 1, 3, 9]


def test_low_resolution_takes_nearest_voxels_and_interpolates():
    # Half of 8 voxels: voxel 2i + 1 is the nearest to the middle of pair i (ties go up). The middles are at 0.5, 2.5,
    # 4.5, 6.5, between which the way back interpolates.
    image = np.array([0, 1, 2, 3, 4, 5, 6, 7], np.float32).reshape(8, 1, 1, 1)
    result = change(LowResolution(1.0, (0.5, 1.0), 1.0), image, (np.array([True]), np.array([0.5])))
    np.testing.assert_allclose(result.ravel(), [1, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7], rtol=1e-6)


def test_low_resolution_keeps_linear_ramps_and_untouched_axes():
    ramp = np.moveaxis(np.linspace(0, 1, 64, dtype=np.float32) * np.ones((2, 4, 6, 1), np.float32), 0, -1)
    result = change(LowResolution(1.0, (0.5, 1.0), 1.0), ramp, (np.array([True, False]), np.array([0.7, 0.5])))
    np.testing.assert_allclose(result[..., 0], ramp[..., 0], atol=1.5 / 63)
    np.testing.assert_array_equal(result[..., 1], ramp[..., 1])
    slices = np.arange(6, dtype=np.float32).reshape(6, 1, 1, 1) * np.ones((1, 8, 8, 1), np.float32)
    flat = change(LowResolution(1.0, (0.5, 1.0), 1.0, in_plane=True), slices, (np.array([True]), np.array([0.5])))
    np.testing.assert_array_equal(flat, slices)


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("gamma", [0.7, 1.0, 1.5])
def test_gamma_keeps_mean_deviation_and_order(inverted, gamma):
    image = image_of() * 3 + 100
    result = change(Gamma(1.0, (0.7, 1.5), inverted), image, np.array([gamma, gamma]))
    for statistic in (np.mean, np.std):
        np.testing.assert_allclose(statistic(result, axis=(0, 1, 2)), statistic(image, axis=(0, 1, 2)), rtol=1e-4)
    before, after = image[..., 0].ravel(), result[..., 0].ravel()
    np.testing.assert_array_equal(after[before.argsort()], np.sort(after))
    if gamma == 1:
        np.testing.assert_allclose(result, image, rtol=1e-5)


def test_gamma_bends_the_dark_end_and_inverted_the_bright_one():
    image = np.linspace(0, 1, 101, dtype=np.float32).reshape(101, 1, 1, 1)
    dark, bright = (change(Gamma(1.0, (0.7, 1.5), inverted), image, np.array([1.5])).ravel() for inverted in (False, True))
    curve = np.linspace(0, 1, 101) ** 1.5
    expected = (curve - curve.mean()) / curve.std() * image.std() + 0.5
    np.testing.assert_allclose(dark, expected, atol=1e-5)
    np.testing.assert_allclose(bright, 1 - expected[::-1], atol=1e-5)


def test_a_constant_image_survives():
    image = np.full((4, 4, 4, 2), 3, np.float32)
    for transform in (Contrast(1.0, (0.7, 1.5)), Gamma(1.0, (0.7, 1.5)), Gamma(1.0, (0.7, 1.5), inverted=True)):
        np.testing.assert_allclose(change(transform, image, np.array([0.8, 1.4])), image, rtol=1e-6)
