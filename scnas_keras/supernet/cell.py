"""A cell whose edges mix drawn operations."""

import dataclasses
from collections.abc import Collection, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from scnas_keras.kernels.fused_norm import fuse
from scnas_keras.networks.parts import Align
from scnas_keras.spaces.space import CELL_INPUTS, CellPlan, SearchSpace
from scnas_keras.supernet.fixed_parts import Pieces, SharedAlign
from scnas_keras.supernet.mixture import LOGITS, WEIGHTS, Mixture
from scnas_keras.supernet.relaxation import Draw


@dataclasses.dataclass(frozen=True)
class Kept:
    """What the forward pass of a cell leaves for its backward pass: its arguments, nodes, aligned inputs and what the edges keep."""

    inputs: Sequence[Sequence[Pieces]]
    draw: list[Draw]
    weights: Sequence[tf.Tensor]
    rows: list[tf.Tensor]
    nodes: Pieces
    aligned: list[tuple[tf.Tensor, tf.Tensor]]
    edges: list[Any]


class MixedCell(layers.Layer):
    """A cell of the supernet: two inputs to its nodes, whose concatenation is its output (SCNAS section 2.1).

    The parameters of all its edges with one stride are the rows of one matrix: few variables keep the graph of the
    optimizer small. Its gradient is written out, edge after edge from the last node to the first, so that a node's
    gradient is one running sum instead of one tensor for each edge that reads it.

    Args:
        space: the search space.
        plan: the cell's place.
        channels: of one node.
        mixtures: the shared mixtures by stride.
        shared_aligns: signature -> `SharedAlign` of an input; filled as cells are built.
        low_memory: compute the aligned inputs again in the backward pass instead of keeping them, and one edge after the other.
        rng: for the edges' start values.

    Attributes:
        parameters: stride -> [edges with that stride, size], a row of all candidates' kernels for each edge.
    """

    def __init__(
        self,
        space: SearchSpace,
        plan: CellPlan,
        channels: int,
        mixtures: dict[int, Mixture],
        shared_aligns: dict,
        low_memory: bool,
        rng: np.random.Generator,
        **kwargs,
    ):
        super().__init__(name=plan.name, **kwargs)
        self.plan, self._edges, self._nodes, self.mixtures = plan, space.edges, space.nodes, mixtures
        self._strides = [plan.stride(edge) for edge in space.edges]
        self._low_memory = low_memory
        self.aligns = [
            fuse(Align(channels, level - plan.input_level, affine=False, name=f"{plan.name}_input_{i}"))
            for i, level in enumerate(plan.input_levels)
        ]
        self._all_aligns, self._shared = shared_aligns, []
        self.parameters = {}
        for stride in sorted(set(self._strides)):
            start = np.stack([mixtures[stride].initial_parameters(rng) for s in self._strides if s == stride])
            self.parameters[stride] = self.add_weight(
                name=f"parameters_stride_{stride}", shape=start.shape, initializer=lambda *_, start=start, **__: start
            )

    def build(self, shapes):
        for align, shape in zip(self.aligns, shapes):
            align.build(shape)
            key = (shape[-1], align.channels, align.shift)
            self._shared.append(self._all_aligns.setdefault(key, SharedAlign(align)))

    @property
    def weights_in_order(self) -> list[keras.Variable]:
        """The matrices of the edges' parameters by stride, then the kernels of both alignments."""
        return [*self.parameters.values(), *(align.kernel for align in self.aligns)]

    def edge_parameters(self, weights: Sequence[tf.Tensor] | None = None) -> list[tf.Tensor]:
        """The parameter vector of every edge, in the order of the space's edges, from the cell's own or other `weights_in_order`."""
        weights = weights or [tf.convert_to_tensor(matrix) for matrix in self.parameters.values()]
        rows = {stride: iter(tf.unstack(matrix)) for stride, matrix in zip(self.parameters, weights)}
        return [next(rows[stride]) for stride in self._strides]

    def forward(
        self, inputs: Sequence[Sequence[Pieces]], draw: list[Draw], weights: Sequence[tf.Tensor], keep: bool
    ) -> tuple[Pieces, Kept]:
        """The cell's nodes [batch, *space, channels], and what `backward` needs of them.

        Args:
            inputs: both inputs; each is a list of terms to sum, each of these a list of pieces along the channels.
            draw: [k] operations and weights for every edge.
            weights: values of `weights_in_order`.
            keep: whether `backward` will be called.
        """
        rows = self.edge_parameters(weights)
        aligned, kept = [], [None] * len(self._edges)
        for shared, terms, kernel in zip(self._shared, inputs, weights[-CELL_INPUTS:]):
            with self._after(aligned[-1:]):
                aligned.append(shared.forward(terms, kernel))
        nodes = [x for x, _ in aligned]
        for j in range(CELL_INPUTS, CELL_INPUTS + self._nodes):
            terms = []
            for e, i in self._incoming(j):
                with self._after(terms[-1:] or nodes[-1:]):
                    outputs, kept[e] = self.mixtures[self._strides[e]].forward(nodes[i], draw[e], rows[e], keep)
                terms = [tf.add_n([*terms, *outputs])] if self._low_memory else [*terms, *outputs]
            nodes.append(tf.add_n(terms))
        return nodes[CELL_INPUTS:], Kept(inputs, draw, weights, rows, nodes[CELL_INPUTS:], aligned, kept)

    def backward(self, kept: Kept, dnodes: Pieces, before: list[list[Pieces]], learn: Collection[str]):
        """Gradients of `forward` with respect to inputs, weights and the draw's weights [edges, k].

        Args:
            kept: what `forward` gave.
            dnodes: gradients of the nodes.
            before: what is known of the gradients of the inputs' terms, in the inputs' structure; an empty list for nothing.
            learn: `WEIGHTS` if the weights' gradients are asked for, `LOGITS` if those of the draw's weights; the others
                are None.
        """
        kernels, aligned, last = kept.weights[-CELL_INPUTS:], kept.aligned, list(dnodes[-1:])
        if self._low_memory:
            aligned = []
            for shared, terms, kernel in zip(self._shared, kept.inputs, kernels):
                aligned.append(shared.again(terms, kernel, last[0]))
                last = [aligned[-1][0]]
        nodes, gradients = [*(x for x, _ in aligned), *kept.nodes], [*[None] * CELL_INPUTS, *dnodes]
        drows, dshares = [None] * len(self._edges), [None] * len(self._edges)
        for j in reversed(range(CELL_INPUTS, CELL_INPUTS + self._nodes)):
            for e, i in self._incoming(j):
                with self._after(last):
                    gradients[i], drows[e], dshares[e] = self.mixtures[self._strides[e]].backward(
                        nodes[i], kept.draw[e], kept.rows[e], kept.edges[e], gradients[j], gradients[i], learn
                    )
                last = [gradients[i]]
        dinputs, dkernels, known = [], [], {}
        for shared, terms, kernel, (x, statistics), dx, own in zip(self._shared, kept.inputs, kernels, aligned, gradients, before):
            own = [known.get(id(term), start) for term, start in zip(terms, own)]
            with self._after(last):
                dterms, dkernel = shared.backward(terms, kernel, statistics, x, dx, own)
            known |= {id(term): dterm for term, dterm in zip(terms, dterms)}
            dinputs.append(dterms)
            dkernels.append(dkernel)
            last = [dkernel]
        matrices = [tf.stack([row for row, s in zip(drows, self._strides) if s == stride]) for stride in self.parameters]
        return dinputs, [*matrices, *dkernels] if WEIGHTS in learn else None, tf.stack(dshares) if LOGITS in learn else None

    def _after(self, last: Sequence[tf.Tensor]):
        """Lets what follows wait if memory is short: edges that run at the same time add up."""
        return tf.control_dependencies(tf.nest.flatten(last) if self._low_memory else [])

    def _incoming(self, node: int) -> list[tuple[int, int]]:
        """Index and source of every edge into a node."""
        return [(e, i) for e, (i, target) in enumerate(self._edges) if target == node]
