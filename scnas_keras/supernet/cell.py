"""A cell whose edges mix drawn operations."""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from scnas_keras.kernels.fused_norm import fuse
from scnas_keras.networks.derived import alignments
from scnas_keras.networks.parts import Align
from scnas_keras.operations.facts import ROLES
from scnas_keras.spaces.places import PlacedCell, PlacedEdge
from scnas_keras.supernet.fixed_parts import Pieces, SharedAlign
from scnas_keras.supernet.mixture import ALPHA, WEIGHTS, Mixture
from scnas_keras.supernet.relaxation import Draw

Signature = tuple[str, tuple[str, ...]]
"""Role and candidates of an edge: edges of a cell that have them in common share a mixture and the matrix of their parameters."""
Gradients = dict[int, Pieces]
"""What is known of the gradient of an output, by its number."""


def signature_of(edge: PlacedEdge) -> Signature:
    """Of an edge."""
    return edge.role, edge.candidates


@dataclasses.dataclass(frozen=True)
class Kept:
    """What the forward pass of a cell leaves for its backward pass: its arguments, nodes, aligned inputs and what the edges keep."""

    inputs: Sequence[Sequence[Pieces]]
    draw: list[Draw]
    weights: Sequence[tf.Tensor]
    rows: list[tf.Tensor]
    nodes: list[tf.Tensor]
    aligned: list[tuple[tf.Tensor, tf.Tensor]]
    edges: list[Any]


