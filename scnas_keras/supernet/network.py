"""The supernet's forward and backward pass, written out cell by cell.

TensorFlow's own differentiation would hold a gradient for every reader of a tensor until all are there, and run whatever is
ready. Here every gradient is one running sum, and with `low_memory` cells there is one edge at work at a time.
"""

import dataclasses
from collections.abc import Collection, Sequence

import tensorflow as tf

from scnas_keras.networks.parts import OutCell, Stem
from scnas_keras.spaces.space import SearchSpace
from scnas_keras.supernet.banks import Banks
from scnas_keras.supernet.cell import MixedCell
from scnas_keras.supernet.fixed_parts import SharedOut, SharedStem
from scnas_keras.supernet.mixture import ALPHA, WEIGHTS
from scnas_keras.supernet.relaxation import Draw


class Network:
    """Stems, cells and output as one differentiable function of weights and draw.

    Args:
        space: the search space.
        banks: of the space.
        stems, cells, out: built layers.
        pieces: in how many pieces the output of each stem comes.
        dtype: of the computation; weights and their gradients stay in float32.
    """

    def __init__(
        self, space: SearchSpace, banks: Banks, stems: Sequence[Stem], cells: Sequence[MixedCell], out: OutCell, pieces: int, dtype: str
    ):
        self._cells, self._dtype, self._banks = cells, dtype, banks
        (self._last,) = space.head.sources
        self._stems, self._out = [SharedStem(pieces, stem.stride, stem.norm.epsilon) for stem in stems], SharedOut()
        kernels = [v for cell in cells for v in cell.weights_in_order]
        self._variables = [*(stem.kernel for stem in stems), *kernels, out.kernel, out.bias]

    def __call__(
        self, images: tf.Tensor, draws: Sequence[Draw], learn: Collection[str] = (), masks: Sequence[Sequence[tf.Tensor]] | None = None
    ) -> tf.Tensor:
        """Logits [batch, *space, classes] of images under a draw [rows, k] for each bank.

        `learn` says what will have a gradient: `WEIGHTS` the variables, `ALPHA` the draws' weights; nothing else has. `masks` are, of each
        cell and edge, what the draw's weights [k] are multiplied with there.
        """
        images = tf.cast(images, self._dtype)
        variables = [tf.convert_to_tensor(v) for v in self._variables]
        if not learn:
            return self._forward(images, draws, variables, masks, keep=False)[0]

        @tf.custom_gradient
        def network(*_):
            logits, kept = self._forward(images, draws, variables, masks, keep=True)

            def gradient(dlogits):
                dvariables, dshares = self._backward(images, kept, dlogits, learn, masks)
                return [*(dvariables if WEIGHTS in learn else []), *(dshares if ALPHA in learn else [])]

            return logits, gradient

        return network(*(variables if WEIGHTS in learn else []), *([draw.weights for draw in draws] if ALPHA in learn else []))

    def _forward(self, images: tf.Tensor, draws: Sequence[Draw], variables: Sequence[tf.Tensor], masks, keep: bool):
        *variables, out_kernel, out_bias = (tf.cast(v, self._dtype) for v in variables)
        stem_kernels, rest = variables[: len(self._stems)], variables[len(self._stems) :]
        rows = [draw.unstack() for draw in draws]
        stems = [stem.forward(images, kernel) for stem, kernel in zip(self._stems, stem_kernels)]
        outputs, cells = [pieces for pieces, _ in stems], []
        for number, cell in enumerate(self._cells):
            own, rest = rest[: len(cell.weights_in_order)], rest[len(cell.weights_in_order) :]
            places = [self._banks.place_of(edge) for edge in cell.placed.edges]
            drawn = [rows[bank][row] for bank, row in places]
            if masks:
                drawn = [dataclasses.replace(draw, weights=draw.weights * mask) for draw, mask in zip(drawn, masks[number], strict=True)]
            nodes, kept = cell.forward(cell.join(outputs), drawn, own, keep)
            outputs.append(nodes)
            cells.append(kept)
        logits = self._out.forward(outputs[self._last], out_kernel, out_bias)
        return tf.cast(logits, tf.float32), (stem_kernels, [statistics for _, statistics in stems], outputs[self._last], cells, out_kernel)

    def _backward(self, images: tf.Tensor, kept, dlogits: tf.Tensor, learn: Collection[str], masks):
        """Gradients of all variables and of the weights of each bank's draw, each None if it isn't learned."""
        stem_kernels, statistics, last, cells, out_kernel = kept
        dlast, dout, dbias = self._out.backward(last, out_kernel, tf.cast(dlogits, self._dtype))
        known, dvariables, dshares = {self._last: dlast}, [dout, dbias], [[] for _ in self._banks.banks]
        for number, cell, own in zip(reversed(range(len(cells))), reversed(self._cells), reversed(cells)):
            dweights, dedges = cell.backward(own, known.pop(cell.placed.number), known, learn)
            dvariables = [*(dweights or []), *dvariables]
            if dedges is not None:
                if masks:
                    dedges = [tf.cast(dedge, tf.float32) * mask for dedge, mask in zip(dedges, masks[number], strict=True)]
                self._collect(cell, dedges, dshares)
        if WEIGHTS in learn:
            dstems = [
                stem.backward(images, kernel, own, known[number])
                for number, (stem, kernel, own) in enumerate(zip(self._stems, stem_kernels, statistics))
            ]
            dvariables = [*dstems, *dvariables]
        return [tf.cast(d, tf.float32) for d in dvariables], [tf.add_n(own) for own in dshares] if ALPHA in learn else None

    def _collect(self, cell: MixedCell, dedges: Sequence[tf.Tensor], dshares: list[list[tf.Tensor]]) -> None:
        """Puts the gradients of a cell's draw weights, [k] an edge, to those of the banks, each [rows, k]."""
        for number, own in enumerate(dshares):
            edges, incidence = self._banks.incidence(cell.placed, number)
            if edges:
                own.append(tf.matmul(tf.constant(incidence), tf.cast(tf.stack([dedges[e] for e in edges]), tf.float32)))
