"""The hot path: a weighted sum of drawn operations, traced once for all edges of equal shape.

A search step runs only the operations that were drawn, but a graph must hold all of them. Inlining them on every edge
does not finish tracing. Here all edges of one signature (channels, role, candidates) call the same two graph functions, forward
and backward, that hold one `switch_case` over the operations for each drawn one and are never inlined.
"""

import math
from collections.abc import Callable, Collection, Sequence

import keras
import numpy as np
import tensorflow as tf

from scnas_keras.errors import ConfigError
from scnas_keras.kernels.fast_operations import build_fast_operation
from scnas_keras.kernels.fused_norm import fuse, normalize, normalize_gradient
from scnas_keras.operations.base import NormalizedConv, Operation
from scnas_keras.operations.facts import DOUBLING, HALVING, Facts
from scnas_keras.operations.registry import operation
from scnas_keras.supernet.relaxation import Draw

WEIGHTS, ALPHA = "weights", "alpha"
graph_function = tf.function(autograph=False, experimental_attributes={"_noinline": True})


class Mixture:
    """The candidate operations of all edges with one signature, as pure functions of input, draw and parameters.

    Args:
        operations: names of the candidates.
        rank: spatial axes.
        channels: of input and output.
        role: what the edges do to the resolution, one of `operations.facts.ROLES`.
        keep_convolutions: keep the drawn convolutions' outputs for the backward pass instead of computing them again.
        negligible: a drawn operation whose weight is below this isn't run; its output counts as zero. 0 runs all.
        dtype: of the computation.

    Raises:
        ConfigError: an operation that this can't train correctly.
    """

    build_layer = staticmethod(build_fast_operation)

    def __init__(
        self,
        operations: Sequence[str],
        rank: int,
        channels: int,
        role: str,
        keep_convolutions: bool = True,
        negligible: float = 0.0,
        dtype: str = "float32",
    ):
        self._facts = [operation(name) for name in operations]
        self.layers = [fuse(self.build_layer(name, role, dtype, not keep_convolutions)) for name in operations]
        for layer, facts in zip(self.layers, self._facts):
            layer.build((None, *[None] * rank, channels))
            check_trainable(layer, facts, rank, channels)
        self._shapes = [[tuple(w.shape) for w in layer.trainable_variables] for layer in self.layers]
        sizes = [sum(map(math.prod, shapes)) for shapes in self._shapes]
        self._ends = np.cumsum(sizes).tolist()
        self._starts = [end - size for end, size in zip(self._ends, sizes)]
        self._kernels = [facts.kernels(rank, channels) for facts in self._facts]
        self._zero = next((i for i, facts in enumerate(self._facts) if facts.is_zero), None)
        self._negligible = negligible if self._zero is not None else 0.0
        self.keep_convolutions, self._role = keep_convolutions, role
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
        with self._with_kernels(operation, self._kernels_of(operation, parameters)):
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
        `WEIGHTS` for the parameters', `ALPHA` for the draw's weights'. The other is empty, and not computed.
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

    def _with_kernels(self, operation: int, kernels: Sequence[tf.Tensor]) -> keras.StatelessScope:
        """Lets an operation's layer compute with these kernels instead of its own."""
        return keras.StatelessScope(state_mapping=list(zip(self.layers[operation].trainable_variables, kernels)))

    def _kernels_of(self, operation: int, parameters: tf.Tensor) -> list[tf.Tensor]:
        """An operation's kernels, out of all parameters of an edge."""
        shapes, own = self._shapes[operation], parameters[self.operation_slice(operation)]
        kernels = tf.split(own, [math.prod(shape) for shape in shapes]) if shapes else []
        return [tf.reshape(kernel, shape) for kernel, shape in zip(kernels, shapes)]

    def _trace_forward(self, keep: bool) -> Callable:
        def branch(x, i, weight, parameters):
            layer, nothing = self.layers[i], tf.zeros([0] * x.shape.rank, x.dtype)
            none = tf.zeros((0, 0, 0), x.dtype if x.dtype == tf.float64 else tf.float32)
            if i == self._zero:
                space = [self._resized(size) for size in tf.unstack(tf.shape(x)[1:-1])]
                return _zeros([x.shape[0], *space, x.shape[-1]], weight), nothing, none
            if not self._is_one_convolution(i):
                return weight * self.run(i, x, parameters), nothing, none
            with self._with_kernels(i, self._kernels_of(i, parameters)):
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

    def _resized(self, size: tf.Tensor) -> tf.Tensor:
        """Voxels along an axis of an edge's output."""
        return size // 2 if self._role == HALVING else 2 * size if self._role == DOUBLING else size

    def _are_all(self, drawn: tf.Tensor) -> bool:
        """Whether all candidates were drawn, which are in order then: there is nothing to choose in the graph."""
        return drawn.shape[0] == len(self.layers)

    def _items(self, drawn: tf.Tensor, weights: tf.Tensor) -> list[tuple[tf.Tensor | int, tf.Tensor]]:
        return list(zip(range(len(self.layers)) if self._are_all(drawn) else tf.unstack(drawn), tf.unstack(weights)))

    def _is_one_convolution(self, operation: int) -> bool:
        """Whether an operation is a convolution and then its normalisation, whose gradient is written out."""
        layer = self.layers[operation]
        return isinstance(layer, NormalizedConv) and type(layer).call is NormalizedConv.call

    def _vjp(self, operation, x, weight, parameters, convolved, statistics, dy, learn):
        """Gradients of weight * operation(x) with respect to x, parameters and weight; zeros for what isn't learned."""
        nothing = tf.zeros((), x.dtype)
        if operation == self._zero:
            return _zeros(tf.shape(x), weight), self._padded(operation, [], x.dtype, learn), nothing
        if self._is_one_convolution(operation):
            return self._vjp_of_convolution(operation, x, weight, parameters, convolved, statistics, dy, learn)
        facts = self._facts[operation]
        if facts.linear and not facts.learns:
            # <dy, A x> is <A' dy, x>: y isn't needed.
            dx, _, _ = self._recomputed(operation, x, parameters, dy, ())
            return weight * dx, self._padded(operation, [], x.dtype, learn), tf.reduce_sum(dx * x) if ALPHA in learn else nothing
        dx, dkernels, y = self._recomputed(operation, x, parameters, dy, learn)
        dparameters = self._padded(operation, [weight * d for d in dkernels], x.dtype, learn)
        return weight * dx, dparameters, tf.reduce_sum(dy * y) if ALPHA in learn else nothing

    def _recomputed(self, operation, x, parameters, dy, learn):
        """By automatic differentiation of the layer, which runs again: gradients of x and of the kernels that learn, and the output."""
        kernels = self._kernels_of(operation, parameters)
        wanted = kernels if WEIGHTS in learn else []
        with tf.GradientTape(watch_accessed_variables=False) as tape, self._with_kernels(operation, kernels):
            tape.watch([x, *wanted])
            y = self.layers[operation](x)
        dx, *dkernels = tape.gradient(y, [x, *wanted], dy)
        return dx, dkernels, y

    def _vjp_of_convolution(self, operation, x, weight, parameters, convolved, statistics, dy, learn):
        layer, kernels = self.layers[operation], self._kernels_of(operation, parameters)
        with tf.GradientTape(watch_accessed_variables=False) as tape, self._with_kernels(operation, kernels):
            tape.watch([x, *kernels])
            y = layer.before_norm(x)  # computed where it is used only: not if it was kept
        convolved = tf.ensure_shape(convolved, dy.shape) if self.keep_convolutions else y
        statistics = tf.ensure_shape(statistics, (3, dy.shape[0], dy.shape[-1]))
        dconvolved, dweight = normalize_gradient(dy, convolved, statistics, weight, layer.norm.epsilon)
        dx, *dkernels = tape.gradient(y, [x, *kernels] if WEIGHTS in learn else [x], dconvolved)
        dparameters = self._padded(operation, dkernels, x.dtype, learn)
        return dx, dparameters, dweight if ALPHA in learn else tf.zeros((), x.dtype)

    def _padded(self, operation, dkernels, dtype, learn):
        """The gradient of all parameters of an edge, from that of an operation's kernels."""
        if WEIGHTS not in learn or not dkernels:
            return tf.zeros((self.size if WEIGHTS in learn else 0,), dtype)
        own, flat = self.operation_slice(operation), tf.concat([tf.reshape(d, (-1,)) for d in dkernels], axis=0)
        return tf.pad(flat, [[own.start, self.size - own.stop]])


def check_trainable(layer: Operation, facts: Facts, rank: int, channels: int) -> None:
    """Raises ConfigError for a layer whose weights or states the mixture would not train.

    Kernels are kept outside of the layers, by what the facts say of them; there is no place for other weights or states.
    """
    told = [(name, shape) for name, (shape, _) in facts.kernels(rank, channels).items()]
    found = [(variable.name, tuple(variable.shape)) for variable in layer.trainable_variables]
    if told != found:
        raise ConfigError(
            f"Operation {facts.name!r}: its layer has the weights {found}, and its facts tell of {told}; names, shapes and order must be "
            "equal, without scale and offset, which a search leaves out. Fix facts.py or layer.py: what isn't told would never be trained."
        )
    if layer.non_trainable_variables:
        names = ", ".join(variable.name for variable in layer.non_trainable_variables)
        raise ConfigError(f"Operation {facts.name!r}: its layer has states ({names}), which a search can't keep for each edge.")


def _zeros(shape: Sequence[int] | tf.Tensor, weight: tf.Tensor) -> tf.Tensor:
    """Zeros, told by a weight that is never negative: as a plain constant, the graph would hold them in memory for good."""
    return tf.fill(shape, tf.cast(weight < 0, weight.dtype))
