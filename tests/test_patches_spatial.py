import math
import types

import numpy as np
import pytest
from patch_cases import MemoryCase
from scipy import ndimage

from scnas_keras.patches.augmentation import Augmentation
from scnas_keras.patches.presets import preset
from scnas_keras.patches.resampling import resample_image, resample_label
from scnas_keras.patches.sampler import PatchSampler
from scnas_keras.patches.spatial import Rotation, Scaling, SpatialDraw, make_warp


def bordered(array):
    """A border of zeros, and one channel after the other in memory."""
    return np.moveaxis(np.pad(np.moveaxis(array, -1, 0), ((0, 0), (1, 1), (1, 1), (1, 1))), 0, -1)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_right_angle_is_rot90(axis):
    random = np.random.default_rng(axis)
    image = random.standard_normal((9, 9, 9, 2)).astype(np.float32)
    label = random.integers(0, 5, (9, 9, 9)).astype(np.uint8)
    degrees = tuple(90.0 if other == axis else 0.0 for other in range(3))
    warp, centre = make_warp(SpatialDraw(degrees), (9, 9, 9), (1.5, 1.5, 1.5)), np.full(3, 5.0)
    plane = ((axis + 1) % 3, (axis + 2) % 3)
    np.testing.assert_array_equal(resample_image(bordered(image), warp, centre, 1), np.rot90(image, -1, plane))
    np.testing.assert_array_equal(resample_label(np.pad(label, 1), warp, centre), np.rot90(label, -1, plane))
    np.testing.assert_allclose(resample_image(bordered(image), warp, centre, 3), np.rot90(image, -1, plane), atol=1e-5)


def test_axes_turn_one_after_the_other():
    """About axis 2 first, which brings axis 0 to 1 and 1 to -0; then about axis 0, which brings axis 1 to 2 and 2 to -1."""
    warp = make_warp(SpatialDraw((90.0, 0.0, 90.0)), (9, 9, 9), (1.0, 1.0, 1.0))
    np.testing.assert_allclose(warp.matrix, [[0, -1, 0], [0, 0, -1], [1, 0, 0]], atol=1e-12)


def test_a_rotation_turns_millimetres():
    # Voxels are 3 mm along axis 0, 1 mm along axis 1. The landmark lies 2 voxels = 6 mm before the middle along axis 0.
    # A quarter turn about axis 2 brings it 6 mm = 6 voxels after the middle along axis 1, where its length of 3 mm
    # covers three voxels.
    label = np.zeros((17, 17, 17), np.uint8)
    label[6, 8, 8] = 1
    warp = make_warp(SpatialDraw((0.0, 0.0, 90.0)), (17, 17, 17), (3.0, 1.0, 1.0))
    found = np.argwhere(resample_label(label, warp, np.full(3, 8.0)))
    np.testing.assert_array_equal(found, [[8, 13, 8], [8, 14, 8], [8, 15, 8]])
    image = np.zeros((17, 17, 17, 1), np.float32)
    image[6, 8, 8] = 1
    turned = resample_image(image, warp, np.full(3, 8.0), 1)[..., 0]
    assert np.unravel_index(turned.argmax(), turned.shape) == (8, 14, 8) and turned.max() == pytest.approx(1, abs=1e-6)


def test_a_factor_above_1_shows_more_and_makes_things_smaller():
    label = np.zeros((40, 40, 40), np.uint8)
    label[10:30, 10:30, 10:30] = 7
    for factor, size in ((2.0, 10), (1.0, 20), (0.5, 30)):
        patch = resample_label(label, make_warp(SpatialDraw(factor=factor), (30, 30, 30), (1, 2, 3)), np.full(3, 19.5))
        assert (patch == 7).sum() == size**3


