"""The shared edge against plain automatic differentiation, in float64."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from scnas_keras.spaces.space import SCNAS
from scnas_keras.supernet.fused_norm import FusedInstanceNorm
from scnas_keras.supernet.mixture import LOGITS, WEIGHTS, Mixture
from scnas_keras.supernet.relaxation import Draw

CHANNELS = 4
NAMES = SCNAS.operations


@pytest.fixture(scope="module", params=list(itertools.product((1, 2), (True, False))), ids=lambda p: f"stride{p[0]}-keep{p[1]}")
def mixture(request):
    stride, keep = request.param
    return Mixture(NAMES, 3, CHANNELS, stride, keep_convolutions=keep, dtype="float64")


def edge_inputs(mixture, seed=0):
    rng = np.random.default_rng(seed)
    x = tf.constant(rng.normal(size=(2, 8, 6, 10, CHANNELS)))
    return x, tf.constant([0.7, 0.3], tf.float64), tf.constant(mixture.initial_parameters(rng))


def plain(mixture, pair, x, weights, parameters):
    return weights[0] * mixture.run(pair[0], x, parameters) + weights[1] * mixture.run(pair[1], x, parameters)


def value_and_gradients(function, *inputs):
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        y = function(*inputs)
        score = tf.reduce_sum(tf.sin(y))
    return y, tape.gradient(score, inputs, unconnected_gradients="zero")


def traced(mixture, learn):
    """value_and_gradients of the shared edge as a graph, with the drawn operations as its first input."""

    @tf.function(autograph=False)
    def run(drawn, x, weights, parameters):
        return value_and_gradients(lambda x, w, p: mixture(x, Draw(drawn, w), p, learn), x, weights, parameters)

    return run


@pytest.fixture(scope="module")
def shared(mixture):
    return traced(mixture, (WEIGHTS, LOGITS))


@pytest.mark.parametrize("operation", range(8), ids=NAMES)
def test_shared_edge_equals_plain_autodiff(mixture, shared, operation):
    pair = (operation, (operation + 3) % 8)
    inputs = edge_inputs(mixture)
    y, gradients = shared(tf.constant(pair), *inputs)
    expected_y, expected = value_and_gradients(lambda *a: plain(mixture, pair, *a), *inputs)
    np.testing.assert_allclose(y, expected_y, rtol=1e-10, atol=1e-12)
    for name, ours, theirs in zip(("x", "weights", "parameters"), gradients, expected):
        np.testing.assert_allclose(ours, theirs, rtol=1e-8, atol=1e-10, err_msg=name)
    assert np.abs(expected[0]).max() > 1e-3


@pytest.mark.parametrize("learn", [(WEIGHTS,), (LOGITS,)], ids=str)
def test_variants_compute_what_was_asked_for(mixture, learn):
    inputs, pair = edge_inputs(mixture, 1), (0, 4)
    _, (dx, dweights, dparameters) = traced(mixture, learn)(tf.constant(pair), *inputs)
    _, expected = value_and_gradients(lambda *a: plain(mixture, pair, *a), *inputs)
    np.testing.assert_allclose(dx, expected[0], rtol=1e-8, atol=1e-10)
    wanted, unwanted = (dparameters, dweights) if learn == (WEIGHTS,) else (dweights, dparameters)
    np.testing.assert_allclose(wanted, expected[2] if learn == (WEIGHTS,) else expected[1], rtol=1e-8, atol=1e-10)
    assert not np.any(unwanted)


def test_only_drawn_operations_have_gradients(mixture, shared):
    _, (_, _, gradient) = shared(tf.constant([1, 0]), *edge_inputs(mixture, 2))
    for operation in range(8):
        part = gradient.numpy()[mixture.operation_slice(operation)]
        assert part.size == 0 or bool(np.any(part)) == (operation in (0, 1)), NAMES[operation]


def test_all_operations_at_once(mixture):
    """The softmax relaxation: as many drawn operations as there are candidates."""
    x, _, parameters = edge_inputs(mixture, 3)
    weights = tf.constant(np.random.default_rng(4).dirichlet(np.ones(8)))

    def expected(x, weights, parameters):
        return tf.add_n([weights[i] * mixture.run(i, x, parameters) for i in range(8)])

    ours = traced(mixture, (WEIGHTS, LOGITS))(tf.range(8), x, weights, parameters)
    theirs = value_and_gradients(expected, x, weights, parameters)
    for a, b in zip(tf.nest.flatten(ours), tf.nest.flatten(theirs)):
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-10)


def test_edges_share_one_trace_and_keep_their_own_parameters():
    mixture = Mixture(NAMES, 3, CHANNELS, 1, dtype="float64")
    (x, weights, first), (_, _, second) = edge_inputs(mixture, 5), edge_inputs(mixture, 6)

    @tf.function(autograph=False)
    def chain(first, second):
        y = mixture(x, Draw(tf.constant([0, 2]), weights), first, (WEIGHTS,))
        return mixture(y, Draw(tf.constant([3, 6]), weights), second, (WEIGHTS,))

    expected = plain(mixture, (3, 6), plain(mixture, (0, 2), x, weights, first), weights, second)
    np.testing.assert_allclose(chain(first, second), expected, rtol=1e-10, atol=1e-12)
    nested = [f for f in chain.get_concrete_function(first, second).graph.as_graph_def().library.function]
    assert sum("forward" in f.signature.name for f in nested) == 1


@pytest.mark.parametrize("batch", [1, 3])
def test_fused_norm_equals_instance_norm_in_float64(batch):
    x = np.random.default_rng(0).normal(3, 2, (batch, 6, 5, 4, 3))
    expected = (x - x.mean((1, 2, 3), keepdims=True)) / np.sqrt(x.var((1, 2, 3), keepdims=True) + 1e-5)
    np.testing.assert_allclose(FusedInstanceNorm(1e-5)(tf.constant(x, tf.float32)), expected, atol=2e-5)
