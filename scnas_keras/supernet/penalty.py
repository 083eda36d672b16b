"""A price on parameters, multiply-adds and milliseconds that rises until the derived network keeps to its target."""

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from scnas_keras.spaces.cost import CostTables
from scnas_keras.spaces.description import ARGMAX
from scnas_keras.spaces.milliseconds import TimeTables
from scnas_keras.spaces.presence import derived_shares, kept_edges, zero_mask
from scnas_keras.supernet.banks import Banks

PARAMETERS, MULTIPLY_ADDS, MILLISECONDS = COSTS = ("parameters", "multiply_adds", "milliseconds")
UNITS = {PARAMETERS: 1e6, MULTIPLY_ADDS: 1e9, MILLISECONDS: 1.0}
"""In which flags name them."""


class CostPenalty:
    """Sum over targets of λ max(0, cost / target - 1), added to the loss from which alpha learns.

    The cost is that of the network which `derive` would give now, all of its cells counted, so that the target holds for what a search
    returns (which leaves out cells that nothing reads);
    its gradient is that of the expected cost under softmax(alpha) (straight-through). Below the target nothing is
    penalised. λ starts at 0 and is raised after each update by the rate times the excess, and lowered alike (dual
    ascent): the weight that a bare λ leaves to guessing is found on the way.

    Args:
        tables: costs of the space's derived networks.
        targets: some of `COSTS` -> the most that the derived network should have.
        rate: of the ascent, for one update.
        max_identity_edges: as for `derive`.
        times: milliseconds of the same networks; needed with such a target.

    Attributes:
        names: of the costs with a target, in the order of `excess` and of the multipliers.
    """

    def __init__(
        self,
        tables: CostTables,
        targets: Mapping[str, float],
        rate: float = 0.01,
        max_identity_edges: int | None = None,
        times: TimeTables | None = None,
    ):
        self.names, self._rate = tuple(name for name in COSTS if name in targets), rate
        own = [COSTS.index(name) for name in self.names if name != MILLISECONDS]
        self._targets = np.array([targets[COSTS[index]] for index in own])
        self._sums = times.sums.over(targets[MILLISECONDS]) if times and MILLISECONDS in targets else None
        self._space, self._max_identity_edges = tables.space, max_identity_edges
        self._banks, self._groups = Banks(tables.space), tables.space.groups
        self._of_groups = [self._relative(tables.of_groups[group][..., own]) for group in self._groups]
        self._of_inputs = {kind: self._relative(costs[:, own]) for kind, costs in tables.of_inputs.items()}
        self._fixed = self._relative(tables.fixed[own])

    def excess(self, alpha: Sequence[tf.Tensor]) -> tf.Tensor:
        """cost / target - 1 of each target, [targets]; negative below it. From alpha [rows, candidates] for each bank."""
        shapes = [(len(group.edges), len(self._space.table(group.table).candidates)) for group in self._groups]
        now = tf.numpy_function(self._now, list(alpha), [tf.float32] * (2 * len(shapes)))
        kept = [tf.ensure_shape(own, shape[:1]) for own, shape in zip(now[len(shapes) :], shapes)]
        expected = [self._expected(group, alpha, own) for group, own in zip(self._groups, kept)]
        derived = [tf.ensure_shape(own, shape) for own, shape in zip(now, shapes)]
        cost = self.relative_cost([share + tf.stop_gradient(own - share) for share, own in zip(expected, derived)])
        if self._sums:
            mean = self.relative_milliseconds(expected)
            time = mean + tf.stop_gradient(self.relative_milliseconds(derived) - mean)
            cost = tf.concat([cost, time[None]], axis=0)
        return cost - 1

    def raised(self, multipliers: tf.Tensor, excess: tf.Tensor) -> tf.Tensor:
        """The multipliers after an update, [targets]. An excess counts as at most 1, so that a far target isn't rushed."""
        return tf.nn.relu(multipliers + self._rate * tf.minimum(excess, 1.0))

    def relative_cost(self, shares: Sequence[tf.Tensor]) -> tf.Tensor:
        """`CostTables.of_shares` over the targets but milliseconds', for the share of every operation [edges, candidates] in each group."""
        total = self._fixed
        unread = {cell.name: [tf.ones(())] * cell.inputs for cell in self._space.cells}
        for group, share, costs in zip(self._groups, shares, self._of_groups):
            total += tf.einsum("eo,eoc->c", share, costs)
            absent, own = tf.unstack(1 - tf.reduce_sum(share, axis=1)), unread[group.kind]
            for e, missing in zip(group.edges, absent):
                source = self._space.cell(group.kind).edges[e].source
                if source < len(own):
                    own[source] = own[source] * missing
        for kind, costs in self._of_inputs.items():
            total += tf.linalg.matvec(costs, 1 - tf.stack(unread[kind]), transpose_a=True)
        return total

    def relative_milliseconds(self, shares: Sequence[tf.Tensor]) -> tf.Tensor:
        """`TimeTables.of_shares` over the target, likewise."""
        sums = self._sums
        choices, times = tf.constant(sums.choices), tf.constant(sums.times, tf.float32)
        padded = tf.concat([*(tf.reshape(share, (1, -1)) for share in shares), tf.zeros((1, 1))], axis=1)
        absent = 1 - tf.concat([*(tf.reduce_sum(share, axis=1)[None] for share in shares), tf.zeros((1, 1))], axis=1)
        counted = tf.one_hot(tf.zeros(len(sums.times), tf.int32), sums.times.shape[1])
        for share in tf.unstack(tf.gather(padded, choices, axis=1)[0], axis=1):
            counted = counted * (1 - share[:, None]) + tf.pad(counted, ((0, 0), (1, 0)))[:, :-1] * share[:, None]
        missing = _product(tf.gather(absent, tf.constant(sums.edges), axis=1)[0])
        return sums.fixed + tf.reduce_sum(counted * times) + tf.reduce_sum(missing * tf.constant(sums.missing, tf.float32))

    def _relative(self, costs: np.ndarray) -> tf.Tensor:
        return tf.constant(costs / self._targets, tf.float32)

    def _expected(self, group, alpha: Sequence[tf.Tensor], kept: tf.Tensor) -> tf.Tensor:
        """`presence.edge_shares` of a group, differentiable in alpha."""
        bank, start = self._banks.find(group.table)
        rows = tf.unstack(alpha[bank])  # a `tf.gather` would make the whole gradient sparse, with rows that stand in it twice
        probabilities = tf.nn.softmax(tf.stack([rows[start + row] for row in group.rows]))
        share = tf.where(zero_mask(self._space, group.table), 0.0, probabilities)
        if self._space.derivation != ARGMAX:
            share = share / tf.reduce_sum(share, axis=1, keepdims=True)
        return share * kept[:, None]

    def _now(self, *alpha: np.ndarray) -> list[np.ndarray]:
        """What would be derived now: for each group the share of every operation, and which edges can be there."""
        tables = self._banks.to_tables(alpha)
        derived, kept = derived_shares(self._space, tables, self._max_identity_edges), kept_edges(self._space, tables)
        return [np.float32(derived[group]) for group in self._groups] + [np.float32(kept[group]) for group in self._groups]


def _product(factors: tf.Tensor) -> tf.Tensor:
    """Over the last axis; `tf.reduce_prod` divides by factors in its gradient."""
    columns = tf.unstack(factors, axis=1)
    total = columns[0]
    for column in columns[1:]:
        total = total * column
    return total