@pytest.mark.parametrize("alpha", [0.0, 600.0])
@pytest.mark.parametrize("order", [1, 3])
@pytest.mark.parametrize("size", [(30, 28, 33), (30, 35)])
def test_images_are_resampled_by_scipys_splines(size, order, alpha):
    """Three axes, or the last two of each of three slices; and 0 beyond what was read."""
    rank, channels = len(size), 2
    box = np.random.default_rng(0).standard_normal((channels, *[3] * (3 - rank), *[40] * rank)).astype(np.float32)
    warp = make_warp(SpatialDraw((20.0, -10.0, 25.0), 1.3, alpha, 9.0, 1), size, (1, 1, 1.5)[-rank:])
    centre = np.array([19.0, 20.5, 18.25][:rank])
    result = resample_image(np.moveaxis(box, 0, -1), warp, centre, order)
    places = warp.offsets.astype(float) + centre.reshape(-1, *[1] * rank)
    planes = box.reshape(-1, *[40] * rank)
    filtered = [ndimage.spline_filter(plane, order) if order == 3 else plane for plane in planes]
    expected = np.stack([ndimage.map_coordinates(plane, places, order=order, prefilter=False) for plane in filtered])
    expected = np.moveaxis(expected.reshape(channels, *[3] * (3 - rank), *size), 0, -1)
    clear = (np.minimum(abs(places), abs(places - 39)) > 1e-4).all(axis=0)  # neither in nor out by rounding alone
    np.testing.assert_allclose(result[..., clear, :], expected[..., clear, :], atol=5e-5)
    beyond = clear & ((places < 0) | (places > 39)).any(axis=0)
    assert clear.mean() > 0.99 and beyond.any() and not result[..., beyond, :].any()


def test_labels_vote_as_maps_of_each_class_do():
    random = np.random.default_rng(3)
    label = ndimage.zoom(random.integers(0, 4, (6, 6, 6)), 4, order=0).astype(np.uint8)
    label[label == 3] = 255
    drawn = SpatialDraw((20.0, -10.0, 25.0), 1.1, alpha=500.0, sigma=9.0, noise_seed=1)
    warp, centre = make_warp(drawn, (12, 12, 12), (1, 1, 1.5)), np.full(3, 11.5)
    places = warp.offsets.astype(float) + 11.5
    assert places.min() > 0 and places.max() < 23
    values = np.unique(label)
    maps = [ndimage.map_coordinates((label == value).astype(float), places, order=1) for value in values]
    margin = np.sort(maps, axis=0)[-1] - np.sort(maps, axis=0)[-2]
    expected, result = values[np.argmax(maps, axis=0)], resample_label(label, warp, centre)
    np.testing.assert_array_equal(result[margin > 1e-4], expected[margin > 1e-4])
    assert (margin > 1e-4).mean() > 0.99 and set(np.unique(result)) == {0, 1, 2, 255}


def test_an_exact_tie_goes_to_the_lower_class():
    label = np.array([5, 2, 2, 9], np.uint8)[:, None, None] * np.ones((1, 3, 3), np.uint8)
    warp = make_warp(SpatialDraw(), (3, 1, 1), (1, 1, 1))
    np.testing.assert_array_equal(resample_label(label, warp, np.array([1.5, 1.0, 1.0])).ravel(), [2, 2, 2])


@pytest.mark.parametrize("rank, alpha", [(3, 900.0), (2, 200.0)])
def test_elastic_noise_is_as_strong_and_smooth_as_filtered_voxel_noise(rank, alpha):
    # White noise of variance 1/3 after a Gaussian of sigma s: variance (1/3) / (2 sqrt(pi) s)^rank, and the correlation
    # of two voxels d apart is exp(-d^2 / 4 s^2).
    sigma, shape = 9.0, (48,) * rank
    draws = [SpatialDraw(alpha=alpha, sigma=sigma, noise_seed=seed) for seed in range(400 if rank == 2 else 60)]
    fields = np.concatenate([make_warp(drawn, shape, (1,) * rank).displacement for drawn in draws])
    variance = alpha**2 / 3 / (2 * math.sqrt(math.pi) * sigma) ** rank
    assert fields.var() == pytest.approx(variance, rel=0.1)
    assert abs(fields.mean()) < 0.1 * math.sqrt(variance)
    for distance in (4, 9, 18):
        covariance = (fields[:, distance:] * fields[:, :-distance]).mean()
        assert covariance / variance == pytest.approx(math.exp(-((distance / sigma) ** 2) / 4), abs=0.08)
    along = fields.reshape(len(fields), 48, -1).var(axis=(0, 2))
    assert along.min() > 0.6 * variance and along.max() < 1.5 * variance  # as strong at the border as in the middle


def test_noise_is_as_strong_at_the_border_of_a_patch_as_in_its_middle(monkeypatch):
    """Of noise that is 1 everywhere the filter leaves 1, here over the root of sigma an axis (`_displacement`)."""
    monkeypatch.setattr(np.random, "default_rng", lambda seed: types.SimpleNamespace(random=np.ones))
    warp = make_warp(SpatialDraw(alpha=100.0, sigma=4.0), (9, 10, 11), (1.0, 1.0, 1.0))
    np.testing.assert_allclose(warp.displacement, np.full((3, 9, 10, 11), 100 * 4.0**-1.5), rtol=1e-4)


