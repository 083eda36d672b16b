"""The supernet's fast kernels against the portable layers of `networks`, in float64."""

import numpy as np
import pytest
import tensorflow as tf

from scnas_keras.kernels import fast_operations
from scnas_keras.kernels.fast_forms import average
from scnas_keras.kernels.fast_operations import build_fast_operation
from scnas_keras.kernels.fused_norm import FusedInstanceNorm, gradient_from_output, normalize, normalize_gradient
from scnas_keras.operations.build import build_operation
from scnas_keras.operations.facts import HALVING, ORDINARY

EPSILON = 1e-5
POOLS = ("average_pool_3", "max_pool_3")
DILATED = ("dilated_conv_3_rate_2", "dilated_conv_3_rate_3", "dilated_conv_3_rate_4", "dilated_conv_5_rate_2")


def built(layer, rank, channels, seed):
    layer.build((None, *[None] * rank, channels))
    rng = np.random.default_rng(seed)
    for weight in layer.trainable_variables:
        weight.assign(rng.normal(size=weight.shape))
    return layer


def value_and_gradients(layer, x, dy):
    @tf.function(autograph=False)
    def run(x):
        variables = [v.value for v in layer.trainable_variables]
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
            score = tf.reduce_sum(y * tf.cast(dy, y.dtype))
        return y, tape.gradient(score, [x, *variables])

    return run(x)


@pytest.mark.parametrize("role, low_memory", [(ORDINARY, False), (HALVING, False), (HALVING, True)])
@pytest.mark.parametrize("rank", [2, 3])
@pytest.mark.parametrize("name", [*DILATED, "depthwise_conv_3", "conv_3_rate_2", "average_pool_3"])
@pytest.mark.parametrize("large", [False, True], ids=["as small", "as large"])
def test_fast_forms_equal_the_portable_ones(name, rank, role, low_memory, large, monkeypatch):
    if large:
        monkeypatch.setattr(fast_operations, "FEW_CHANNELS", 0)
    rng, stride = np.random.default_rng(0), 2 if role == HALVING else 1
    space = (8, 6, 10)[:rank]
    x, dy = rng.normal(size=(2, *space, 4)), rng.normal(size=(2, *(n // stride for n in space), 4))
    fast = built(build_fast_operation(name, role, "float32", low_memory), rank, 4, 1)
    portable = built(build_operation(name, role, affine=False, dtype="float64"), rank, 4, 1)
    ours, theirs = (value_and_gradients(layer, tf.constant(x, layer.compute_dtype), dy) for layer in (fast, portable))
    for a, b in zip(tf.nest.flatten(ours), tf.nest.flatten(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-4 * np.abs(b).max())


@pytest.mark.parametrize(
    "shape, rate, stride, dense",
    [
        ((1, 32, 32, 32, 4), 2, 1, True),
        ((1, 40, 56, 40, 16), 2, 1, False),
        ((1, 8, 8, 8, 32), 4, 1, True),
        ((2, 8, 8, 8, 32), 4, 1, False),
        ((1, 4, 4, 4, 64), 4, 1, False),
        ((1, 40, 56, 40, 64), 3, 2, True),
        ((1, 40, 56, 40, 64), 2, 2, False),
    ],
)
def test_small_images_are_convolved_densely(shape, rate, stride, dense, monkeypatch):
    layer = build_fast_operation(f"dilated_conv_3_rate_{rate}", HALVING if stride == 2 else ORDINARY, "float32")
    layer.build(shape)
    calls = []
    monkeypatch.setattr(fast_operations, "separable_conv", lambda *words: calls.append(words))
    tf.function(layer.convolve).get_concrete_function(tf.TensorSpec(shape))
    assert bool(calls) != dense


def test_the_supernets_averages_have_the_faster_gradient():
    forms = {(name, role): build_fast_operation(name, role, "float32").fast_form for name in POOLS for role in (ORDINARY, HALVING)}
    assert {key for key, form in forms.items() if form is average} == {("average_pool_3", ORDINARY)}


@pytest.mark.parametrize("size", [1, 2, 3])
def test_averages_of_thin_images(size):
    x = tf.constant(np.random.default_rng(2).normal(size=(1, size, 4, 5, 2)), tf.float32)
    fast, portable = build_fast_operation("average_pool_3", ORDINARY, "float32"), build_operation("average_pool_3", dtype="float64")
    for a, b in zip(
        *(tf.nest.flatten(value_and_gradients(layer, tf.cast(x, layer.compute_dtype), np.cos(x))) for layer in (fast, portable))
    ):
        np.testing.assert_allclose(a, b, atol=1e-5)


@pytest.mark.parametrize("batch", [1, 3])
def test_fused_norm_equals_instance_norm_in_float64(batch):
    x = np.random.default_rng(0).normal(3, 2, (batch, 6, 5, 4, 3))
    expected = (x - x.mean((1, 2, 3), keepdims=True)) / np.sqrt(x.var((1, 2, 3), keepdims=True) + 1e-5)
    np.testing.assert_allclose(FusedInstanceNorm(1e-5)(tf.constant(x, tf.float32)), expected, atol=2e-5)


@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-9), ("float32", 2e-4), ("bfloat16", 5e-2)])
@pytest.mark.parametrize("batch", [1, 2])
def test_norm_gradients_equal_automatic_differentiation(batch, dtype, tolerance):
    rng = np.random.default_rng(3)
    x, dy = (tf.cast(tf.constant(rng.normal(m, 2, (batch, 4, 5, 6, 3))), dtype) for m in (1, 0))
    wide, upstream, scale = tf.cast(x, tf.float64), tf.cast(dy, tf.float64), tf.constant(0.3, tf.float64)
    with tf.GradientTape() as tape:
        tape.watch([wide, scale])
        mean, variance = tf.nn.moments(wide, [1, 2, 3], keepdims=True)
        y = scale * (wide - mean) / tf.sqrt(variance + EPSILON)
        score = tf.reduce_sum(y * upstream)
    expected_dx, expected_dscale = tape.gradient(score, [wide, scale])
    ours, statistics = normalize(x, tf.cast(scale, dtype), EPSILON)
    np.testing.assert_allclose(tf.cast(ours, tf.float64), y, atol=5 * tolerance)
    dx, dscale = normalize_gradient(dy, x, statistics, tf.cast(scale, dtype), EPSILON)
    np.testing.assert_allclose(tf.cast(dx, tf.float64), expected_dx, atol=tolerance)
    np.testing.assert_allclose(tf.cast(dscale, tf.float64), expected_dscale, rtol=5 * tolerance)
    unit, statistics = normalize(x, tf.ones((), dtype), EPSILON)
    dx = gradient_from_output(dy, unit, statistics, EPSILON)
    np.testing.assert_allclose(tf.cast(dx, tf.float64), expected_dx / 0.3, atol=5 * tolerance)
