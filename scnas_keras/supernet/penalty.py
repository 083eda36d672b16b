"""A price on parameters and multiply-adds that rises until the derived network keeps to its target."""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from scnas_keras.spaces.cost import CostTables
from scnas_keras.spaces.operations import ZERO
from scnas_keras.supernet.derive import derived_operations

COSTS = ("parameters", "multiply_adds")


class CostPenalty:
    """Sum over targets of λ max(0, cost / target - 1), added to the loss from which the logits learn.

    The cost is that of the network which `derive` would give now, so that the target holds for what a search returns;
    its gradient is that of the expected cost under softmax(logits) (straight-through). Below the target nothing is
    penalised. λ starts at 0 and is raised after each update by the rate times the excess, and lowered alike (dual
    ascent): the weight that a bare λ leaves to guessing is found on the way.

    Args:
        tables: costs of the space's derived networks.
        targets: "parameters" and/or "multiply_adds" -> the most that the derived network should have.
        rate: of the ascent, for one update.
        max_identity_edges: as for `derive`.

    Attributes:
        names: of the costs with a target, in the order of `excess` and of the multipliers.
    """

    def __init__(self, tables: CostTables, targets: Mapping[str, float], rate: float = 0.01, max_identity_edges: int | None = None):
        self.names = tuple(name for name in COSTS if name in targets)
        self._targets, self._rate = np.array([targets[name] for name in self.names]), rate
        edges, inputs = tables.by_kind
        own = [COSTS.index(name) for name in self.names]
        self._edges, self._inputs, self._fixed = (
            tf.constant(array[..., own] / self._targets, tf.float32) for array in (edges, inputs, tables.fixed)
        )
        self._space, self._max_identity_edges = tables.space, max_identity_edges
        operations = tables.space.operations
        self._zero = operations.index(ZERO) if ZERO in operations else None
        self._reads = tf.constant(tables.reads)

    def excess(self, logits: tf.Tensor) -> tf.Tensor:
        """cost / target - 1 of each target, [targets]; negative below it. From logits [kinds, edges, operations]."""
        probabilities = tf.nn.softmax(logits)
        operations = tf.ensure_shape(tf.numpy_function(self._derived, [logits], tf.int64), logits.shape[:-1])
        derived = tf.one_hot(operations, logits.shape[-1])
        return self.relative_cost(probabilities + tf.stop_gradient(derived - probabilities)) - 1

    def _derived(self, logits: np.ndarray) -> np.ndarray:
        return derived_operations(self._space, logits, self._max_identity_edges)

    def raised(self, multipliers: tf.Tensor, excess: tf.Tensor) -> tf.Tensor:
        """The multipliers after an update, [targets]. An excess counts as at most 1, so that a far target isn't rushed."""
        return tf.nn.relu(multipliers + self._rate * tf.minimum(excess, 1.0))

    def relative_cost(self, probabilities: tf.Tensor) -> tf.Tensor:
        """`CostTables.expected` over the targets, [targets], for probabilities [kinds, edges, operations]."""
        total = self._fixed + tf.einsum("keo,keoc->c", probabilities, self._edges)
        if self._zero is None:
            return total + tf.reduce_sum(self._inputs, axis=(0, 1))
        unread = tf.where(self._reads, probabilities[:, None, :, self._zero], 1.0)
        return total + tf.einsum("ki,kic->c", 1 - tf.reduce_prod(unread, axis=-1), self._inputs)