def test_the_reach_is_that_of_the_offsets():
    for alpha in (0.0, 600.0):
        warp = make_warp(SpatialDraw((10.0, 20.0, 30.0), 0.9, alpha, 10.0), (12, 20, 16), (3, 1, 1))
        low, high = warp.reach
        flat = warp.offsets.reshape(3, -1)
        np.testing.assert_allclose([low, high], [flat.min(axis=1), flat.max(axis=1)], rtol=1e-5)


def test_slices_of_anisotropic_patches_stay_what_they_are():
    size = (8, 32, 32)
    label = np.broadcast_to(np.arange(1, 21, dtype=np.uint8)[:, None, None], (20, 60, 60)).copy()
    case = MemoryCase(label[..., None].astype(np.float16), label)
    augmentation = preset("2018", size, (1, 2))
    sampler = PatchSampler([case], size, augmentation=augmentation, spacing=(5.0, 1.0, 1.0))
    warped = 0
    for index in range(30):
        draw, (_, patch) = sampler.draw(index), sampler.sample(index)
        slices = np.arange(draw.start[0], draw.start[0] + 8)[:, None, None] + 1
        assert ((patch == slices) | (patch == 0)).all()
        assert draw.window[0] == (draw.start[0], draw.start[0] + 8)
        np.testing.assert_array_equal(patch[:, 16, 16], slices.ravel())
        warped += draw.spatial is not None
    assert augmentation.in_plane and warped > 5


def test_half_turns_in_the_plane_leave_the_axis_alone():
    random = np.random.default_rng(0)
    image = random.standard_normal((3, 9, 9, 2)).astype(np.float32)
    box = np.moveaxis(np.pad(np.moveaxis(image, -1, 0), ((0, 0), (0, 0), (1, 1), (1, 1))), 0, -1)
    warp = make_warp(SpatialDraw((180.0, 0.0, 0.0)), (9, 9), (1.0, 4.0))
    np.testing.assert_allclose(resample_image(box, warp, np.full(2, 5.0), 1), image[:, ::-1, ::-1], atol=1e-6)


def test_angles_and_factors_are_drawn_as_documented():
    augmentation, count = Augmentation((Rotation(0.2, (30.0, 0.0, 15.0)), Scaling(0.2, (0.7, 1.4)))), 4000
    draws = [augmentation.draw_spatial(np.random.default_rng((0, number))) for number in range(count)]
    turned = [draw.degrees for draw in draws if draw and any(draw.degrees)]
    scaled = np.array([draw.factor for draw in draws if draw and draw.factor != 1])
    binomial = 5 * math.sqrt(count * 0.2 * 0.8)
    assert abs(len(turned) - 0.2 * count) < binomial and abs(len(scaled) - 0.2 * count) < binomial
    assert abs(sum(draw is None for draw in draws) - 0.64 * count) < 5 * math.sqrt(count * 0.64 * 0.36)
    angles = np.array(turned)
    assert (np.abs(angles) <= (30, 0, 15)).all() and (np.abs(angles).max(axis=0) > (29, -1, 14.5)).all()
    tolerance = 5 * math.sqrt(len(angles) / 4)
    assert (np.abs((angles[:, ::2] > 0).sum(axis=0) - len(angles) / 2) < tolerance).all()
    assert (np.abs((np.abs(angles[:, ::2]) < (15, 7.5)).sum(axis=0) - len(angles) / 2) < tolerance).all()
    assert 0.7 <= scaled.min() < 0.71 and 1.39 < scaled.max() <= 1.4
    assert abs((scaled < 1.05).sum() - len(scaled) / 2) < 5 * math.sqrt(len(scaled) / 4)  # uniform over the whole range


def test_halved_factors_are_as_often_below_1_as_above():
    transform = Scaling(0.2, (0.85, 1.25), halved=True)
    factors = np.array([transform.draw(np.random.default_rng((1, number)))["factor"] for number in range(2000)])
    assert 0.85 <= factors.min() and factors.max() <= 1.25
    for limit, share in ((0.925, 0.25), (1, 0.5), (1.125, 0.75)):
        assert abs((factors < limit).mean() - share) < 5 * math.sqrt(share * (1 - share) / 2000)
