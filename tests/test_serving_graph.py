"""What is inside of an exported graph against what prediction does in NumPy and SciPy."""

import itertools

import numpy as np
import pytest
import scipy
import tensorflow as tf
from serving_cases import PLANS, plan, scan

from scnas_keras.formats.volumes import volume_of
from scnas_keras.inference.sliding_window import tile_starts
from scnas_keras.preprocessing import resampling
from scnas_keras.preprocessing.scans import preprocess_image
from scnas_keras.serving import splines, tiling
from scnas_keras.serving.holes import with_holes_filled
from scnas_keras.serving.loops import repeat
from scnas_keras.serving.preparing import prepare
from scnas_keras.serving.restoring import strongest


@pytest.mark.parametrize("order", [0, 1, 3])
def test_spline_matrices_are_those_of_scipy(order):
    matrix = tf.function(lambda old, new: splines.spline_matrix(old, new, order), input_signature=[tf.TensorSpec((), tf.int32)] * 2)
    for old, new in [(1, 1), (1, 5), (2, 7), (3, 2), (5, 1), (7, 7), (12, 31), (31, 12), (64, 77), (200, 64), (40, 127)]:
        expected = resampling._matrix(old, new, order).toarray()
        found = matrix(tf.constant(old), tf.constant(new)).numpy()
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, atol=1e-6, err_msg=f"{old} -> {new}")
        np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)


EDGES = (0.9, 0.9, 0.9), (0.9, 0.9, 2.7), (0.7, 0.7, 2.1), (1.0, 1.0, 3.0), (1.1, 1.1, 1.1)
"""Spacings of which float32 makes another grid than they have, where nothing is tolerated."""


def test_what_float32_leaves_of_a_spacing_changes_no_grid():
    target, size = (1.0, 1.0, 1.0), (35, 45, 25)
    for exact in EDGES:
        for spacing in (tuple(map(float, np.float32(exact))), tuple(np.nextafter(exact, 0)), tuple(np.nextafter(exact, 9))):
            assert resampling.resampled_shape(size, spacing, target) == resampling.resampled_shape(size, exact, target)
            assert resampling.coarse_axis(spacing, target, 3.0) is None is resampling.coarse_axis(exact, target, 3.0)


def test_sizes_and_the_coarse_axis_are_those_of_preprocessing():
    random = np.random.default_rng(0)
    targets = [(1.0, 1.0, 1.0), (None, 0.7, 0.7), (3.0, 0.8, 0.8), (0.7, 0.7, 2.5), (5.0, 1.0, 5.0)]
    spacings = [*random.choice([0.5, 0.7, 0.8, 0.9375, 1.0, 1.0005, 2.0, 3.0, 5.0, 7.0], (60, 3)), (0.7, 0.7, 0.7), (5.0, 5.0, 1.0)]
    sizes = random.integers(1, 300, (len(spacings), 3))

    for target in targets:

        @tf.function(input_signature=[tf.TensorSpec((3,), tf.int32), tf.TensorSpec((3,), tf.float64)])
        def both(size, spacing, target=target):
            steps = tf.unstack(spacing)
            return splines.resampled_size(tf.unstack(size), steps, target), splines.coarse_axis(steps, target, 3.0)

        for size, spacing in (*zip(sizes, spacings), *(((35, 45, 25), np.float64(np.float32(own))) for own in EDGES)):
            found, coarse = both(np.int32(size), np.float64(spacing))
            assert tuple(map(int, found)) == resampling.resampled_shape(size, spacing, target), (size, spacing, target)
            expected = resampling.coarse_axis(tuple(spacing), target, 3.0)
            assert int(coarse) == (-1 if expected is None else expected), (spacing, target)


@pytest.mark.parametrize("patch", [1, 3, 40, 64])
def test_tiles_begin_where_those_of_prediction_do(patch):
    starts = tf.function(lambda size: tiling.tile_starts(size, patch), input_signature=[tf.TensorSpec((), tf.int32)])
    for size in (*range(1, 3 * patch + 7), 512, 601):
        assert starts(tf.constant(size)).numpy().tolist() == tile_starts(max(size, patch), patch), size


def spiral(size):
    """A path of zeros that winds from the border to the middle."""
    mask, place, step = np.ones((size, size), bool), [0, 1], (1, 0)
    for length in itertools.chain([size - 2], *([n, n] for n in range(size - 3, 1, -2))):
        for _ in range(length):
            mask[tuple(place)] = False
            place = [min(max(one + other, 0), size - 1) for one, other in zip(place, step)]
        step = (-step[1], step[0])
    return mask


def test_holes_are_those_of_scipy():
    fill = tf.function(with_holes_filled, input_signature=[tf.TensorSpec((None, None, None), tf.bool)])
    random = np.random.default_rng(0)
    shell = np.ones((7, 8, 9), bool)
    shell[2:5, 2:5, 2:6] = False
    opened = shell.copy()
    opened[3, 3, :3] = False
    masks = [random.random((9, 10, 11)) < share for share in (0.2, 0.5, 0.69, 0.9)]
    masks += [
        shell,
        opened,
        np.ones((1, 1, 1), bool),
        np.zeros((3, 1, 4), bool),
        np.stack([np.ones((21, 21), bool), spiral(21), np.ones((21, 21), bool)]),
    ]
    for mask in masks:
        np.testing.assert_array_equal(fill(mask).numpy(), scipy.ndimage.binary_fill_holes(mask))
    assert fill(shell).numpy().all() and not fill(opened).numpy().all()


