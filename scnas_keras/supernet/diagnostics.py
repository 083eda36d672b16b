"""How far a search has come, in numbers: what its logits say of the edges, what was drawn, what would be derived.

Pure NumPy on small arrays, computed once an epoch.
"""

import collections
from collections.abc import Mapping
from typing import Any

import numpy as np

from scnas_keras.spaces.cost import CostTables
from scnas_keras.spaces.genotype import Genotype
from scnas_keras.spaces.operations import OPERATIONS
from scnas_keras.spaces.space import SearchSpace
from scnas_keras.supernet.derive import derive

GROUPS = ("conv", "dilated", "pool", "identity", "zero")


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities of each edge's operations, over the last axis."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


def edge_entropy(probabilities: np.ndarray) -> np.ndarray:
    """Entropy over its maximum: 1 is uniform, 0 is decided. [..., edges, operations] -> [..., edges]."""
    logs = np.log(np.where(probabilities > 0, probabilities, 1))
    return -(probabilities * logs).sum(axis=-1) / np.log(probabilities.shape[-1])


def edge_margin(probabilities: np.ndarray) -> np.ndarray:
    """By how much the most probable operation leads the second, 0 to 1. [..., edges, operations] -> [..., edges]."""
    second, first = np.moveaxis(np.sort(probabilities, axis=-1)[..., -2:], -1, 0)
    return first - second


