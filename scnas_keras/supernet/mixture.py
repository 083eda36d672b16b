"""The hot path: a weighted sum of drawn operations, traced once for all edges of equal shape.

A search step runs only the operations that were drawn, but a graph must hold all of them. Inlining them on every edge
does not finish tracing. Here all edges of one signature (channels, stride) call the same two graph functions, forward
and backward, that hold one `switch_case` over the operations for each drawn one and are never inlined. Between the passes
only the edge's input is kept and, unless it is to be computed again, the drawn convolution's output.
"""

import contextlib
import math
from collections.abc import Callable, Collection, Sequence

import keras
import numpy as np
import tensorflow as tf

from scnas_keras.networks.operations import build_operation
from scnas_keras.supernet.fused_norm import fuse
from scnas_keras.supernet.relaxation import Draw

WEIGHTS, LOGITS = "weights", "logits"
graph_function = tf.function(autograph=False, experimental_attributes={"_noinline": True})


class Mixture:
    """The candidate operations of all edges with one signature, as a pure function of input, draw and parameters.

    Args:
        operations: names of the candidates.
        rank: spatial axes.
        channels: of input and output.
        stride: 1 or 2.
        keep_convolutions: keep the drawn convolutions' outputs for the backward pass (a quarter less time) instead of
            computing them again (about a fifth less memory).
        dtype: of the computation.
    """

    def __init__(
        self,
        operations: Sequence[str],
        rank: int,
        channels: int,
        stride: int,
        keep_convolutions: bool = True,
        dtype: str = "float32",
    ):
        self.layers = [fuse(build_operation(name, stride, affine=False, dtype=dtype)) for name in operations]
        for layer in self.layers:
            layer.build((None, *[None] * rank, channels))
        self._shapes = [[tuple(w.shape) for w in layer.trainable_variables] for layer in self.layers]
        sizes = [sum(map(math.prod, shapes)) for shapes in self._shapes]
        self._ends = np.cumsum(sizes).tolist()
        self._starts = [end - size for end, size in zip(self._ends, sizes)]
        self._kernels = [getattr(layer, "kernels", lambda *_: {})(rank, channels) for layer in self.layers]
        self.keep_convolutions = keep_convolutions
        self._forwards: dict[bool, Callable] = {}
        self._backward: dict[frozenset[str], Callable] = {}

    @property
    def size(self) -> int:
        """Length of an edge's parameter vector: the candidates' kernels, flattened one behind the other."""
        return self._ends[-1]

    def initial_parameters(self, rng: np.random.Generator) -> np.ndarray:
        """New parameters of one edge, [size]."""
        normal = [rng.normal(0, stddev, math.prod(shape)) for kernels in self._kernels for shape, stddev in kernels.values()]
        return np.concatenate([np.zeros(0), *normal])

    def operation_slice(self, operation: int) -> slice:
        """Where an operation's kernels lie in the parameter vector."""
        return slice(self._starts[operation], self._ends[operation])

    def run(self, operation: int, x: tf.Tensor, parameters: tf.Tensor) -> tf.Tensor:
        """One operation: x [batch, *space, channels] and all parameters of the edge to its output."""
        with self._kernels_from(operation, parameters[self.operation_slice(operation)]):
            return self.layers[operation](x)

    def __call__(self, x: tf.Tensor, draw: Draw, parameters: tf.Tensor, learn: Collection[str]) -> tf.Tensor:
        """The weighted sum of the drawn operations' outputs.

        Args:
            x: [batch, *space, channels].
            draw: of this edge, [k] operations and weights.
            parameters: [size], the edge's own.
            learn: `WEIGHTS` for gradients of the parameters, `LOGITS` for gradients of the draw's weights; what is not
                asked for is not computed. With either, x has a gradient too.
        """
        forward, key = self._forward(bool(learn)), frozenset(learn)
        if not key:
            return forward(x, draw.operations, tf.cast(draw.weights, x.dtype), parameters)[0]
        if key not in self._backward:
            self._backward[key] = self._trace_backward(key)
        backward = self._backward[key]
        drawn, weights = draw.operations, tf.cast(draw.weights, x.dtype)
        wanted = {WEIGHTS: parameters, LOGITS: weights}

        @tf.custom_gradient
        def mixture(x, *_):
            y, kept = forward(x, drawn, weights, parameters)
            return y, lambda dy: backward(x, drawn, weights, parameters, kept, dy)

        return mixture(x, *[wanted[name] for name in wanted if name in key])

    @contextlib.contextmanager
    def _kernels_from(self, operation: int, own: tf.Tensor):
        """Lets an operation's layer compute with the kernels in `own`, its part of an edge's parameters."""
        layer, shapes = self.layers[operation], self._shapes[operation]
        kernels = tf.split(own, [math.prod(shape) for shape in shapes]) if shapes else []
        kernels = [tf.reshape(kernel, shape) for kernel, shape in zip(kernels, shapes)]
        with keras.StatelessScope(state_mapping=list(zip(layer.trainable_variables, kernels))):
            yield

    def _forward(self, keep: bool) -> Callable:
        keep = keep and self.keep_convolutions
        if keep not in self._forwards:
            self._forwards[keep] = self._trace_forward(keep)
        return self._forwards[keep]

    def _trace_forward(self, keep: bool) -> Callable:
        def branch(i, x, parameters):
            layer, nothing = self.layers[i], tf.zeros([0] * x.shape.rank, x.dtype)
            if not keep or not hasattr(layer, "before_norm"):
                return self.run(i, x, parameters), nothing
            with self._kernels_from(i, parameters[self.operation_slice(i)]):
                kept = layer.before_norm(x)
                return layer.norm(kept), kept

        @graph_function
        def one(x, operation, parameters):
            return tf.switch_case(operation, [lambda i=i: branch(i, x, parameters) for i in range(len(self.layers))])

        @graph_function
        def forward(x, drawn, weights, parameters):
            outputs, kept = zip(*[one(x, operation, parameters) for operation in tf.unstack(drawn)])
            return tf.add_n([weight * y for weight, y in zip(tf.unstack(weights), outputs)]), list(kept)

        return forward

    def _trace_backward(self, learn: frozenset[str]) -> Callable:
        @graph_function
        def vjp(x, operation, weight, parameters, kept, dy):
            branches = [lambda i=i: self._vjp(i, x, parameters, weight, kept, dy, learn) for i in range(len(self.layers))]
            return tf.switch_case(operation, branches)

        @graph_function
        def backward(x, drawn, weights, parameters, kept, dy):
            items = zip(tf.unstack(drawn), tf.unstack(weights), kept)
            terms = [vjp(x, operation, weight, parameters, own, dy) for operation, weight, own in items]
            dx, dparameters, dweights = zip(*terms)
            gradients = [tf.add_n(dx)]
            if WEIGHTS in learn:
                gradients.append(tf.add_n(dparameters))
            if LOGITS in learn:
                gradients.append(tf.stack(dweights))
            return gradients

        return backward

    def _vjp(self, operation: int, x, parameters, weight, kept, dy, learn: frozenset[str]):
        """Gradients of weight * operation(x): of x, of the whole parameter vector, of the weight (0-d)."""
        layer, own = self.layers[operation], self.operation_slice(operation)
        mine = parameters[own]
        targets, upstream = [x, mine] if WEIGHTS in learn else [x], dy * weight
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(targets)
            with self._kernels_from(operation, mine):
                y = layer.before_norm(x) if hasattr(layer, "before_norm") else layer(x)
        if hasattr(layer, "before_norm"):
            # Where the convolution's output was kept, only the gradient of the line above is ever computed.
            before = tf.ensure_shape(kept, y.shape) if self.keep_convolutions else y
            with tf.GradientTape(watch_accessed_variables=False) as norm_tape:
                norm_tape.watch(before)
                normalized = layer.norm(before)
            upstream = norm_tape.gradient(normalized, before, upstream)
            dx, *dmine = tape.gradient(y, targets, upstream)
            y = normalized
        else:
            dx, *dmine = tape.gradient(y, targets, upstream, unconnected_gradients="zero")
        dparameters = tf.pad(dmine[0], [[own.start, self.size - own.stop]]) if dmine else tf.zeros((0,), x.dtype)
        return dx, dparameters, tf.reduce_sum(dy * y) if LOGITS in learn else tf.zeros((), x.dtype)
