import subprocess
import sys
from pathlib import Path

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


def test_slices_have_two_axes():
    flat = PatchSampler([random_case()], (8, 6), augmentation=preset("v2", (8, 6), (1, 2)))
    image, label = batches(patch_dataset(flat, 4, 0, 1))[0]
    assert image.shape == (4, 8, 6, 2) and label.shape == (4, 8, 6)


def test_two_replicas_share_the_batch_that_one_would_get():
    code = """if True:
        import numpy as np, tensorflow as tf
        tf.config.experimental.enable_op_determinism()
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
        from patch_cases import random_case
        from scnas_keras.patches.presets import preset
        from scnas_keras.patches.sampler import PatchSampler
        from scnas_keras.patches.stream import patch_dataset
        sampler = PatchSampler([random_case()], (8, 8, 8), augmentation=preset("v2", (8, 8, 8), (0,)))
        strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
        shared = strategy.experimental_distribute_dataset(patch_dataset(sampler, 4, 1, 3))
        for number, (image, _) in enumerate(shared):
            parts = [part.numpy() for part in strategy.experimental_local_results(image)]
            assert len(parts) == 2
            expected = [sampler.sample(4 * (number + 1) + row)[0] for row in range(4)]
            np.testing.assert_array_equal(np.concatenate(parts), expected)
        assert number == 2
    """
    path = ":".join([*sys.path, str(Path(__file__).parent)])
    result = subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": path}, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