def jensen_shannon(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Jensen-Shannon divergence in bits: 0 for equal distributions, 1 for disjoint ones. Over the last axis."""

    def divergence(a, b):
        return (a * np.log2(np.where(a > 0, a, 1) / np.where(b > 0, b, 1))).sum(axis=-1)

    middle = (p + q) / 2
    return np.maximum(0.0, (divergence(p, middle) + divergence(q, middle)) / 2)


def group_shares(genotype: Genotype) -> dict[tuple[str, str], float]:
    """(cell kind, group of operations) -> share of the kind's edges, zero edges included."""
    shares = {}
    for kind in genotype.space.kinds:
        count = collections.Counter(OPERATIONS[edge.operation].group for edge in genotype.cells[kind])
        shares |= {(kind, group): count[group] / len(genotype.space.edges) for group in GROUPS}
    return shares


def draw_deviation(drawn: np.ndarray, expected: np.ndarray, draws: int) -> float:
    """How far counts are from their expectation, in standard deviations: root mean square over edges and operations.

    About 1 or less if operations are drawn as the relaxation says. Where drawing is certain there is nothing to deviate.
    """
    variance = expected * (1 - expected / draws)
    uncertain = variance > 1e-3 * draws
    return float(np.sqrt(np.mean((drawn - expected)[uncertain] ** 2 / variance[uncertain]))) if uncertain.any() else 0.0


class Diagnostics:
    """The quantities of an epoch for history.csv and TensorBoard, and what needs the epoch before.

    `entropy`, `margin` are means over all edges, with their least and largest; `js` is the mean (and largest) Jensen-Shannon
    divergence of the edges' distributions from the epoch before, `changes` the number of edges whose operation differs
    from it, `unchanged_epochs` for how long none did; both are absent in the first epoch. `share_KIND_GROUP` is of the
    genotype that would be derived now. `drawn_OPERATION` is how often an edge drew it in the epoch's draws,
    `drawn_expected_OPERATION` what was to be expected. Costs are those of the derived network: of the genotype, and on
    average over softmax(logits); in millions of parameters and billions of multiply-adds.

    Args:
        tables: costs of the space's derived networks.
        max_identity_edges: as for `derive`.

    Attributes:
        genotype: what would be derived, as of the last update.
        edges: per-edge "entropy" and "margin", each [kinds, edges], as of the last update.
    """

    def __init__(self, tables: CostTables, max_identity_edges: int | None = None):
        self._tables, self._max_identity_edges = tables, max_identity_edges
        space = tables.space
        shape = (len(space.kinds), len(space.edges), len(space.operations))
        self.genotype: Genotype | None = None
        self.edges: dict[str, np.ndarray] = {}
        self.unchanged = 0
        self._probabilities: np.ndarray | None = None
        self._operations: list[list[str]] | None = None
        self._drawn, self._expected, self._draws = np.zeros(shape), np.zeros(shape), 0

    @property
    def space(self) -> SearchSpace:
        return self._tables.space

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of all quantities, in order."""
        spreads = [name + end for name in ("entropy", "margin") for end in ("", "_min", "_max")]
        costs = [f"{of}_{cost}" for of in ("expected", "derived") for cost in ("mparams", "gmacs")]
        shares = [f"share_{kind}_{group}" for kind in self.space.kinds for group in GROUPS]
        drawn = [f"{of}_{name}" for name in self.space.operations for of in ("drawn", "drawn_expected")]
        return (*spreads, "js", "js_max", "changes", "unchanged_epochs", *costs, *shares, *drawn, "draw_deviation")

    def update(
        self, logits: np.ndarray, drawn: np.ndarray, drawn_expected: np.ndarray, draws: int, learning: bool = True
    ) -> dict[str, float]:
        """The quantities of the epoch that just ended.

        Args:
            logits: [kinds, edges, operations].
            drawn, drawn_expected: of the same shape, how often each operation was drawn since the search began, and how
                often it should have been.
            draws: made since the search began.
            learning: whether the logits learned; an epoch in which they did not is no sign of stability.
        """
        probabilities = softmax(np.asarray(logits, np.float64))
        self.genotype = derive(self.space, np.asarray(logits, np.float64), self._max_identity_edges)
        self.edges = {"entropy": edge_entropy(probabilities), "margin": edge_margin(probabilities)}
        values = {}
        for name, edges in self.edges.items():
            values |= {name: edges.mean(), f"{name}_min": edges.min(), f"{name}_max": edges.max()}
        values |= self._since_last_epoch(probabilities, learning)
        values |= self._costs(probabilities)
        values |= {f"share_{kind}_{group}": share for (kind, group), share in group_shares(self.genotype).items()}
        values |= self._draws_since(np.asarray(drawn, np.float64), np.asarray(drawn_expected, np.float64), int(draws))
        return {name: float(value) for name, value in values.items()}

    def _since_last_epoch(self, probabilities: np.ndarray, learning: bool) -> dict[str, float]:
        operations = [[edge.operation for edge in self.genotype.cells[kind]] for kind in self.space.kinds]
        before, before_operations = self._probabilities, self._operations
        self._probabilities, self._operations = probabilities, operations
        if before is None:
            return {}
        divergence = jensen_shannon(before, probabilities)
        changes = int(np.sum(np.array(operations) != np.array(before_operations)))
        self.unchanged = self.unchanged + 1 if learning and not changes else 0
        return {"js": divergence.mean(), "js_max": divergence.max(), "changes": changes, "unchanged_epochs": self.unchanged}

    def _costs(self, probabilities: np.ndarray) -> dict[str, float]:
        costs = {"expected": self._tables.expected(probabilities), "derived": self._tables.of_genotype(self.genotype)}
        parameters = {f"{of}_mparams": cost.parameters / 1e6 for of, cost in costs.items()}
        return parameters | {f"{of}_gmacs": cost.multiply_adds / 1e9 for of, cost in costs.items()}

    def _draws_since(self, drawn: np.ndarray, expected: np.ndarray, draws: int) -> dict[str, float]:
        new = draws - self._draws
        counts, means = drawn - self._drawn, expected - self._expected
        self._drawn, self._expected, self._draws = drawn, expected, draws
        if not new:
            return {}
        values = {}
        for i, name in enumerate(self.space.operations):
            values |= {f"drawn_{name}": counts[..., i].mean() / new, f"drawn_expected_{name}": means[..., i].mean() / new}
        return values | {"draw_deviation": draw_deviation(counts, means, new)}

    @property
    def state(self) -> dict[str, Any]:
        """What the next epoch's quantities depend on, for JSON; set it to go on from there."""
        return {
            "probabilities": None if self._probabilities is None else self._probabilities.tolist(),
            "operations": self._operations,
            "unchanged": self.unchanged,
            "drawn": self._drawn.tolist(),
            "expected": self._expected.tolist(),
            "draws": self._draws,
        }

    @state.setter
    def state(self, state: Mapping[str, Any]) -> None:
        self._probabilities = None if state["probabilities"] is None else np.array(state["probabilities"])
        self._operations, self.unchanged = state["operations"], state["unchanged"]
        self._drawn, self._expected, self._draws = np.array(state["drawn"]), np.array(state["expected"]), state["draws"]
