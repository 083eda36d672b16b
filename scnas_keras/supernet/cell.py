"""A cell whose edges mix drawn operations."""

from collections.abc import Collection

import numpy as np
import tensorflow as tf
from keras import layers

from scnas_keras.networks.parts import Align
from scnas_keras.spaces.space import CELL_INPUTS, CellPlan, SearchSpace
from scnas_keras.supernet.fused_norm import fuse
from scnas_keras.supernet.mixture import Mixture
from scnas_keras.supernet.recompute import Recomputed
from scnas_keras.supernet.relaxation import Draw


class MixedCell(layers.Layer):
    """A cell of the supernet: two inputs to its nodes, whose concatenation is its output (SCNAS section 2.1).

    The parameters of all its edges with one stride are the rows of one matrix: few variables keep the graph of the
    optimizer small.

    Args:
        space: the search space.
        plan: the cell's place.
        channels: of one node.
        mixtures: the shared mixtures by stride.
        shared_aligns: signature -> `Recomputed` of an input alignment; filled as cells are built.
        rng: for the edges' start values.

    Attributes:
        parameters: stride -> [edges with that stride, size], a row of all candidates' kernels for each edge.
    """

    def __init__(self, space: SearchSpace, plan: CellPlan, channels: int, mixtures: dict[int, Mixture], shared_aligns: dict, rng, **kwargs):
        super().__init__(name=plan.name, **kwargs)
        self.plan, self._edges, self._nodes, self.mixtures = plan, space.edges, space.nodes, mixtures
        self._strides = [plan.stride(edge) for edge in space.edges]
        self.aligns = [
            fuse(Align(channels, level - plan.input_level, affine=False, name=f"{plan.name}_input_{i}"))
            for i, level in enumerate(plan.input_levels)
        ]
        self._shared_aligns = shared_aligns
        self._run_align = []
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
            self._run_align.append(self._shared_aligns.setdefault(key, Recomputed(align)))

    def edge_parameters(self) -> list[tf.Tensor]:
        """The parameter vector of every edge, in the order of the space's edges."""
        rows = {stride: iter(tf.unstack(tf.convert_to_tensor(matrix))) for stride, matrix in self.parameters.items()}
        return [next(rows[stride]) for stride in self._strides]

    def call(self, inputs, draw: list[Draw], learn: Collection[str]):
        """The cell's nodes [batch, *space, channels] from its two inputs and a draw ([k] each) for every edge.

        Each input is a list of what is summed to it, each of these a list of pieces along the channels.
        """
        aligns = zip(self._run_align, self.aligns, inputs)
        nodes = [run(terms, align.trainable_variables, learn) for run, align, terms in aligns]
        parameters = self.edge_parameters()
        for j in range(CELL_INPUTS, CELL_INPUTS + self._nodes):
            terms = []
            for e, (i, target) in enumerate(self._edges):
                if target == j:
                    terms.append(self.mixtures[self._strides[e]](nodes[i], draw[e], parameters[e], learn))
            nodes.append(tf.add_n(terms))
        return nodes[CELL_INPUTS:]
