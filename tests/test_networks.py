"""Layers of the candidate operations and of the parts around the cells, against scipy and Keras."""

import itertools

import keras
import numpy as np
import pytest
from scipy import ndimage
from some_spaces import OPERATIONS

from scnas_keras.networks.parts import Align, OutCell, Stem, upsample
from scnas_keras.operations.base import InstanceNorm, subsample
from scnas_keras.operations.build import build_operation
from scnas_keras.operations.dilated_separable_conv.layer import DilatedSeparableConv
from scnas_keras.operations.facts import HALVING, ORDINARY
from scnas_keras.operations.identity.layer import Identity
from scnas_keras.operations.pool.layer import Pool
from scnas_keras.operations.registry import operation as facts_of

CHANNELS = 3
ROLES = {1: ORDINARY, 2: HALVING}
SLOPE_ERROR = 1e-7  # TensorFlow keeps the slope of a leaky ReLU in single precision


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def every_second(array):
    """The voxels on which a stride of 2 is centred, [batch, *space, channels]."""
    return array[(slice(None), *[slice(1, None, 2)] * (array.ndim - 2))]


def filtered(function, x):
    """Applies a scipy filter to each item and channel by itself."""
    result = np.empty_like(x)
    for item, channel in np.ndindex(x.shape[0], x.shape[-1]):
        result[item, ..., channel] = function(x[item, ..., channel])
    return result


def correlated(x, kernel):
    """A kernel [*window] over each item and channel, with zeros beyond the border."""
    return filtered(lambda image: ndimage.correlate(image, kernel, mode="constant"), x)


def leaky_relu(x):
    return np.where(x > 0, x, 0.01 * x)


def instance_normalized(x):
    space = tuple(range(1, x.ndim - 1))
    return (x - x.mean(space, keepdims=True)) / np.sqrt(x.var(space, keepdims=True) + 1e-5)


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("shape", [(2, 6, 5, 4, CHANNELS), (2, 7, 6, CHANNELS)], ids=["3d", "2d"])
def test_instance_norm_is_group_normalization_of_single_channels(affine, shape):
    x = normal(*shape) * 3 + 1
    ours = InstanceNorm(affine, dtype="float64")
    theirs = keras.layers.GroupNormalization(groups=-1, epsilon=1e-5, center=affine, scale=affine, dtype="float64")
    for layer in (ours, theirs):
        layer.build(shape)
    if affine:
        weights = [normal(CHANNELS, seed=1), normal(CHANNELS, seed=2)]
        ours.set_weights(weights)
        theirs.set_weights(weights)
    assert len(ours.weights) == len(theirs.weights) == 2 * affine
    np.testing.assert_allclose(ours(x), theirs(x), atol=1e-12)


def test_instance_norm_of_half_precision_is_computed_in_float32():
    x = (normal(1, 16, 16, 16, 1) + 200).astype("float16")  # whose squares float16 can't hold
    y = InstanceNorm(affine=False, dtype="float16")(x)
    assert keras.backend.standardize_dtype(y.dtype) == "float16"
    np.testing.assert_allclose(np.asarray(y, "float64"), instance_normalized(x.astype("float64")), atol=5e-3)


@pytest.mark.parametrize("rank, stride, rate", itertools.product((2, 3), (1, 2), (2, 3, 4)))
def test_composed_convolution_is_depthwise_then_pointwise(rank, stride, rate):
    x = normal(2, *(10, 8, 12)[:rank], CHANNELS)
    layer = DilatedSeparableConv(rate, stride=stride, dtype="float64")
    layer.build(x.shape)
    depthwise, pointwise = (np.asarray(weight) for weight in (layer.depthwise, layer.pointwise))
    assert depthwise.shape == (3,) * rank + (CHANNELS, 1) and pointwise.shape == (CHANNELS, CHANNELS)
    separate = np.empty_like(x)
    for channel in range(CHANNELS):
        dilated = np.zeros((2 * rate + 1,) * rank)
        dilated[(slice(None, None, rate),) * rank] = depthwise[..., channel, 0]
        separate[..., channel] = correlated(x[..., channel : channel + 1], dilated)[..., 0]
    expected = separate @ pointwise
    expected = every_second(expected) if stride == 2 else expected
    np.testing.assert_allclose(layer.convolve(x), expected, atol=1e-12)
    np.testing.assert_allclose(layer.before_norm(x), layer.convolve(leaky_relu(x)), atol=SLOPE_ERROR)
    np.testing.assert_allclose(layer(x), instance_normalized(np.asarray(layer.before_norm(x))), atol=1e-10)


@pytest.mark.parametrize("rank, stride", itertools.product((2, 3), (1, 2)))
def test_dense_convolution_is_a_sum_of_correlations(rank, stride):
    x = normal(2, *(10, 8, 12)[:rank], CHANNELS)
    layer = build_operation("conv_3", ROLES[stride], dtype="float64")
    layer.build(x.shape)
    kernel = np.asarray(layer.kernel)
    expected = np.zeros_like(x)
    for source, target in itertools.product(range(CHANNELS), repeat=2):
        expected[..., target] += correlated(x[..., source : source + 1], kernel[..., source, target])[..., 0]
    np.testing.assert_allclose(layer.convolve(x), every_second(expected) if stride == 2 else expected, atol=1e-12)


def pooled(x, mode):
    if mode == "max":
        return filtered(lambda image: ndimage.maximum_filter(image, 3, mode="constant", cval=-np.inf), x)
    window = np.ones((3,) * (x.ndim - 2))
    return correlated(x, window) / correlated(np.ones_like(x), window)


