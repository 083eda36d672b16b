"""How sharp the validation loss is in the architecture: the dominant eigenvalue of its Hessian over alpha.

A search whose eigenvalue keeps rising tends to end in an architecture that loses much when it is discretised
(Zela et al., Understanding and Robustifying Differentiable Architecture Search, arXiv 1909.09656).
"""

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from scnas_keras.supernet import relaxation as relax
from scnas_keras.supernet.mixture import ALPHA
from scnas_keras.supernet.supernet import Supernet


def dominant_eigenvalue(
    gradient: Callable[[np.ndarray], np.ndarray],
    x: np.ndarray,
    iterations: int = 20,
    seed: int = 0,
    step: float = 0.5,
    tolerance: float = 0.01,
) -> float:
    """The Hessian's eigenvalue of largest magnitude, with its sign, by power iteration.

    Products of Hessian and vector are central differences of the gradient: two gradients an iteration, and nothing is
    asked of the gradient but to be a deterministic function.

    Args:
        gradient: of the function, at a point of x's shape.
        x: the point.
        iterations: at most; fewer once the eigenvalue changes by less than the tolerance, relative to itself.
        seed: of the first direction.
        step: length of the differences' step to either side. A network with rectifiers is kinked everywhere, which a small
            step sees as curvature without end; a half, over all of alpha together, gave equal values from any seed.
        tolerance: see `iterations`.
    """
    direction = np.random.default_rng(seed).normal(size=x.shape)
    direction /= np.linalg.norm(direction)
    value = 0.0
    for _ in range(iterations):
        ahead, behind = (np.asarray(gradient(x + sign * step * direction), np.float64) for sign in (1, -1))
        product = (ahead - behind) / (2 * step)
        before, value, length = value, float(np.vdot(direction, product)), np.linalg.norm(product)
        if length == 0 or abs(value - before) < tolerance * abs(value):
            break
        direction = product / length
    return value


def alpha_curvature(supernet: Supernet, images: tf.Tensor, labels: tf.Tensor, iterations: int = 10) -> Callable[[int], float]:
    """Epoch -> dominant eigenvalue of the loss' Hessian over the supernet's present alpha, on one batch.

    The loss is that of all operations under softmax(alpha), whatever the search draws: a function of alpha alone.

    Args:
        supernet: compiled.
        images: [batch, *space, channels].
        labels: [batch, *space].
        iterations: of the power iteration, two gradients each.
    """
    sizes = [np.prod(bank.shape) for bank in supernet.banks.banks]

    @tf.function(autograph=False)
    def gradient(alpha, images, labels):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(alpha)
            banks = [tf.reshape(own, bank.shape) for own, bank in zip(tf.split(alpha, sizes), supernet.banks.banks)]
            output = supernet.forward(images, [relax.softmax(own) for own in banks], (ALPHA,))
            loss = supernet.loss_function(labels, output)
        return tape.gradient(loss, alpha)

    def at(point: np.ndarray) -> np.ndarray:
        return gradient(tf.constant(point, tf.float32), images, labels).numpy()

    def present() -> np.ndarray:
        return np.concatenate([keras.ops.convert_to_numpy(alpha).ravel() for alpha in supernet.alpha])

    return lambda epoch: dominant_eigenvalue(at, present(), iterations, seed=epoch)
