"""Keras layers whose gradient runs them again instead of keeping what they computed."""

from collections.abc import Callable, Collection, Sequence

import keras
import tensorflow as tf

from scnas_keras.supernet.mixture import WEIGHTS, graph_function

Pieces = Sequence[tf.Tensor]
"""A tensor in pieces along its channels, such as the nodes of a cell."""


class Recomputed:
    """A layer [input] -> [output], as a function of its weights that keeps only its inputs for the backward pass.

    The input is given in pieces, and as a sum of several such tensors if need be: neither the concatenation nor the sum
    is kept. Layers that differ in nothing but their weights can share one. Forward and backward are graph functions
    that are never inlined, so that the graph optimiser can't merge the second run into the first.

    Args:
        layer: a built layer; its own weights are not used.
    """

    def __init__(self, layer: keras.Layer):
        self._layer = layer
        self._forward: dict[tuple[int, ...], Callable] = {}
        self._backward: dict[tuple[tuple[int, ...], bool], Callable] = {}

    def __call__(self, inputs: Sequence[Pieces], weights: Sequence[keras.Variable], learn: Collection[str]) -> tf.Tensor:
        """Runs the layer on the sum of the inputs, each the concatenation of its pieces.

        The weights have gradients if `learn` holds `WEIGHTS`, the inputs always have.
        """
        lengths, learn_weights = tuple(map(len, inputs)), WEIGHTS in learn
        if lengths not in self._forward:
            self._forward[lengths] = self._trace_forward(lengths)
        if (lengths, learn_weights) not in self._backward:
            self._backward[lengths, learn_weights] = self._trace_backward(lengths, learn_weights)
        forward, backward = self._forward[lengths], self._backward[lengths, learn_weights]
        pieces = [piece for pieces in inputs for piece in pieces]
        weights = [tf.convert_to_tensor(w) for w in weights]

        @tf.custom_gradient
        def recomputed(*_):
            return forward(pieces, weights), lambda dy: backward(pieces, weights, dy)

        return recomputed(*pieces, *(weights if learn_weights else ()))

    def _run(self, lengths: tuple[int, ...], pieces: Pieces, weights: Sequence[tf.Tensor]) -> tf.Tensor:
        rest = iter(pieces)
        terms = [[next(rest) for _ in range(length)] for length in lengths]
        terms = [tf.concat(term, axis=-1) if len(term) > 1 else term[0] for term in terms]
        x = tf.add_n(terms) if len(terms) > 1 else terms[0]
        return self._layer.stateless_call(weights, [], x)[0]

    def _trace_forward(self, lengths: tuple[int, ...]) -> Callable:
        @graph_function
        def forward(pieces, weights):
            return self._run(lengths, pieces, weights)

        return forward

    def _trace_backward(self, lengths: tuple[int, ...], learn_weights: bool) -> Callable:
        @graph_function
        def backward(pieces, weights, dy):
            targets = [*pieces, *weights] if learn_weights else list(pieces)
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(targets)
                y = self._run(lengths, pieces, weights)
            return tape.gradient(y, targets, dy)

        return backward
