import numpy as np
import pytest
import scipy.ndimage
from row_by_row import resize_argmax

from scnas_keras.preprocessing import resampling
from scnas_keras.preprocessing.resampling import coarse_axis, resampled_shape, resize, resize_label

SHAPES = [(20, 9, 7), (6, 22, 11), (13, 11, 1), (13, 16, 9)]


def noise(shape=(13, 11, 7)):
    return np.random.default_rng(0).normal(size=shape)


def at_centres(array, shape, order):
    """The definition: the spline's value at the new voxels' centres."""
    centres = ((np.arange(new) + 0.5) * old / new - 0.5 for old, new in zip(array.shape, shape))
    grid = np.meshgrid(*centres, indexing="ij")
    return scipy.ndimage.map_coordinates(array, grid, order=order, mode="nearest")


def zoomed(array, shape, order):
    factors = [new / old for old, new in zip(array.shape, shape)]
    return scipy.ndimage.zoom(array, factors, order=order, mode="nearest", grid_mode=True)


@pytest.fixture(params=[2**22, 150])
def slab(request, monkeypatch):
    """The whole in one slab, and in many."""
    monkeypatch.setattr(resampling, "_SLAB_VOXELS", request.param)


@pytest.mark.parametrize("reference", [at_centres, zoomed])
@pytest.mark.parametrize("order", [1, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_resize_is_scipys_interpolation_clipped_to_the_input(slab, reference, order, shape):
    array = noise()
    expected = reference(array, shape, order).clip(array.min(), array.max())
    np.testing.assert_allclose(resize(array.astype(np.float32), shape, (order,) * 3), expected, atol=1e-5)


def test_nearest_takes_the_voxel_that_holds_the_centre(slab):
    array = noise((4, 6, 5))
    np.testing.assert_array_equal(resize(array, (12, 3, 5), (0, 0, 0)), np.float32(array.repeat(3, 0)[:, 1::2]))
    np.testing.assert_allclose(resize(array, (7, 9, 3), (0, 0, 0)), at_centres(array, (7, 9, 3), 0), atol=1e-6)


@pytest.mark.parametrize("orders, shape", [((0, 3, 3), (9, 14, 10)), ((3, 3, 0), (8, 20, 3)), ((3, 0, 3), (20, 8, 15))])
def test_a_coarse_axis_is_resampled_by_itself(slab, orders, shape):
    """Slice by slice in the plane, clipped to each slice's range, then the nearest slice."""
    array = noise()
    axis = orders.index(0)
    in_plane = [size for index, size in enumerate(shape) if index != axis]
    slices = [zoomed(part, in_plane, 3).clip(part.min(), part.max()) for part in np.moveaxis(array, axis, 0)]
    chosen = [int((index + 0.5) * len(slices) / shape[axis]) for index in range(shape[axis])]
    expected = np.stack([slices[index] for index in chosen], axis)
    np.testing.assert_allclose(resize(array.astype(np.float32), shape, orders), expected, atol=1e-5)


def test_orders_may_differ_by_axis(slab):
    array = noise()
    expected = at_centres(at_centres(array, (13, 20, 5), 3), (21, 20, 5), 1)
    result = resize(array.astype(np.float32), (21, 20, 5), (1, 3, 3))
    np.testing.assert_allclose(result, expected.clip(array.min(), array.max()), atol=1e-5)


def test_a_constant_stays_exactly_what_it_is(slab):
    assert set(np.unique(resize(np.full((13, 11, 7), 0.3, np.float32), (20, 9, 15), (3, 3, 3)))) == {np.float32(0.3)}


def test_resize_writes_into_one_channel_of_an_image():
    image = np.zeros((9, 9, 9, 2), np.float32)
    array = noise()
    resize(array, (9, 9, 9), (3, 3, 3), out=image[..., 1])
    np.testing.assert_array_equal(image[..., 1], resize(array, (9, 9, 9), (3, 3, 3)))
    assert not image[..., 0].any()


def test_resize_there_and_back_shifts_nothing():
    ramp = np.broadcast_to(np.arange(20, dtype=np.float32)[:, None, None], (20, 4, 4))
    linear = (1, 1, 1)
    back = resize(resize(ramp, (34, 6, 6), linear), (20, 4, 4), linear)
    np.testing.assert_allclose(back[1:-1], ramp[1:-1], atol=0.02)
    np.testing.assert_allclose(back, 19 - back[::-1], atol=1e-4)


def test_an_axis_with_the_right_spacing_keeps_its_size():
    assert resampled_shape((1000, 10, 3), (1.0009, 1.0, 0.5), (1.0, 0.7, 9.0)) == (1000, 14, 1)
    assert resampled_shape((17, 10, 3), (5.0, 1.0, 1.0), (None, 0.5, 0.5)) == (17, 20, 6)


@pytest.mark.parametrize(
    "spacing, target, expected",
    [
        ((5.0, 1.0, 1.0), (1.0, 1.0, 1.0), 0),  # the scan's
        ((1.0, 1.0, 3.0), (1.0, 1.0, 1.0), None),  # three times isn't more than three times
        ((1.0, 1.0, 1.0), (1.0, 4.0, 1.0), 1),  # else the target's
        ((1.0, 1.0, 5.0), (5.0, 1.0, 1.0), 2),  # the scan's comes first
        ((5.0, 1.0, 5.0), (1.0, 1.0, 1.0), None),  # two coarse axes: plain 3D
        ((5.0, 1.0, 5.000001), (1.0, 1.0, 1.0), None),
        ((999.0, 1.0, 1.0), (None, 1.0, 1.0), 0),  # a picture
        ((2.0, 1.0, 1.0), (None, 0.5, 0.5), 0),  # slices that keep their distance, on a grid finer than they are
        ((2.0, 1.0, 1.0), (None, 1.0, 1.0), None),
    ],
)
def test_the_coarse_axis(spacing, target, expected):
    assert coarse_axis(spacing, target, 3.0) == expected


def test_a_label_voxel_gets_its_strongest_class(slab):
    label = np.random.default_rng(0).choice([0, 3, 254, 1000], (13, 11, 7)).astype(np.int32)
    values = np.unique(label)
    maps = [at_centres((label == value).astype(np.float64), (20, 9, 7), 1) for value in values]
    result = resize_label(label, (20, 9, 7), (1, 1, 1))
    assert result.dtype == np.int32
    best, second = np.sort(maps, axis=0)[[-1, -2]]
    clear = best > second + 1e-5
    np.testing.assert_array_equal(result[clear], values[np.argmax(maps, axis=0)][clear])
    assert clear.mean() > 0.9


def test_a_label_of_the_right_shape_is_copied():
    label = np.random.default_rng(0).integers(0, 9, (5, 6, 7), np.uint8).transpose(2, 0, 1)
    result = resize_label(label, label.shape, (1, 1, 1))
    np.testing.assert_array_equal(result, label)
    assert result.flags.c_contiguous and not np.shares_memory(result, label)


def test_probabilities_are_resized_before_the_maximum_is_taken(slab):
    probabilities = np.random.default_rng(0).random((9, 7, 5, 4), np.float32)
    maps = [at_centres(np.float64(probabilities[..., index]), (12, 7, 9), 1) for index in range(4)]
    result = resize_argmax(probabilities, (12, 7, 9), (1, 1, 1))
    assert result.dtype == np.uint8
    assert (result == np.argmax(maps, axis=0)).mean() > 0.999


def test_of_equally_probable_classes_the_first_wins():
    assert not resize_argmax(np.full((6, 6, 6, 3), 1 / 3, np.float16), (4, 9, 4), (1, 1, 1)).any()
