import numpy as np
import pytest
from patch_cases import random_case

from scnas_keras.patches.presets import preset
from scnas_keras.patches.sampler import PatchSampler
from scnas_keras.patches.stream import patch_dataset

SIZE = (8, 8, 8)


@pytest.fixture(scope="module")
def sampler():
    cases = [random_case(seed=seed) for seed in range(3)]
    return PatchSampler(cases, SIZE, seed=1, augmentation=preset("v2", SIZE, (0, 1, 2)))


def batches(dataset):
    return [(image.numpy(), label.numpy()) for image, label in dataset]


@pytest.mark.parametrize("threads", [None, 1, 2, 5])
def test_the_dataset_is_the_sampler_in_batches_for_any_number_of_threads(sampler, threads):
    dataset = patch_dataset(sampler, batch_size=2, start=0, count=12, threads=threads)
    assert [tuple(spec.shape) for spec in dataset.element_spec] == [(2, 8, 8, 8, 2), (2, 8, 8, 8)]
    found = batches(dataset)
    assert len(found) == 12 and found[0][0].dtype == np.float32 and found[0][1].dtype == np.int32
    for number, batch in enumerate(found):
        for row in range(2):
            for one, other in zip(batch, sampler.sample(2 * number + row)):
                np.testing.assert_array_equal(one[row], other)


def test_a_stream_that_starts_in_the_middle_goes_on_as_the_whole_one(sampler):
    whole, rest = batches(patch_dataset(sampler, 3, 0, 9)), batches(patch_dataset(sampler, 3, 4, 5))
    for one, other in zip(whole[4:], rest, strict=True):
        for first, second in zip(one, other):
            np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("replicas", [2, 4])
def test_two_hosts_share_the_batch_that_one_would_get(sampler, replicas):
    """The second batch of four and the one after it: the first host has items 4, 5, 8, 9, for one device or for two."""
    for host in range(2):
        images = [image for image, _ in batches(patch_dataset(sampler, 4, 1, 2, host=(host, 2), replicas=replicas))]
        assert [len(image) for image in images] == [4 // replicas] * replicas
        expected = [sampler.sample(index)[0] for index in (4 + 2 * host, 5 + 2 * host, 8 + 2 * host, 9 + 2 * host)]
        np.testing.assert_array_equal(np.concatenate(images), expected)


def test_slices_have_two_axes():
    flat = PatchSampler([random_case()], (8, 6), augmentation=preset("v2", (8, 6), (1, 2)))
    image, label = batches(patch_dataset(flat, 4, 0, 1))[0]
    assert image.shape == (4, 8, 6, 2) and label.shape == (4, 8, 6)


def test_two_replicas_share_the_batch_that_one_would_get(two_devices):
    sampler = PatchSampler([random_case()], SIZE, augmentation=preset("v2", SIZE, (0,)))
    with np.load(two_devices / "batches.npz") as batches:
        assert len(batches.files) == 3
        for number, name in enumerate(batches.files):
            expected = [sampler.sample(4 * (number + 1) + row)[0] for row in range(4)]
            np.testing.assert_array_equal(np.concatenate(batches[name]), expected)
            assert len(batches[name]) == 2
