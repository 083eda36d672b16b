"""Gradients through a mixture of operations, beside those of automatic differentiation."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from scnas_keras.supernet.mixture import ALPHA, WEIGHTS, Mixture
from scnas_keras.supernet.relaxation import Draw


def check_gradients(mixture: Mixture, inputs: Sequence[tf.Tensor], pairs: Sequence[tuple[int, int]]) -> None:
    """Asserts that for each pair of drawn operations they agree: those of the input, of both weights and of the parameters.

    Args:
        mixture: of float64.
        inputs: its input, the weights of the two drawn operations, and the parameters of all.
        pairs: which operations are drawn.
    """

    @tf.function(autograph=False)
    def shared(drawn, x, weights, parameters):
        draw = Draw(drawn, weights)
        outputs, kept = mixture.forward(x, draw, parameters, keep=True)
        dx, dparameters, dweights = mixture.backward(x, draw, parameters, kept, tf.cos(tf.add_n(outputs)), None, (WEIGHTS, ALPHA))
        return dx, dweights, dparameters

    for pair in pairs:
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            y = sum(inputs[1][i] * mixture.run(operation, inputs[0], inputs[2]) for i, operation in enumerate(pair))
            score = tf.reduce_sum(tf.sin(y))
        expected = tape.gradient(score, inputs)
        for what, ours, theirs in zip(("x", "weights", "parameters"), shared(tf.constant(pair), *inputs), expected):
            np.testing.assert_allclose(ours, theirs, rtol=1e-7, atol=1e-9, err_msg=f"{pair} {what}")
