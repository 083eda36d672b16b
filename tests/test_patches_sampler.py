import concurrent.futures
import subprocess
import sys

import numpy as np
import pytest
from small_task import write_task

from scnas_keras.preprocessing.cache import prepare
from scnas_keras.patches.sampler import PatchSampler, patch_dataset
from scnas_keras.preprocessing.scans import make_plan
from scnas_keras.data.tasks import load_task
from scnas_keras.errors import ConfigError


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    folder = tmp_path_factory.mktemp("patches")
    task = load_task(write_task(folder / "task", shape=(20, 18, 14)))
    return prepare(task, make_plan(task, "median"), folder / "cache", processes=1)


def assert_equal(first, second):
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


def test_an_item_depends_on_seed_and_index_alone(cases):
    sampler = PatchSampler(cases, (8, 8, 8), seed=5)
    expected = [sampler.sample(index) for index in range(40)]
    backwards = [PatchSampler(cases, (8, 8, 8), seed=5).sample(index) for index in reversed(range(40))]
    for one, other in zip(expected, reversed(backwards)):
        assert_equal(one, other)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for one, other in zip(expected, pool.map(sampler.sample, range(40))):
            assert_equal(one, other)
    other_seed = PatchSampler(cases, (8, 8, 8), seed=6)
    assert not all(np.array_equal(expected[index][0], other_seed.sample(index)[0]) for index in range(40))


@pytest.mark.parametrize("share", [0.0, 0.25, 1 / 3, 0.5, 0.7, 1.0])
def test_the_foreground_share_is_exact(cases, share):
    sampler = PatchSampler(cases, (1, 1, 1), foreground_share=share)
    for count in (1, 7, 60):
        chosen = [sampler.is_foreground(index) for index in range(count)]
        assert sum(chosen) == int(np.floor(count * share))
    for index in range(60):
        if sampler.is_foreground(index):
            assert sampler.sample(index)[1].item() > 0


def test_both_classes_are_drawn_equally_often(cases):
    sampler = PatchSampler(cases, (1, 1, 1), foreground_share=1.0)
    drawn = [sampler.sample(index)[1].item() for index in range(300)]
    assert 110 < drawn.count(1) < 190
    assert drawn.count(1) + drawn.count(2) == 300


def test_a_patch_is_a_piece_of_its_case(cases):
    sampler = PatchSampler(cases[:1], (6, 5, 4))
    volume, labels = cases[0].image(), cases[0].label()
    windows = np.lib.stride_tricks.sliding_window_view(volume[..., 0], (6, 5, 4))
    starts = set()
    for index in range(200):
        image, label = sampler.sample(index)
        assert (image.dtype, label.dtype) == (np.float32, np.int32)
        found = np.argwhere(windows[..., 0, 0, 0] == image[0, 0, 0, 0])
        places = [tuple(slice(low, low + size) for low, size in zip(place, (6, 5, 4))) for place in found]
        place = next(place for place in places if np.array_equal(volume[place], image))
        np.testing.assert_array_equal(labels[place], label)
        starts.add(place[0].start)
    assert starts >= {0, volume.shape[0] - 6}  # the borders are reached


def test_a_small_case_is_padded_around_its_middle(cases):
    case = cases[0]
    patch = tuple(size + 5 for size in case.shape)
    image, label = PatchSampler([case], patch, foreground_share=1.0).sample(0)
    inside = tuple(slice(2, 2 + size) for size in case.shape)
    np.testing.assert_array_equal(image[inside], case.image())
    np.testing.assert_array_equal(label[inside], case.label())
    image[inside], label[inside] = 0, 0
    assert not image.any() and not label.any()


def test_padding_along_one_axis_leaves_the_others_free(cases):
    case = cases[0]
    image, _ = PatchSampler([case], (case.shape[0] + 3, 4, 4)).sample(1)
    assert image.shape == (case.shape[0] + 3, 4, 4, 2)
    assert not image[0].any() and not image[-2:].any() and image[1:-2].any()


@pytest.mark.parametrize("arguments, message", [(((8, 8),), "three positive"), (((8, 8, 0),), "three positive"),
                                                (((8, 8, 8), 1.5), "between 0 and 1")])
def test_impossible_samplers_are_refused(cases, arguments, message):
    with pytest.raises(ConfigError, match=message):
        PatchSampler(cases, *arguments)
    with pytest.raises(ConfigError, match="No case"):
        PatchSampler([], (8, 8, 8))


def test_the_dataset_is_the_sampler_in_batches_and_can_start_anywhere(cases):
    sampler = PatchSampler(cases, (8, 8, 8), seed=1)
    dataset = patch_dataset(sampler, batch_size=2, start=3, count=4)
    assert [tuple(spec.shape) for spec in dataset.element_spec] == [(2, 8, 8, 8, 2), (2, 8, 8, 8)]
    batches = [(image.numpy(), label.numpy()) for image, label in dataset]
    assert len(batches) == 4
    for number, (images, labels) in enumerate(batches, start=3):
        for row in range(2):
            assert_equal((images[row], labels[row]), sampler.sample(2 * number + row))


def test_the_data_package_does_not_import_tensorflow():
    code = ("import sys, scnas_keras.patches.sampler, scnas_keras.data.phantoms, scnas_keras.data.splits\n"
            "sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)")
    assert subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": ":".join(sys.path)}).returncode == 0