class MixedCell(layers.Layer):
    """A cell of the supernet: its inputs to its nodes, of which some together are its output (SCNAS section 2.1).

    The parameters of all its edges with one signature are the rows of one matrix: few variables keep the graph of the
    optimizer small. Its gradient is written out, edge after edge from the last node to the first, so that a node's
    gradient is one running sum instead of one tensor for each edge that reads it.

    Args:
        placed: the cell's place.
        channels: of one node.
        pieces: in how many pieces the output of each stem and of each cell before comes.
        mixtures: the shared mixtures by signature.
        shared_aligns: shapes of an alignment -> `SharedAlign`; filled as cells are built.
        low_memory: compute the aligned inputs again in the backward pass instead of keeping them, and one edge after the other.
        rng: for the edges' start values.

    Attributes:
        parameters: signature -> [edges with it, size], a row of all candidates' kernels for each edge.
    """

    def __init__(
        self,
        placed: PlacedCell,
        channels: int,
        pieces: Sequence[int],
        mixtures: Mapping[Signature, Mixture],
        shared_aligns: dict,
        low_memory: bool,
        rng: np.random.Generator,
        **kwargs,
    ):
        super().__init__(name=placed.name, **kwargs)
        self.placed, self._inputs = placed, len(placed.inputs)
        self._parts = [
            (i, own.join == "concat" and len(part.sources) > 1, part) for i, own in enumerate(placed.inputs) for part in own.alignments
        ]
        self._signatures = [signature_of(edge) for edge in placed.edges]
        self._mixtures, self._pieces, self._low_memory = dict(mixtures), tuple(pieces), low_memory
        self.aligns = [fuse(Align(channels, part.shift, affine=False, bridge=part.bridge, name=name)) for name, part in alignments(placed)]
        self._all_aligns, self._shared = shared_aligns, []
        self.parameters = {}
        for number, signature in enumerate(sorted(dict.fromkeys(self._signatures), key=lambda own: ROLES.index(own[0]))):
            start = np.stack([mixtures[signature].initial_parameters(rng) for own in self._signatures if own == signature])
            self.parameters[signature] = self.add_weight(
                name=f"parameters_{number}_{signature[0]}", shape=start.shape, initializer=lambda *_, start=start, **__: start
            )

    def build(self, shapes):
        for align, shape in zip(self.aligns, shapes):
            align.build(shape)
            key = (shape[-1], align.channels, align.shift, align.bridge)
            self._shared.append(self._all_aligns.setdefault(key, SharedAlign(align)))

    @property
    def weights_in_order(self) -> list[keras.Variable]:
        """The matrices of the edges' parameters by signature, then the kernels of the inputs' alignments."""
        return [*self.parameters.values(), *(align.kernel for align in self.aligns)]

    def edge_parameters(self, weights: Sequence[tf.Tensor] | None = None) -> list[tf.Tensor]:
        """The parameter vector of every edge, in the order of the space's edges, from the cell's own or other `weights_in_order`."""
        weights = weights or [tf.convert_to_tensor(matrix) for matrix in self.parameters.values()]
        rows = {signature: iter(tf.unstack(matrix)) for signature, matrix in zip(self.parameters, weights)}
        return [next(rows[signature]) for signature in self._signatures]

    def mixture(self, edge: int) -> Mixture:
        """What an edge, by number, mixes."""
        return self._mixtures[self._signatures[edge]]

    def call(self, inputs: Sequence[tf.Tensor], draw: Sequence[Draw]) -> tf.Tensor:
        """The cell by its equation, for automatic differentiation; a search runs `forward` and `backward`, which give the same.

        Args:
            inputs: what each of its alignments joins, [batch, *space, any].
            draw: for every edge, operations [k] as Python numbers and weights [k].

        Returns:
            [batch, *space, channels of all output nodes].
        """
        nodes, parameters = self._summed([align(x) for align, x in zip(self.aligns, inputs)]), self.edge_parameters()
        for node in self.placed.nodes:
            terms = []
            for e in self.placed.incoming(node):
                for operation, weight in zip(draw[e].operations, tf.unstack(draw[e].weights)):
                    terms.append(weight * self.mixture(e).run(operation, nodes[self.placed.edges[e].source], parameters[e]))
            nodes.append(tf.add_n(terms))
        return tf.concat([nodes[node] for node in self.placed.output], axis=-1)

    def forward(
        self, inputs: Sequence[Sequence[Pieces]], draw: list[Draw], weights: Sequence[tf.Tensor], keep: bool
    ) -> tuple[Pieces, Kept]:
        """The cell's nodes [batch, *space, channels], and what `backward` needs of them.

        Args:
            inputs: for each alignment the terms to sum, each of these in pieces along the channels.
            draw: [k] operations and weights for every edge.
            weights: values of `weights_in_order`.
            keep: whether `backward` will be called.
        """
        rows = self.edge_parameters(weights)
        aligned, kept = [], [None] * len(self.placed.edges)
        for shared, terms, kernel in zip(self._shared, inputs, weights[-len(self._parts) :]):
            with self._after(aligned[-1:]):
                aligned.append(shared.forward(terms, kernel))
        nodes = self._summed([x for x, _ in aligned])
        for node in self.placed.nodes:
            terms = []
            for e in self.placed.incoming(node):
                with self._after(terms[-1:] or nodes[-1:]):
                    outputs, kept[e] = self.mixture(e).forward(nodes[self.placed.edges[e].source], draw[e], rows[e], keep)
                terms = [tf.add_n([*terms, *outputs])] if self._low_memory else [*terms, *outputs]
            nodes.append(tf.add_n(terms))
        return [nodes[node] for node in self.placed.output], Kept(inputs, draw, weights, rows, nodes[self._inputs :], aligned, kept)

    def backward(self, kept: Kept, doutput: Pieces, known: Gradients, learn: Collection[str]):
        """Gradients of `forward` with respect to what it reads, weights and the draw's weights [k] of every edge.

        Args:
            kept: what `forward` gave.
            doutput: gradients of the output's pieces.
            known: what is known of the gradients of earlier outputs; those that the cell reads are added to in place.
            learn: `WEIGHTS` if the weights' gradients are asked for, `ALPHA` if those of the draw's weights; the others
                are None.
        """
        kernels, aligned, last = kept.weights[-len(self._parts) :], kept.aligned, list(doutput[-1:])
        if self._low_memory:
            aligned = []
            for shared, terms, kernel in zip(self._shared, kept.inputs, kernels):
                aligned.append(shared.again(terms, kernel, last[0]))
                last = [aligned[-1][0]]
        nodes = [*self._summed([x for x, _ in aligned]), *kept.nodes]
        gradients: list[tf.Tensor | None] = [None] * len(nodes)
        for node, dnode in zip(self.placed.output, doutput):
            gradients[node] = dnode
        drows, dshares = [None] * len(self.placed.edges), [None] * len(self.placed.edges)
        for node in reversed(self.placed.nodes):
            for e in self.placed.incoming(node):
                i = self.placed.edges[e].source
                with self._after(last):
                    gradients[i], drows[e], dshares[e] = self.mixture(e).backward(
                        nodes[i], kept.draw[e], kept.rows[e], kept.edges[e], gradients[node], gradients[i], learn
                    )
                last = [gradients[i]]
        dkernels = []
        for part, (shared, terms, kernel, (x, statistics)) in enumerate(zip(self._shared, kept.inputs, kernels, aligned)):
            with self._after(last):
                dy = gradients[self._parts[part][0]]
                dterms, dkernel = shared.backward(terms, kernel, statistics, x, dy, self._before(part, known))
            self._add(part, dterms, known)
            dkernels.append(dkernel)
            last = [dkernel]
        matrices = [tf.stack([row for row, own in zip(drows, self._signatures) if own == signature]) for signature in self.parameters]
        return [*matrices, *dkernels] if WEIGHTS in learn else None, dshares if ALPHA in learn else None

    def join(self, outputs: Sequence[Pieces]) -> list[list[Pieces]]:
        """What each alignment joins, as terms of a sum: each source is one, or all together are one where they are concatenated."""
        found = []
        for _, concatenated, part in self._parts:
            sources = [outputs[source] for source in part.sources]
            if concatenated:
                found.append([[piece for pieces in sources for piece in pieces]])
            else:
                found.append(sources if self._alike(part.sources) else [[tf.concat(pieces, axis=-1)] for pieces in sources])
        return found

    def _alike(self, sources: Sequence[int]) -> bool:
        """Whether outputs come in equally many pieces; else these can't be summed one by one."""
        return len({self._pieces[source] for source in sources}) == 1

    def _summed(self, aligned: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """The nodes of the inputs: sums of what their alignments give."""
        of_inputs = [[x for x, (i, *_) in zip(aligned, self._parts) if i == number] for number in range(self._inputs)]
        return [tf.add_n(own) if len(own) > 1 else own[0] for own in of_inputs]

    def _before(self, number: int, known: Gradients) -> list[Pieces]:
        """What the gradients of an alignment's terms are added to, in the structure of `join`; an empty list for nothing."""
        _, concatenated, part = self._parts[number]
        if concatenated:
            return [[]]
        before = [known.get(source, []) for source in part.sources]
        return before if self._alike(part.sources) else [[tf.concat(pieces, axis=-1)] if pieces else [] for pieces in before]

    def _add(self, number: int, dterms: Sequence[Pieces], known: Gradients) -> None:
        """Keeps the gradients of an alignment's terms, to which `_before` was added, as those of its sources."""
        _, concatenated, part = self._parts[number]
        if not concatenated:
            alike = self._alike(part.sources)
            for source, dterm in zip(part.sources, dterms):
                known[source] = dterm if alike else tf.split(dterm[0], self._pieces[source], axis=-1)
            return
        pieces = iter(dterms[0])
        for source in part.sources:
            found = [next(pieces) for _ in range(self._pieces[source])]
            known[source] = [a + b for a, b in zip(known[source], found)] if source in known else found

    def _after(self, last: Sequence[tf.Tensor]):
        """Lets what follows wait if memory is short: edges that run at the same time add up."""
        return tf.control_dependencies(tf.nest.flatten(last) if self._low_memory else [])
