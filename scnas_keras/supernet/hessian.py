"""How sharp the validation loss is in the architecture: the dominant eigenvalue of its Hessian over the logits.

A search whose eigenvalue keeps rising tends to end in an architecture that loses much when it is discretised
(Zela et al., Understanding and Robustifying Differentiable Architecture Search, arXiv 1909.09656).
"""

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from scnas_keras.supernet import relaxation as relax
from scnas_keras.supernet.mixture import LOGITS
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
            step sees as curvature without end; half a logit, over all logits together, gave equal values from any seed.
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


def logits_curvature(supernet: Supernet, images: tf.Tensor, labels: tf.Tensor, iterations: int = 10) -> Callable[[int], float]:
    """Epoch -> dominant eigenvalue of the loss' Hessian over the supernet's present logits, on one batch.

    The loss is that of all operations under softmax(logits), whatever the search draws: a function of the logits alone.

    Args:
        supernet: compiled.
        images: [batch, *space, channels].
        labels: [batch, *space].
        iterations: of the power iteration, two gradients each.
    """

    @tf.function(autograph=False)
    def gradient(logits, images, labels):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(logits)
            output = supernet.forward(images, relax.softmax(logits, tf.constant(1.0)), (LOGITS,))
            loss = supernet.loss_function(labels, output)
        return tape.gradient(loss, logits)

    def at(point: np.ndarray) -> np.ndarray:
        return gradient(tf.constant(point, tf.float32), images, labels).numpy()

    return lambda epoch: dominant_eigenvalue(at, keras.ops.convert_to_numpy(supernet.logits), iterations, seed=epoch)