@pytest.mark.parametrize("rank, stride, mode", itertools.product((2, 3), (1, 2), ("max", "average")))
def test_pooling_is_scipys_in_both_precisions(rank, stride, mode):
    x = normal(2, *(6, 8, 10)[:rank], CHANNELS) - 2  # mostly negative, where zeros from beyond the border would show
    expected = every_second(pooled(x, mode)) if stride == 2 else pooled(x, mode)
    double, single = (Pool(mode, stride=stride, dtype=dtype)(x.astype(dtype)) for dtype in ("float64", "float32"))
    np.testing.assert_allclose(double, expected, atol=1e-12)
    np.testing.assert_allclose(single, double, atol=1e-6)


def test_strided_operations_are_centred_alike():
    """A strided identity picks the very voxels on which the convolution with a kernel of one centre tap is centred."""
    x = normal(1, 6, 8, 4, CHANNELS)
    conv = build_operation("conv_3", HALVING, dtype="float64")
    conv.build(x.shape)
    centre = np.zeros(conv.kernel.shape)
    centre[1, 1, 1] = np.eye(CHANNELS)
    conv.kernel.assign(centre)
    np.testing.assert_array_equal(Identity(stride=2, dtype="float64")(x), conv.convolve(x))
    np.testing.assert_array_equal(subsample(x), every_second(x))


@pytest.mark.parametrize("rank, stride, operation", itertools.product((2, 3), (1, 2), OPERATIONS))
def test_operations_keep_channels_and_divide_space(rank, stride, operation):
    shape = (2, *(8, 4, 6)[:rank], CHANNELS)
    layer = build_operation(operation, ROLES[stride])
    y = layer(normal(*shape).astype("float32"))
    assert tuple(y.shape) == (2, *(n // stride for n in shape[1:-1]), CHANNELS)
    assert tuple(layer.compute_output_shape(shape)) == tuple(y.shape)
    assert tuple(layer.compute_output_shape((None, *[None] * rank, CHANNELS))) == (None, *[None] * rank, CHANNELS)
    assert np.any(y) == (operation != "zero")
    again = type(layer).from_config(layer.get_config())
    assert again.get_config() == layer.get_config() and again.stride == stride


@pytest.mark.parametrize("operation", [name for name in OPERATIONS if facts_of(name).learns])
def test_a_convolution_without_scale_and_offset_comes_back_without(operation):
    layer = build_operation(operation, affine=False)
    again = type(layer).from_config(layer.get_config())
    for one in (layer, again):
        one.build((1, 4, 4, 4, CHANNELS))
    assert [weight.name for weight in again.weights] == [weight.name for weight in layer.weights]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_without_affine_only_convolutions_have_weights(operation):
    for affine in (True, False):
        layer = build_operation(operation, affine=affine)
        layer.build((1, 4, 4, 4, CHANNELS))
        names = [weight.name for weight in layer.trainable_weights]
        kernels = {"conv": ["kernel"], "dilated": ["depthwise", "pointwise"]}.get(facts_of(operation).group, [])
        assert sorted(names) == sorted(kernels + (["scale", "offset"] if affine and kernels else []))


def aligned(shift, x):
    """Two layers with the same random weights: one with the shift, one without."""
    shifted, plain = (Align(5, s, dtype="float64") for s in (shift, 0))
    for layer in (shifted, plain):
        layer.build(x.shape)
    weights = [normal(*weight.shape, seed=seed) for seed, weight in enumerate(shifted.get_weights())]
    shifted.set_weights(weights)
    plain.set_weights(weights)
    return shifted, plain


@pytest.mark.parametrize("rank", [2, 3])
def test_doubling_commutes_with_the_alignment(rank):
    x = normal(2, *(4, 6, 2)[:rank], CHANNELS)
    shifted, plain = aligned(1, x)
    np.testing.assert_allclose(shifted(x), plain(upsample(x)), atol=1e-10)
    np.testing.assert_array_equal(upsample(x), np.kron(x, np.ones((1, *[2] * rank, 1))))
    assert shifted.compute_output_shape(x.shape) == tuple(shifted(x).shape) == (2, *(8, 12, 4)[:rank], 5)


@pytest.mark.parametrize("rank", [2, 3])
def test_halving_commutes_with_the_pointwise_convolution(rank):
    x = normal(2, *(4, 6, 8)[:rank], CHANNELS)
    shifted, _ = aligned(-1, x)
    kernel, scale, offset = shifted.kernel.numpy(), shifted.norm.scale.numpy(), shifted.norm.offset.numpy()
    expected = instance_normalized(every_second(leaky_relu(x) @ kernel)) * scale + offset
    np.testing.assert_allclose(shifted(x), expected, atol=SLOPE_ERROR)
    assert shifted.compute_output_shape(x.shape) == tuple(shifted(x).shape) == (2, *(2, 3, 4)[:rank], 5)


@pytest.mark.parametrize("rank", [2, 3])
def test_stem_and_output_keep_the_grid(rank):
    x = normal(1, *(4, 6, 5)[:rank], CHANNELS).astype("float32")
    stem, out = Stem(8), OutCell(2)
    features = stem(x)
    np.testing.assert_allclose(np.mean(features, tuple(range(1, rank + 1))), 0, atol=1e-5)
    assert stem.compute_output_shape(x.shape) == tuple(features.shape) == (*x.shape[:-1], 8)
    logits = out(features)
    assert out.compute_output_shape(features.shape) == tuple(logits.shape) == (*x.shape[:-1], 2)
    out.bias.assign([0.5, -0.5])
    expected = leaky_relu(np.asarray(features)) @ np.asarray(out.kernel) + [0.5, -0.5]
    np.testing.assert_allclose(out(features), expected, atol=1e-5)
