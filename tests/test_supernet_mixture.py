"""The shared edge against plain automatic differentiation, in float64."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from some_operations import RESIDUAL_CONV, SIGMOID, STATEFUL, TWO_CONVOLUTIONS, known_too
from some_spaces import SCNAS

from scnas_keras.errors import ConfigError
from scnas_keras.operations.facts import HALVING, ORDINARY
from scnas_keras.supernet.mixture import ALPHA, WEIGHTS, Mixture
from scnas_keras.supernet.relaxation import Draw

CHANNELS = 4
NAMES = SCNAS.operations


every_mixture = pytest.fixture(  # by day one that keeps convolutions and one that doesn't, for each rank
    scope="module",
    params=[
        pytest.param((rank, role, keep), id=f"{rank}d-{role}-keep{keep}", marks=() if keep == (role == ORDINARY) else pytest.mark.nightly)
        for rank, role, keep in itertools.product((3, 2), (ORDINARY, HALVING), (True, False))
    ],
)


@every_mixture
def mixture(request):
    rank, role, keep = request.param
    return Mixture(NAMES, rank, CHANNELS, role, keep_convolutions=keep, dtype="float64")


def edge_inputs(mixture, seed=0):
    rng = np.random.default_rng(seed)
    rank = max(len(kernel.shape) for layer in mixture.layers for kernel in layer.trainable_variables) - 2
    x = tf.constant(rng.normal(size=(2, *(8, 6, 10)[:rank], CHANNELS)))
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
    """`value_and_gradients` of the shared edge as a graph, with the drawn operations as its first input."""

    @tf.function(autograph=False)
    def run(drawn, x, weights, parameters):
        draw = Draw(drawn, weights)
        outputs, kept = mixture.forward(x, draw, parameters, keep=True)
        y = tf.add_n(outputs)
        dx, dparameters, dweights = mixture.backward(x, draw, parameters, kept, tf.cos(y), None, learn)
        return y, (dx, dweights, dparameters)

    return run


@pytest.fixture(scope="module")
def shared(mixture):
    return traced(mixture, (WEIGHTS, ALPHA))


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


@pytest.mark.parametrize("learn", [(WEIGHTS,), (ALPHA,)], ids=str)
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


def test_what_tied_maxima_hand_back_is_no_part_of_the_weights_gradient():
    """TensorFlow without oneDNN gives a maximum's gradient to each value that ties, as doubled resolutions have them."""
    mixture = Mixture(("max_pool_3", "identity"), 2, CHANNELS, ORDINARY, dtype="float64")
    layer = mixture.layers[0]
    pool = layer.call
    layer.call = tf.custom_gradient(lambda x: (pool(x), lambda dy: 2 * dy))
    x, weights = tf.random.stateless_normal((2, 6, 8, CHANNELS), (0, 1), dtype=tf.float64), tf.constant([0.7, 0.3], tf.float64)
    y, (_, dweights, _) = traced(mixture, (ALPHA,))(tf.range(2), x, weights, tf.zeros((0,), tf.float64))
    np.testing.assert_allclose(dweights, [tf.reduce_sum(tf.cos(y) * pool(x)), tf.reduce_sum(tf.cos(y) * x)], rtol=1e-10)


def test_all_operations_at_once(mixture):
    """The softmax relaxation: as many drawn operations as there are candidates."""
    x, _, parameters = edge_inputs(mixture, 3)
    weights = tf.constant(np.random.default_rng(4).dirichlet(np.ones(8)))

    def expected(x, weights, parameters):
        return tf.add_n([weights[i] * mixture.run(i, x, parameters) for i in range(8)])

    ours = traced(mixture, (WEIGHTS, ALPHA))(tf.range(8), x, weights, parameters)
    theirs = value_and_gradients(expected, x, weights, parameters)
    for a, b in zip(tf.nest.flatten(ours), tf.nest.flatten(theirs)):
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-10)


def test_edges_share_one_trace_and_keep_their_own_parameters():
    mixture = Mixture(NAMES, 3, CHANNELS, ORDINARY, dtype="float64")
    (x, weights, first), (_, _, second) = edge_inputs(mixture, 5), edge_inputs(mixture, 6)

    @tf.function(autograph=False)
    def chain(first, second):
        outputs, _ = mixture.forward(x, Draw(tf.constant([0, 2]), weights), first, keep=True)
        return tf.add_n(mixture.forward(tf.add_n(outputs), Draw(tf.constant([3, 6]), weights), second, keep=True)[0])

    expected = plain(mixture, (3, 6), plain(mixture, (0, 2), x, weights, first), weights, second)
    np.testing.assert_allclose(chain(first, second), expected, rtol=1e-10, atol=1e-12)
    nested = [f for f in chain.get_concrete_function(first, second).graph.as_graph_def().library.function]
    assert sum("forward" in f.signature.name for f in nested) == 1


def test_the_gradient_of_x_is_added_to_what_is_known(mixture):
    x, weights, parameters = edge_inputs(mixture, 7)

    @tf.function(autograph=False)
    def gradients(drawn):
        draw = Draw(drawn, weights)
        outputs, kept = mixture.forward(x, draw, parameters, keep=True)
        return [mixture.backward(x, draw, parameters, kept, outputs[0], known, (WEIGHTS,))[0] for known in (None, 3 * x)]

    alone, added = gradients(tf.constant([1, 5]))
    np.testing.assert_allclose(added, alone + 3 * x, rtol=1e-12, atol=1e-12)


