"""The hot path: a weighted sum of drawn operations, traced once for all edges of equal shape.

A search step runs only the operations that were drawn, but a graph must hold all of them. Inlining them on every edge
does not finish tracing. Here all edges of one signature (channels, stride) call the same two graph functions, forward
and backward, that hold one `switch_case` over the operations for each drawn one and are never inlined.
"""

import contextlib
import math
from collections.abc import Callable, Collection, Sequence

import keras
import numpy as np
import tensorflow as tf

from scnas_keras.kernels.fast_operations import build_fast_operation
from scnas_keras.kernels.fused_norm import fuse, normalize, normalize_gradient
from scnas_keras.spaces.operations import ZERO
from scnas_keras.supernet.relaxation import Draw

WEIGHTS, LOGITS = "weights", "logits"
NEGLIGIBLE = 0.01
graph_function = tf.function(autograph=False, experimental_attributes={"_noinline": True})


class Mixture:
    """The candidate operations of all edges with one signature, as pure functions of input, draw and parameters.

    Args:
        operations: names of the candidates.
        rank: spatial axes.
        channels: of input and output.
        stride: 1 or 2.
        keep_convolutions: keep the drawn convolutions' outputs for the backward pass instead of computing them again.
        negligible: a drawn operation whose weight is below this isn't run; its output counts as zero. 0 runs all.
        dtype: of the computation.
    """

    build_layer = staticmethod(build_fast_operation)

    def __init__(
        self,
        operations: Sequence[str],
        rank: int,
        channels: int,
        stride: int,
        keep_convolutions: bool = True,
        negligible: float = 0.0,
        dtype: str = "float32",
    ):
        self.layers = [fuse(self.build_layer(name, stride, dtype, not keep_convolutions)) for name in operations]
        for layer in self.layers:
            layer.build((None, *[None] * rank, channels))
        self._shapes = [[tuple(w.shape) for w in layer.trainable_variables] for layer in self.layers]
        sizes = [sum(map(math.prod, shapes)) for shapes in self._shapes]
        self._ends = np.cumsum(sizes).tolist()
        self._starts = [end - size for end, size in zip(self._ends, sizes)]
        self._kernels = [getattr(layer, "kernels", lambda *_: {})(rank, channels) for layer in self.layers]
        self._zero = operations.index(ZERO) if ZERO in operations else None
        self._negligible = negligible if self._zero is not None else 0.0
        self.keep_convolutions, self._stride = keep_convolutions, stride
        self._forwards: dict[bool, Callable] = {}
        self._backwards: dict[frozenset[str], Callable] = {}

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
        """One operation by its layer: x [batch, *space, channels] and all parameters of the edge to its output."""
        with self._kernels_from(operation, parameters[self.operation_slice(operation)]):
            return self.layers[operation](x)

    def forward(self, x: tf.Tensor, draw: Draw, parameters: tf.Tensor, keep: bool) -> tuple[list[tf.Tensor], list[list[tf.Tensor]]]:
        """The drawn operations' weighted outputs, whose sum is the edge's, and what `backward` needs of them.

        Args:
            x: [batch, *space, channels].
            draw: of this edge, [k] operations and weights.
            parameters: [size], the edge's own.
            keep: whether `backward` will be called.
        """
        keep = keep and self.keep_convolutions
        if keep not in self._forwards:
            self._forwards[keep] = self._trace_forward(keep)
        return self._forwards[keep](x, *self._drawn(draw, x.dtype), parameters)

    def backward(
        self,
        x: tf.Tensor,
        draw: Draw,
        parameters: tf.Tensor,
        kept: list[tf.Tensor],
        dy: tf.Tensor,
        dx: tf.Tensor | None,
        learn: Collection[str],
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Gradients of `forward` with respect to x, parameters and the draw's weights [k].

        The first is added to `dx`, what is known of it from elsewhere. `learn` says which of the others are asked for:
        `WEIGHTS` for the parameters', `LOGITS` for the draw's weights'. The other is empty, and not computed.
        """
        key = frozenset(learn)
        if key not in self._backwards:
            self._backwards[key] = self._trace_backward(key)
        return self._backwards[key](x, *self._drawn(draw, x.dtype), parameters, kept, dy, [] if dx is None else [dx])

    def _drawn(self, draw: Draw, dtype: tf.DType) -> tuple[tf.Tensor, tf.Tensor]:
        """Operations to run and their weights; a negligible one is replaced by zero."""
        operations = draw.operations
        if self._negligible:
            operations = tf.where(draw.weights < self._negligible, self._zero, operations)
        return operations, tf.cast(draw.weights, dtype)

    @contextlib.contextmanager
    def _kernels_from(self, operation: int, own: tf.Tensor):
        """Lets an operation's layer compute with the kernels in `own`, its part of an edge's parameters."""
        with keras.StatelessScope(state_mapping=list(zip(self.layers[operation].trainable_variables, self._split(operation, own)))):
            yield

    def _split(self, operation: int, own: tf.Tensor) -> list[tf.Tensor]:
        shapes = self._shapes[operation]
        kernels = tf.split(own, [math.prod(shape) for shape in shapes]) if shapes else []
        return [tf.reshape(kernel, shape) for kernel, shape in zip(kernels, shapes)]

    def _trace_forward(self, keep: bool) -> Callable:
        def branch(x, i, weight, parameters):
            layer, nothing = self.layers[i], tf.zeros([0] * x.shape.rank, x.dtype)
            none = tf.zeros((0, 0, 0), x.dtype if x.dtype == tf.float64 else tf.float32)
            if i == self._zero:
                return (
                    _zeros([x.shape[0], *(size // self._stride for size in tf.unstack(tf.shape(x)[1:-1])), x.shape[-1]], weight),
                    nothing,
                    none,
                )
            if not hasattr(layer, "before_norm"):
                return weight * layer(x), nothing, none
            with self._kernels_from(i, parameters[self.operation_slice(i)]):
                convolved = layer.before_norm(x)
            y, statistics = normalize(convolved, weight, layer.norm.epsilon)
            return y, convolved if keep else nothing, statistics

        @graph_function
        def one(x, operation, weight, parameters):
            branches = [lambda i=i: branch(x, i, weight, parameters) for i in range(len(self.layers))]
            return tf.switch_case(operation, branches)

        @graph_function
        def forward(x, drawn, weights, parameters):
            run = branch if self._are_all(drawn) else one
            outputs, *kept = zip(*[run(x, i, weight, parameters) for i, weight in self._items(drawn, weights)])
            return list(outputs), [list(part) for part in kept]

        return forward

    def _trace_backward(self, learn: frozenset[str]) -> Callable:
        def branch(x, i, *arguments):
            return self._vjp(i, x, *arguments, learn)

        @graph_function
        def one(x, operation, *arguments):
            return tf.switch_case(operation, [lambda i=i: branch(x, i, *arguments) for i in range(len(self.layers))])

        @graph_function
        def backward(x, drawn, weights, parameters, kept, dy, before):
            run = branch if self._are_all(drawn) else one
            items = zip(self._items(drawn, weights), *kept)
            dx, dparameters, dweights = zip(*[run(x, i, weight, parameters, *own, dy) for (i, weight), *own in items])
            return tf.add_n([*before, *dx]), tf.add_n(dparameters), tf.stack(dweights)

        return backward

    def _are_all(self, drawn: tf.Tensor) -> bool:
        """Whether all candidates were drawn, which are in order then: there is nothing to choose in the graph."""
        return drawn.shape[0] == len(self.layers)

    def _items(self, drawn: tf.Tensor, weights: tf.Tensor) -> list[tuple[tf.Tensor | int, tf.Tensor]]:
        return list(zip(range(len(self.layers)) if self._are_all(drawn) else tf.unstack(drawn), tf.unstack(weights)))

    def _vjp(self, operation, x, weight, parameters, convolved, statistics, dy, learn):
        """Gradients of weight * operation(x) with respect to x, parameters and weight; zeros for what isn't learned.

        For an operation without parameters, y = A x with a matrix that its gradient applies transposed, so that the
        weight's gradient <dy, A x> is <A' dy, x>: no need for y.
        """
        layer, own = self.layers[operation], self.operation_slice(operation)
        dparameters = tf.zeros((self.size if WEIGHTS in learn else 0,), x.dtype)
        nothing = tf.zeros((), x.dtype)
        if operation == self._zero:
            return _zeros(tf.shape(x), weight), dparameters, nothing
        if not hasattr(layer, "before_norm"):
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(x)
                y = layer(x)
            dx = tape.gradient(y, x, dy)
            return weight * dx, dparameters, tf.reduce_sum(dx * x) if LOGITS in learn else nothing
        kernels = self._split(operation, parameters[own])
        with (
            tf.GradientTape(watch_accessed_variables=False) as tape,
            keras.StatelessScope(state_mapping=list(zip(layer.trainable_variables, kernels))),
        ):
            tape.watch([x, *kernels])
            y = layer.before_norm(x)  # computed where it is used only: not if it was kept
        convolved = tf.ensure_shape(convolved, dy.shape) if self.keep_convolutions else y
        statistics = tf.ensure_shape(statistics, (3, dy.shape[0], dy.shape[-1]))
        dconvolved, dweight = normalize_gradient(dy, convolved, statistics, weight, layer.norm.epsilon)
        dx, *dkernels = tape.gradient(y, [x, *kernels] if WEIGHTS in learn else [x], dconvolved)
        if WEIGHTS in learn:
            flat = tf.concat([tf.reshape(d, (-1,)) for d in dkernels], axis=0)
            dparameters = tf.pad(flat, [[own.start, self.size - own.stop]])
        return dx, dparameters, dweight if LOGITS in learn else nothing


def _zeros(shape: Sequence[int] | tf.Tensor, weight: tf.Tensor) -> tf.Tensor:
    """Zeros, told by a weight that is never negative: as a plain constant, the graph would hold them in memory for good."""
    return tf.fill(shape, tf.cast(weight < 0, weight.dtype))