def test_a_repeated_turn_may_change_sizes():
    @tf.function
    def run(count):
        grown, results = repeat(
            count,
            lambda index, grown, results: [tf.concat([grown, [index]], 0), results.write(index, grown)],
            [tf.zeros(0, tf.int32), tf.TensorArray(tf.int32, 0, dynamic_size=True, infer_shape=False)],
        )
        return grown, results.concat()

    grown, results = run(tf.constant(4))
    assert grown.numpy().tolist() == [0, 1, 2, 3] and results.numpy().tolist() == [0, 0, 1, 0, 1, 2]


def prepared(image, spacing, own):
    """Image, start and stop of the box from a graph, for scans of any size."""

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, len(own.channels))), tf.TensorSpec((3,))], autograph=False)
    def graph(image, spacing):
        found, grids = prepare(image, spacing, own)
        return found, grids.start, grids.stop

    return [value.numpy() for value in graph(image, np.float32(spacing))]


@pytest.mark.parametrize("name", PLANS)
def test_a_scan_is_prepared_as_for_prediction(name):
    own, spacing = PLANS[name]
    spacing = tuple(map(float, np.float32(spacing)))
    for shape in ((17, 20, 14), (9, 7, 23)):
        image = scan(shape, len(own.channels))
        expected = preprocess_image(volume_of(image, spacing), own)
        found, start, stop = prepared(image, spacing, own)
        assert tuple(start) == expected.crop.start and tuple(stop) == expected.crop.stop
        assert found.shape == expected.image.shape
        np.testing.assert_allclose(found, expected.image, atol=2e-4)
        if any(own.mask_channels):
            np.testing.assert_array_equal(found == 0, expected.image == 0)


def test_a_mean_of_many_deviations_keeps_its_digits():
    image = (30000 + scan((15, 16, 17), 1) / 200).astype(np.float32)
    expected = preprocess_image(volume_of(image, (1.0, 1.0, 1.0)), plan()).image
    found, *_ = prepared(image, np.ones(3), plan())
    assert expected.std() == pytest.approx(1)
    np.testing.assert_allclose(found, expected, atol=1e-5)


REFUSED = {
    "NaN or infinite": (np.full((8, 8, 8, 1), np.nan, np.float32), (1.0, 1.0, 1.0)),
    "every voxel is 0": (np.zeros((8, 8, 8, 1), np.float32), (1.0, 1.0, 1.0)),
    "three sizes in mm": (np.ones((8, 8, 8, 1), np.float32), (1.0, -1.0, 1.0)),
    "next to nothing": (np.ones((40, 40, 40, 1), np.float32), (0.01, 1.0, 1.0)),
}


@pytest.mark.parametrize("words", REFUSED)
def test_scans_that_prediction_refuses_are_refused(words):
    image, spacing = REFUSED[words]
    with pytest.raises(tf.errors.InvalidArgumentError, match=words):
        prepared(image, spacing, plan())


def test_a_thin_box_in_a_large_scan_is_no_reason_to_refuse_it():
    """Few voxels of the network see it, but the scan isn't of another unit."""
    image, own = np.zeros((200, 40, 40, 1), np.float32), plan((3.0, 3.0, 3.0))
    image[90:100] = scan((13, 43, 43), 1)[1:11, 1:41, 1:41] + 1
    expected = preprocess_image(volume_of(image, (0.3, 1.0, 1.0)), own).image
    found, *_ = prepared(image, (0.3, 1.0, 1.0), own)
    assert found.shape == expected.shape and found.shape[0] == 1
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_grid_of_four_voxels_is_enough_and_one_of_three_is_not():
    image = np.ones((40, 8, 8, 1), np.float32) + scan((43, 11, 11), 1)[1:41, 1:9, 1:9]
    assert prepared(image, (0.1, 1.0, 1.0), plan())[0].shape[0] == 4
    with pytest.raises(tf.errors.InvalidArgumentError, match="next to nothing"):
        prepared(image, (0.075, 1.0, 1.0), plan())


def test_of_equal_maps_the_first_class_is_the_strongest():
    maps = tf.constant([[[[0.2, 0.5]]], [[[0.2, 0.1]]], [[[0.3, 0.5]]]])
    assert strongest(lambda number: maps[number], 3).numpy().tolist() == [[[2, 0]]]
    assert strongest(lambda number: maps[0], 1).numpy().tolist() == [[[0, 0]]]


def test_colours_beyond_255_are_refused():
    image = np.full((8, 8, 8, 1), 256, np.float32)
    with pytest.raises(tf.errors.InvalidArgumentError, match="colours go from 0 to 255"):
        prepared(image, np.ones(3), plan(schemes=("rgb_to_0_1",)))