def test_a_negligible_operation_counts_as_zero():
    everything, mixture = (Mixture(NAMES, 3, CHANNELS, ORDINARY, negligible=share, dtype="float64") for share in (0.0, 0.01))
    x, _, parameters = edge_inputs(mixture, 8)
    drawn, weights = tf.constant([0, 6]), tf.constant([0.995, 0.005], tf.float64)
    (y, ours), (whole, _) = (traced(m, (WEIGHTS, ALPHA))(drawn, x, weights, parameters) for m in (mixture, everything))
    np.testing.assert_allclose(whole, y + 0.005 * x, rtol=1e-10, atol=1e-12)
    _, expected = value_and_gradients(lambda x, w, p: w[0] * mixture.run(0, x, p), x, weights, parameters)
    for a, b in zip(ours, expected):
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-10)
    assert ours[1][1] == 0


def test_without_zero_among_the_candidates_nothing_is_negligible():
    few = ("conv_3", "max_pool_3", "identity")
    mixture, everything = (Mixture(few, 2, CHANNELS, ORDINARY, negligible=share, dtype="float64") for share in (0.4, 0.0))
    x, _, parameters = edge_inputs(everything, 8)
    weights = tf.constant([0.7, 0.3], tf.float64)
    ours, theirs = (traced(m, (WEIGHTS, ALPHA))(tf.constant([0, 2]), x, weights, parameters) for m in (mixture, everything))
    for a, b in zip(tf.nest.flatten(ours), tf.nest.flatten(theirs), strict=True):
        np.testing.assert_array_equal(a, b)
    assert np.abs(ours[1][1]).min() > 0


OTHERS = ("two_convolutions", "sigmoid", "residual_conv", "conv_3", "zero")


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    """More kinds of operations than any space of the package has."""
    sources = {"two_convolutions": TWO_CONVOLUTIONS, "sigmoid": SIGMOID, "residual_conv": RESIDUAL_CONV, "stateful": STATEFUL}
    with known_too(tmp_path_factory.mktemp("operations"), **sources):
        yield


@every_mixture
def mixture_of_others(request, others):
    rank, role, keep = request.param
    return Mixture(OTHERS, rank, CHANNELS, role, keep_convolutions=keep, dtype="float64")


@pytest.mark.parametrize("name", OTHERS[:3])
def test_any_layer_has_exact_gradients(mixture_of_others, name):
    """One with a normalisation between two kernels, one without kernels that isn't linear, one that adds to a plain convolution."""
    mixture, pair = mixture_of_others, (OTHERS.index(name), OTHERS.index("conv_3"))
    inputs = edge_inputs(mixture, 9)
    expected_y, (expected_dx, *expected) = value_and_gradients(lambda *a: plain(mixture, pair, *a), *inputs)
    for learn in ((WEIGHTS, ALPHA), (WEIGHTS,), (ALPHA,)):
        y, (dx, dweights, dparameters) = traced(mixture, learn)(tf.constant(pair), *inputs)
        np.testing.assert_allclose(y, expected_y, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(dx, expected_dx, rtol=1e-8, atol=1e-10)
        for asked, ours, theirs in zip((ALPHA, WEIGHTS), (dweights, dparameters), expected):
            if asked in learn:
                np.testing.assert_allclose(ours, theirs, rtol=1e-8, atol=1e-10, err_msg=asked)
                assert np.abs(theirs).max() > 1e-3
            else:
                assert not np.any(ours)


def test_start_values_and_parameters_are_the_layers(others):
    mixture = Mixture(OTHERS, 3, CHANNELS, ORDINARY, dtype="float64")
    size = 27 * CHANNELS**2
    assert mixture.size == 4 * size and [mixture.operation_slice(i).stop // size for i in range(5)] == [2, 2, 3, 4, 4]
    start = mixture.initial_parameters(np.random.default_rng(0))
    for kernel in np.split(start, 4):
        assert np.std(kernel) == pytest.approx(np.sqrt(2 / (27 * CHANNELS)), rel=0.15)


@pytest.mark.parametrize("name, found", [("first_told", "first"), ("told_backwards", "second"), ("told_narrower", "(3, 3, 4, 4)")])
def test_weights_that_the_facts_tell_otherwise_are_refused(others, name, found):
    """They would never be trained, or be inherited as each other."""
    with pytest.raises(ConfigError) as error:
        Mixture(("conv_3", name), 3, CHANNELS, ORDINARY)
    text = str(error.value)
    assert repr(name) in text and "(3, 3, 3, 4, 4)" in text and found in text and "facts.py" in text


@pytest.mark.parametrize("name, state", [("dropout", "seed_generator_state"), ("batch_norm", "moving_mean")])
def test_layers_with_a_state_are_refused(others, name, state):
    with pytest.raises(ConfigError, match=f"'{name}'.*{state}"):
        Mixture(("conv_3", name), 3, CHANNELS, ORDINARY)
