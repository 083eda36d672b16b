"""The supernet's forward and backward pass, written out cell by cell.

TensorFlow's own differentiation would hold a gradient for every reader of a tensor until all are there, and run whatever is
ready. Here every gradient is one running sum, and with `low_memory` cells there is one edge at work at a time.
"""

from collections.abc import Collection, Sequence

import tensorflow as tf

from scnas_keras.networks.parts import OutCell, Stem
from scnas_keras.spaces.space import SearchSpace
from scnas_keras.supernet.cell import MixedCell
from scnas_keras.supernet.fixed_parts import SharedOut, SharedStem
from scnas_keras.supernet.mixture import LOGITS, WEIGHTS
from scnas_keras.supernet.relaxation import Draw


class Network:
    """Stem, cells and output as one differentiable function of weights and draw.

    Args:
        space: the search space.
        stem, cells, out: built layers.
        dtype: of the computation; weights and their gradients stay in float32.
    """

    def __init__(self, space: SearchSpace, stem: Stem, cells: Sequence[MixedCell], out: OutCell, dtype: str):
        self._space, self._cells, self._dtype = space, cells, dtype
        self._stem, self._out = SharedStem(space.nodes, stem.norm.epsilon), SharedOut()
        self._variables = [stem.kernel, *(v for cell in cells for v in cell.weights_in_order), out.kernel, out.bias]

    def __call__(self, images: tf.Tensor, draw: Draw, learn: Collection[str] = ()) -> tf.Tensor:
        """Logits [batch, *space, classes] of images under a draw [kinds, edges, k].

        `learn` says what will have a gradient: `WEIGHTS` the variables, `LOGITS` the draw's weights; nothing else has.
        """
        images = tf.cast(images, self._dtype)
        variables = [tf.convert_to_tensor(v) for v in self._variables]
        if not learn:
            return self._forward(images, draw, variables, keep=False)[0]

        @tf.custom_gradient
        def network(*_):
            logits, kept = self._forward(images, draw, variables, keep=True)

            def gradient(dlogits):
                dvariables, dshares = self._backward(images, kept, dlogits, learn)
                return [*(dvariables if WEIGHTS in learn else []), *([dshares] if LOGITS in learn else [])]

            return logits, gradient

        return network(*(variables if WEIGHTS in learn else []), *([draw.weights] if LOGITS in learn else []))

    def _forward(self, images: tf.Tensor, draw: Draw, variables: Sequence[tf.Tensor], keep: bool):
        stem_kernel, *rest, out_kernel, out_bias = (tf.cast(v, self._dtype) for v in variables)
        draws = {kind: own.unstack() for kind, own in zip(self._space.kinds, draw.unstack())}
        pieces, statistics = self._stem.forward(images, stem_kernel)
        outputs, cells = [pieces], []
        for cell in self._cells:
            own, rest = rest[: len(cell.weights_in_order)], rest[len(cell.weights_in_order) :]
            nodes, kept = cell.forward(self._inputs(cell, outputs), draws[cell.plan.kind], own, keep)
            outputs.append(nodes)
            cells.append(kept)
        logits = self._out.forward(outputs[-1], out_kernel, out_bias)
        return tf.cast(logits, tf.float32), (stem_kernel, statistics, outputs, cells, out_kernel)

    def _backward(self, images: tf.Tensor, kept, dlogits: tf.Tensor, learn: Collection[str]):
        """Gradients of all variables and of the draw's weights, each None if it isn't learned."""
        stem_kernel, statistics, outputs, cells, out_kernel = kept
        dlast, dout, dbias = self._out.backward(outputs[-1], out_kernel, tf.cast(dlogits, self._dtype))
        gradients = [*[[] for _ in self._cells], dlast]
        dvariables, dshares = [dout, dbias], {kind: [] for kind in self._space.kinds}
        for number, (cell, own) in reversed(list(enumerate(zip(self._cells, cells), start=1))):
            sources = self._sources(cell)
            before = [[gradients[source] for source in terms] for terms in sources]
            dinputs, dweights, dshare = cell.backward(own, gradients[number], before, learn)
            for source, dterm in ((s, d) for terms, dterms in zip(sources, dinputs) for s, d in zip(terms, dterms)):
                gradients[source] = dterm
            gradients[number] = None
            dvariables = [*(dweights or []), *dvariables]
            dshares[cell.plan.kind].append(dshare)
        if WEIGHTS in learn:
            dvariables = [self._stem.backward(images, stem_kernel, statistics, gradients[0]), *dvariables]
        shares = tf.stack([tf.add_n(own) for own in dshares.values()]) if LOGITS in learn else None
        return [tf.cast(d, tf.float32) for d in dvariables], None if shares is None else tf.cast(shares, tf.float32)

    def _sources(self, cell: MixedCell) -> list[list[int]]:
        """For both inputs of a cell, which outputs are summed to it."""
        two_back, previous = cell.plan.inputs
        return [[two_back], [previous] if cell.plan.skip is None else [previous, cell.plan.skip]]

    def _inputs(self, cell: MixedCell, outputs: Sequence[list[tf.Tensor]]) -> list[list[list[tf.Tensor]]]:
        return [[outputs[source] for source in terms] for terms in self._sources(cell)]
