"""The dominant eigenvalue: of quadratics whose spectrum is known, and of a supernet against its full Hessian."""

import types

import keras
import numpy as np
import pytest
import tensorflow as tf
from some_spaces import U

from scnas_keras.spaces.u_shape import u_shaped
from scnas_keras.supernet import relaxation as relax
from scnas_keras.supernet.hessian import alpha_curvature, dominant_eigenvalue
from scnas_keras.supernet.mixture import ALPHA
from scnas_keras.supernet.supernet import Supernet
from scnas_keras.training.losses import JaccardLoss


def quadratic(spectrum, seed=0):
    """Gradient of x A x / 2 + b x, where A has this spectrum in a random basis."""
    rng = np.random.default_rng(seed)
    basis, _ = np.linalg.qr(rng.normal(size=(len(spectrum), len(spectrum))))
    matrix, linear = basis @ np.diag(spectrum) @ basis.T, rng.normal(size=len(spectrum))
    return lambda x: (matrix @ x.ravel() + linear).reshape(x.shape)


@pytest.mark.parametrize("spectrum, largest", [([5, 2, 1, 0.5, 0, -1], 5), ([-7, 3, 2, 1, 0, 0], -7), ([1e-4, 3e-5, 0, 0, 0, 0], 1e-4)])
def test_quadratic(spectrum, largest):
    x = np.random.default_rng(1).normal(size=(2, 3))
    assert dominant_eigenvalue(quadratic(spectrum), x, iterations=60, tolerance=1e-7) == pytest.approx(largest, rel=1e-3)


def test_a_linear_function_has_none():
    assert dominant_eigenvalue(lambda x: np.ones(4), np.zeros(4)) == 0


def test_it_ends_early_and_depends_on_the_seed_only():
    calls = []

    def gradient(x):
        calls.append(x)
        return quadratic([10, 0.1, 0.1, 0.1])(x)

    first = dominant_eigenvalue(gradient, np.zeros(4), iterations=50, seed=3)
    assert len(calls) <= 12 and first == pytest.approx(10, rel=1e-3)
    assert dominant_eigenvalue(gradient, np.zeros(4), iterations=50, seed=3) == first


def dense(gradient, x, step):
    """Spectrum of the whole Hessian, by differences along every axis."""
    units = np.eye(x.size).reshape(-1, *x.shape)
    rows = np.array([(gradient(x + step * unit) - gradient(x - step * unit)).ravel() / (2 * step) for unit in units])
    return np.linalg.eigvalsh((rows + rows.T) / 2)


def test_the_loss_is_that_of_all_operations_under_their_softmax():
    """A network whose output is the sum of the edges' weights times fixed vectors, with the square as its loss; in two banks."""
    rng = np.random.default_rng(0)
    vectors, alpha = rng.normal(size=(6, 4, 5)).astype("float32"), rng.normal(size=(6, 4)).astype("float32")
    network = types.SimpleNamespace(
        alpha=[alpha[:2], alpha[2:]],
        banks=types.SimpleNamespace(banks=[types.SimpleNamespace(shape=(2, 4)), types.SimpleNamespace(shape=(4, 4))]),
        forward=lambda images, draws, learn: tf.einsum("eo,eov->v", tf.concat([own.weights for own in draws], axis=0), vectors) + images,
        loss_function=lambda labels, output: tf.reduce_sum((output - labels) ** 2),
    )
    images, labels = tf.ones(5), tf.zeros(5)

    def gradient(x):
        p = np.exp(x) / np.exp(x).sum(-1, keepdims=True)
        dp = vectors @ (2 * (np.einsum("eo,eov->v", p, vectors) + 1))
        return p * (dp - (p * dp).sum(-1, keepdims=True))

    spectrum = dense(gradient, alpha.astype(float), 1e-3)
    found = alpha_curvature(network, images, labels, iterations=100)(1)
    assert found == pytest.approx(spectrum[np.abs(spectrum).argmax()], rel=0.05)


@pytest.mark.parametrize("rank", [2, pytest.param(3, marks=pytest.mark.nightly)])
def test_of_a_supernet_against_its_whole_hessian(rank):
    space = u_shaped("tiny", rank, ("conv_3", "identity", "zero"), 1, U)
    keras.utils.set_random_seed(0)
    supernet = Supernet(space, 1, 2, 8)
    supernet.compile(keras.optimizers.SGD(1.0), keras.optimizers.SGD(0.1), JaccardLoss())
    rng = np.random.default_rng(0)
    images = tf.constant(rng.normal(size=(1, *[16] * rank, 1)), tf.float32)
    labels = tf.cast(images[..., 0] > 0, tf.int32)
    learn = tf.function(
        lambda: supernet.optimizer.apply(supernet.weights_gradient(images, labels)[1], supernet.weight_variables), autograph=False
    )
    for _ in range(40):
        learn()
    (alpha,) = supernet.alpha
    alpha.assign(rng.normal(size=alpha.shape))
    before = [np.array(v) for v in supernet.variables]
    curvature = alpha_curvature(supernet, images, labels, iterations=30)
    found = [curvature(epoch) for epoch in (1, 2)]
    for v, old in zip(supernet.variables, before):
        np.testing.assert_array_equal(v, old)
    assert found[0] == pytest.approx(found[1], rel=0.05)

    @tf.function(autograph=False)
    def gradient(alpha):
        with tf.GradientTape() as tape:
            tape.watch(alpha)
            loss = supernet.loss_function(labels, supernet.forward(images, [relax.softmax(alpha)], (ALPHA,)))
        return tape.gradient(loss, alpha)

    spectrum = dense(lambda x: gradient(tf.constant(x, tf.float32)).numpy(), np.array(alpha), 0.5)
    assert found[0] == pytest.approx(spectrum[np.abs(spectrum).argmax()], rel=0.15)
