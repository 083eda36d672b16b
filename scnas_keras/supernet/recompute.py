"""Keras layers whose gradient runs them again instead of keeping what they computed."""

from collections.abc import Callable, Collection

import keras
import tensorflow as tf

from scnas_keras.supernet.mixture import WEIGHTS, graph_function


class Recomputed:
    """A layer [input] -> [output], as a function of its weights that keeps only its inputs for the backward pass.

    Layers that differ in nothing but their weights can share one. Forward and backward are graph functions that are
    never inlined, so that the graph optimiser can't merge the second run into the first.

    Args:
        layer: a built layer; its own weights are not used.
    """

    def __init__(self, layer: keras.Layer):
        self._layer = layer
        self._forward = self._trace_forward()
        self._backward: dict[bool, Callable] = {}

    def __call__(self, x: tf.Tensor, weights: list[keras.Variable], learn: Collection[str]) -> tf.Tensor:
        """Runs the layer; the weights have gradients if `learn` holds `WEIGHTS`, x always has."""
        key = WEIGHTS in learn
        if key not in self._backward:
            self._backward[key] = self._trace_backward(key)
        forward, backward = self._forward, self._backward[key]
        weights = [tf.convert_to_tensor(w) for w in weights]

        @tf.custom_gradient
        def recomputed(x, *_):
            return forward(x, *weights), lambda dy: backward(dy, x, *weights)

        return recomputed(x, *(weights if key else ()))

    def _run(self, x, weights):
        return self._layer.stateless_call(list(weights), [], x)[0]

    def _trace_forward(self) -> Callable:
        @graph_function
        def forward(x, *weights):
            return self._run(x, weights)

        return forward

    def _trace_backward(self, learn_weights: bool) -> Callable:
        @graph_function
        def backward(dy, x, *weights):
            targets = [x, *weights] if learn_weights else [x]
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(targets)
                y = self._run(x, weights)
            return tape.gradient(y, targets, dy)

        return backward
