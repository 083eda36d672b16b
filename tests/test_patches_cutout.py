"""Cutout against a mask written voxel by voxel, and what it leaves alone."""

import itertools
import math

import numpy as np
import pytest
from patch_cases import random_case

from scnas_keras.documents import decode
from scnas_keras.errors import DataError
from scnas_keras.patches.augmentation import Augmentation
from scnas_keras.patches.intensity import Cutout
from scnas_keras.patches.presets import preset
from scnas_keras.patches.sampler import PatchSampler

SIZE = (10, 12, 8)


def hole(shape, centre, length):
    """Where the cube reaches, as DeVries and Taylor have it: from centre - L // 2 on, L voxels."""
    found = np.zeros(shape, bool)
    for place in itertools.product(*map(range, shape)):
        found[place] = all(0 <= voxel - (middle - length // 2) < length for voxel, middle in zip(place, centre))
    return found


def sampler(augmentation, size=SIZE, case=None, seed=4):
    return PatchSampler([case or random_case(seed=3)], size, seed=seed, augmentation=augmentation)


@pytest.mark.parametrize("centre", [(5, 4, 3), (0, 0, 0), (9, 11, 7), (0, 6, 7)])
@pytest.mark.parametrize("length", [1, 3, 4, 16, 100])
def test_the_cube_is_set_to_0_in_all_channels_and_nothing_else_is_changed(centre, length):
    image = np.random.default_rng(0).normal(size=(*SIZE, 2)).astype("float32")
    shares = (np.array(centre) + 0.5) / SIZE
    found = Cutout(1.0, length).change(image.copy(), shares, np.random.default_rng(0))
    np.testing.assert_array_equal(found, np.where(hole(SIZE, centre, length)[..., None], 0, image))


@pytest.mark.parametrize("size", [SIZE, (12, 10)])
def test_a_patch_loses_its_hole_and_keeps_its_label(size):
    """In slices the hole is a square. Items are the same again, in any order, and differ with the seed."""
    cut, plain = sampler(Augmentation((Cutout(1.0, 4),)), size), sampler(Augmentation(), size)
    centres = set()
    for index in (7, 3, 0, 5):
        (image, label), (whole, same) = cut.sample(index), plain.sample(index)
        random = np.random.default_rng(cut.draw(index).intensity_seed)
        random.random()  # whether it happens
        gone = hole(size, (random.random(3)[-len(size) :] * size).astype(int), 4)
        np.testing.assert_array_equal(label, same)
        np.testing.assert_array_equal(image, np.where(gone[..., None], 0, whole))
        np.testing.assert_array_equal(image, cut.sample(index)[0])
        centres.add(tuple(np.argwhere(gone).mean(axis=0)))
    assert len(centres) == 4
    assert any((sampler(Augmentation((Cutout(1.0, 4),)), size, seed=5).sample(i)[0] != cut.sample(i)[0]).any() for i in range(2))


def test_every_voxel_is_as_often_gone_as_centres_around_it_say():
    """The share of patches that lose a voxel is the product over axes of the centres within reach, and the whole share follows."""
    size, length, count = (6, 9, 1), 4, 6000
    lost, cut = np.zeros(size), Cutout(1.0, length)
    for seed in range(count):
        lost += cut.apply(np.ones((*size, 1), np.float32), np.random.default_rng(seed))[..., 0] == 0
    along = [[sum(0 <= voxel - middle + length // 2 < length for middle in range(n)) / n for voxel in range(n)] for n in size]
    expected = np.einsum("i,j,k->ijk", *along)
    assert np.abs(lost / count - expected).max() < 5 * math.sqrt(0.25 / count)
    assert lost.mean() / count == pytest.approx(expected.mean(), abs=0.01)


def test_a_share_of_the_patches_is_cut():
    cut, count = Cutout(0.3, 5), 2000
    changed = sum((cut.apply(np.ones((4, 4, 4, 1), np.float32), np.random.default_rng((1, i))) == 0).any() for i in range(count))
    assert abs(changed / count - 0.3) < 5 * math.sqrt(0.21 / count)


def test_the_preset_cuts_every_patch():
    found, case = preset("cutout", (20, 18, 14), (0, 1, 2)), random_case(seed=3)
    assert found.transforms == (Cutout(1.0, 16),) and not found.mirror_axes
    assert all((sampler(found, (20, 18, 14), case).sample(index)[0] == 0).sum() >= 2 * 8**3 for index in range(20))


@pytest.mark.parametrize("length, message", [(0, "length: found 0, expected a whole number >= 1"), (2.5, "length: found 2.5, expected")])
def test_a_length_that_is_no_number_of_voxels_is_refused(length, message):
    content = {"transforms": [{"name": "cutout", "probability": 1.0, "length": length}], "image_order": 1, "in_plane": False}
    with pytest.raises(DataError, match=r"transforms\[0\]\." + message):
        decode(content, Augmentation, "plans.json")
