"""Stem, input alignment and output of the supernet, on tensors in pieces, with gradients that compute again what they need.

A cell's output stays in pieces along its channels, its nodes: their concatenation, several times as large as a node, is
never made, and one piece is worked on at a time. Gradients are added to what is known of them, so that one running sum is
held for a tensor that several cells read. Parts of equal shape share their graph functions, which are never inlined, so
that the graph optimiser can't merge the second computation into the first.
"""

from collections.abc import Callable, Iterable, Sequence

import tensorflow as tf
from keras import ops

from scnas_keras.kernels.fused_norm import gradient_from_output, normalize, normalize_gradient
from scnas_keras.networks.parts import Align, halved, spread, upsample
from scnas_keras.operations.base import NEGATIVE_SLOPE
from scnas_keras.spaces.description import TRANSPOSED
from scnas_keras.supernet.mixture import graph_function

Pieces = list[tf.Tensor]
"""A tensor in pieces along its channels, such as the nodes of a cell."""


class SharedStem:
    """`networks.parts.Stem` [batch, *space, any] -> pieces of its output, each with its own part of the kernel.

    Args:
        pieces: how many.
        stride: of the convolution.
        epsilon: of the normalisation.
    """

    def __init__(self, pieces: int, stride: int, epsilon: float):
        self._pieces, self._stride, self._epsilon = pieces, stride, epsilon
        self.forward = graph_function(self._forward)
        self.backward = graph_function(self._backward)

    def _forward(self, images: tf.Tensor, kernel: tf.Tensor) -> tuple[Pieces, list[tf.Tensor]]:
        """The pieces, and their statistics for `backward`."""
        convolved = (_conv(images, part, self._stride) for part in tf.split(kernel, self._pieces, axis=-1))
        pieces, statistics = zip(*[normalize(y, tf.ones((), y.dtype), self._epsilon) for y in _one_by_one(convolved)])
        return list(pieces), list(statistics)

    def _backward(self, images: tf.Tensor, kernel: tf.Tensor, statistics: list[tf.Tensor], dpieces: Pieces) -> tf.Tensor:
        """Gradient of the kernel."""

        def gradients():
            for part, own, dpiece in zip(tf.split(kernel, self._pieces, axis=-1), statistics, dpieces):
                with tf.GradientTape(watch_accessed_variables=False) as tape:
                    tape.watch(part)
                    y = _conv(images, part, self._stride)
                dy, _ = normalize_gradient(dpiece, y, own, tf.ones((), y.dtype), self._epsilon)
                yield tape.gradient(y, part, dy)

        return tf.concat(list(_one_by_one(gradients())), axis=-1)


