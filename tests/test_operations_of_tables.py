"""Operations of DARTS, NAS-Unet and Auto-DeepLab against NumPy in float64, written out with loops, and their gradients in a mixture."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from fast_form_checks import check_fast_form
from mixture_gradients import check_gradients

from scnas_keras.operations.build import build_operation
from scnas_keras.operations.facts import DOUBLING, HALVING, ORDINARY
from scnas_keras.operations.registry import operation
from scnas_keras.supernet.mixture import Mixture

CHANNELS = 16
FAST = ("depthwise_conv_3", "separable_conv_5")
"""Of those that have faster forms, besides the dilated ones."""


def lrelu(x):
    return np.where(x > 0, x, 0.01 * x)


def norm(x):
    axes = tuple(range(1, x.ndim - 1))
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + 1e-5)


def conv(x, kernel, rate=1):
    """With zeros beyond the border."""
    rank, size = x.ndim - 2, len(kernel)
    reach = rate * (size // 2)
    padded = np.pad(x, [(0, 0), *[(reach, reach)] * rank, (0, 0)])
    result = 0
    for taps in itertools.product(range(size), repeat=rank):
        window = tuple(slice(rate * tap, rate * tap + edge) for tap, edge in zip(taps, x.shape[1:-1]))
        result = result + padded[(slice(None), *window)] @ kernel[taps]
    return result


def spread_conv(x, kernel):
    """A transposed convolution with stride 2: each voxel adds its kernel around the second voxel of its block."""
    rank = x.ndim - 2
    space = [2 * edge for edge in x.shape[1:-1]]
    result = np.zeros((len(x), *[edge + 2 for edge in space], kernel.shape[-1]))
    for taps in itertools.product(range(3), repeat=rank):
        window = tuple(slice(tap, tap + edge, 2) for tap, edge in zip(taps, space))
        result[(slice(None), *window)] += x @ kernel[taps]
    return result[(slice(None), *(slice(0, edge) for edge in space))]


def every_second(x):
    return x[(slice(None), *[slice(1, None, 2)] * (x.ndim - 2))]


def twice(x):
    for axis in range(1, x.ndim - 1):
        x = np.repeat(x, 2, axis)
    return x


def composed(w, number=""):
    return w[f"depthwise{number}"] * w[f"pointwise{number}"]


def strided(y, role):
    return every_second(y) if role == HALVING else y


def separable(x, w, role):
    x = norm(strided(conv(lrelu(x), composed(w, "_1")), role))
    return norm(conv(lrelu(x), composed(w, "_2")))


def dense(rate):
    return lambda x, w, role: norm(strided(conv(lrelu(x), w["kernel"], rate), role))


def depthwise(rate):
    return lambda x, w, role: norm(strided(conv(lrelu(x), composed(w), rate), role))


def weighted(x, w, role):
    pooled = x.mean(axis=tuple(range(1, x.ndim - 1)), keepdims=True)
    y = x / (1 + np.exp(-(lrelu(pooled @ w["squeeze"]) @ w["excite"])))
    if role == ORDINARY:
        return y
    return norm(spread_conv(y, w["kernel"]) if role == DOUBLING else every_second(conv(y, w["kernel"])))


REFERENCES = {
    "separable_conv_5": separable,
    "dilated_conv_5_rate_2": depthwise(2),
    "depthwise_conv_3": depthwise(1),
    "conv_3_rate_2": dense(2),
    "conv_5_rate_2": dense(2),
    "channel_weight": weighted,
    "channel_weight_down": weighted,
    "channel_weight_up": weighted,
    "conv_3_up": lambda x, w, role: norm(spread_conv(lrelu(x), w["kernel"])),
    "depthwise_conv_3_up": lambda x, w, role: norm(spread_conv(lrelu(x), composed(w))),
    "conv_3_rate_2_up": lambda x, w, role: norm(twice(conv(lrelu(x), w["kernel"]))),
}
CASES = [(name, role) for name in REFERENCES for role in operation(name).roles]


@pytest.mark.parametrize("rank", (2, 3))
@pytest.mark.parametrize("name, role", CASES)
def test_operations_are_those_of_numpy(rank, name, role):
    x = np.random.default_rng(0).normal(size=(2, *(8, 6, 10)[:rank], CHANNELS))
    layer = build_operation(name, role, dtype="float64")
    found = np.asarray(layer(x))
    weights = {v.name: np.asarray(v, np.float64) for v in layer.trainable_weights if v.name not in ("scale", "offset")}
    assert [*weights] == [*operation(name).kernel_names(rank)]
    np.testing.assert_allclose(found, REFERENCES[name](x, weights, role), atol=1e-7)
    scale = {ORDINARY: 1, HALVING: 0.5, DOUBLING: 2}[role]
    assert found.shape == (2, *(int(size * scale) for size in x.shape[1:-1]), CHANNELS) == layer.compute_output_shape(x.shape)
    assert layer.count_params() == operation(name).parameters(rank, CHANNELS)
    voxels = int(np.prod(found.shape[1:-1]))
    assert layer.multiply_adds(voxels) == operation(name).multiply_adds(rank, CHANNELS, voxels)
    assert type(layer).from_config(layer.get_config()).get_config() == layer.get_config()


@pytest.mark.parametrize("rank", (2, 3))
@pytest.mark.parametrize("name, role", [case for case in CASES if "dilated" in case[0] or case[0] in FAST])
def test_the_faster_forms_are_equal(rank, name, role):
    layer = build_operation(name, role, dtype="float64")
    check_fast_form(layer, (2, *(8, 6, 10)[:rank], CHANNELS))
    assert layer.fast_form is not None


@pytest.mark.parametrize("rank", (2, 3))
@pytest.mark.parametrize("role", (ORDINARY, HALVING, DOUBLING))
def test_their_gradients_through_the_mixture_are_those_of_autodiff(rank, role):
    """In float64: of the input, of the kernels and of both weights, for each two neighbours of the list."""
    names = [name for name, own in CASES if own == role]
    candidates = names if role == DOUBLING else [*names, "zero"]
    mixture, random = Mixture(candidates, rank, CHANNELS, role, dtype="float64"), np.random.default_rng(0)
    inputs = (
        tf.constant(random.normal(size=(2, *(8, 6, 4)[:rank], CHANNELS))),
        tf.constant([0.7, 0.3], tf.float64),
        tf.constant(mixture.initial_parameters(random)),
    )

    check_gradients(mixture, inputs, [(first, (first + 1) % len(names)) for first in range(len(names))])