class SharedAlign:
    """All alignments `networks.parts.Align` of equal shape, as a function of their input and kernel.

    The input is a sum of terms, each in pieces of the same widths.

    Args:
        align: one of them; its own weights are not used.
    """

    def __init__(self, align: Align):
        self._shift, self._bridge, self._epsilon = align.shift, align.bridge, align.norm.epsilon
        self._times = 2**align.shift if align.shift > 0 else 1
        self.forward = graph_function(self._forward)
        self.again = graph_function(lambda terms, kernel, after: self._forward(terms, kernel))
        """`forward` once more, not before the tensor `after` is known."""
        self.backward = graph_function(self._backward)

    def _forward(self, terms: Sequence[Pieces], kernel: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The aligned input [batch, *space, channels], and the statistics that `backward` needs."""
        y = _project(self._activate, terms, kernel)
        if self._spreads:
            y = spread(y, self._times)
        y, statistics = normalize(y, tf.ones((), y.dtype), self._epsilon)
        return upsample(y, self._times) if self._repeats else y, statistics

    def _backward(self, terms: Sequence[Pieces], kernel, statistics, y, dy, before: Sequence[Pieces]):
        """From output and its gradient: the terms' gradients added to those `before`, empty where there are none; the kernel's."""
        if self._repeats:
            y, dy = y[(slice(None), *[slice(None, None, self._times)] * (y.shape.rank - 2))], _sum_blocks(dy, self._times)
        dy = gradient_from_output(dy, y, statistics, self._epsilon)
        return _project_back(self._activate, terms, kernel, _gathered(dy, self._times) if self._spreads else dy, before)

    @property
    def _spreads(self) -> bool:
        return self._shift > 0 and self._bridge == TRANSPOSED

    @property
    def _repeats(self) -> bool:
        return self._shift > 0 and not self._spreads

    def _activate(self, x: tf.Tensor) -> tf.Tensor:
        return tf.nn.leaky_relu(halved(x, self._bridge, -self._shift) if self._shift < 0 else x, NEGATIVE_SLOPE)


class SharedOut:
    """`networks.parts.OutCell`: pieces [batch, *space, any] -> logits [batch, *space, classes]."""

    def __init__(self):
        self.forward = graph_function(self._forward)
        self.backward = graph_function(self._backward)

    def _forward(self, pieces: Pieces, kernel: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
        return _project(self._activate, [pieces], kernel) + bias

    def _backward(self, pieces: Pieces, kernel: tf.Tensor, dy: tf.Tensor) -> tuple[Pieces, tf.Tensor, tf.Tensor]:
        """Gradients of the pieces, the kernel and the bias."""
        (dpieces,), dkernel = _project_back(self._activate, [pieces], kernel, dy, [[]])
        return dpieces, dkernel, tf.reduce_sum(dy, list(range(dy.shape.rank - 1)))

    def _activate(self, x: tf.Tensor) -> tf.Tensor:
        return tf.nn.leaky_relu(x, NEGATIVE_SLOPE)


def _conv(x: tf.Tensor, kernel: tf.Tensor, stride: int) -> tf.Tensor:
    return ops.conv(x, kernel, strides=stride, padding="same", data_format="channels_last")


def _one_by_one(results: Iterable) -> Iterable:
    """Each of the results, which a generator computes; one is begun when that before it is there."""
    results, last = iter(results), []
    while True:
        with tf.control_dependencies(last):
            result = next(results, None)
        if result is None:
            return
        last = tf.nest.flatten(result)[-1:]
        yield result


def _project(activate: Callable, terms: Sequence[Pieces], kernel: tf.Tensor) -> tf.Tensor:
    """The activated concatenation [..., in] of the pieces of the terms' sum, times the kernel [in, out]."""
    rows = tf.split(kernel, [piece.shape[-1] for piece in terms[0]])
    total = None
    for own, *piece in zip(rows, *terms):
        with tf.control_dependencies([] if total is None else [total]):
            active = activate(_total(piece))
            product = tf.matmul(tf.reshape(active, (-1, active.shape[-1])), own)
        total = product if total is None else total + product
    return tf.reshape(total, tf.concat([tf.shape(active)[:-1], [kernel.shape[-1]]], axis=0))


def _project_back(activate: Callable, terms: Sequence[Pieces], kernel: tf.Tensor, dy: tf.Tensor, before: Sequence[Pieces]):
    """Gradients of `_project`: of each term's pieces, added to those before; and of the kernel."""
    flat, rows = tf.reshape(dy, (-1, dy.shape[-1])), tf.split(kernel, [piece.shape[-1] for piece in terms[0]])

    def gradients():
        for p, (own, *piece) in enumerate(zip(rows, *terms)):
            x = _total(piece)
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(x)
                active = activate(x)
            dkernel = tf.matmul(tf.reshape(active, (-1, active.shape[-1])), flat, transpose_a=True)
            dx = tape.gradient(active, x, tf.reshape(tf.matmul(flat, own, transpose_b=True), tf.shape(active)))
            yield [dkernel, *(known[p] + dx if known else dx for known in before)]

    dkernel, *dterms = zip(*_one_by_one(gradients()))
    return [list(term) for term in dterms], tf.concat(dkernel, axis=0)


def _total(terms: Sequence[tf.Tensor]) -> tf.Tensor:
    return tf.add_n(terms) if len(terms) > 1 else terms[0]


def _sum_blocks(x: tf.Tensor, times: int) -> tf.Tensor:
    """Sums over blocks of so many voxels along every spatial axis: the gradient of `upsample`."""
    rank = x.shape.rank - 2
    if x.dtype != tf.float64:
        pool = {2: tf.nn.avg_pool2d, 3: tf.nn.avg_pool3d}[rank]
        return pool(x, times, times, "VALID") * times**rank
    return tf.reduce_sum(_blocks(x, times), axis=[2 + 2 * axis for axis in range(rank)])


def _gathered(x: tf.Tensor, times: int) -> tf.Tensor:
    """Blocks of voxels as channels: the gradient of `networks.parts.spread`, and its inverse."""
    rank, space = x.shape.rank - 2, [size // times for size in tf.unstack(tf.shape(x)[1:-1])]
    order = [0, *(1 + 2 * axis for axis in range(rank)), *(2 + 2 * axis for axis in range(rank)), 1 + 2 * rank]
    return tf.reshape(tf.transpose(_blocks(x, times), order), [-1, *space, times**rank * x.shape[-1]])


def _blocks(x: tf.Tensor, times: int) -> tf.Tensor:
    """[batch, *space, channels] with each spatial axis as two, of blocks and of the voxels in one."""
    split = [part for size in tf.unstack(tf.shape(x)[1:-1]) for part in (size // times, times)]
    return tf.reshape(x, [tf.shape(x)[0], *split, x.shape[-1]])
