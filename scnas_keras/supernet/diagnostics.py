"""How far a search has come, in numbers: what alpha says of the edges, what was drawn, what would be derived.

Pure NumPy on small arrays, computed once an epoch.
"""

import collections
from collections.abc import Callable, Mapping
from typing import Any, TypedDict

import numpy as np

from scnas_keras.documents.ranges import Counter
from scnas_keras.operations.facts import ZERO_GROUP
from scnas_keras.operations.registry import operation
from scnas_keras.spaces.cost import CostTables
from scnas_keras.spaces.derive import derive, softmax
from scnas_keras.spaces.genotype import Genotype
from scnas_keras.spaces.milliseconds import TimeTables
from scnas_keras.spaces.space import SearchSpace

Tables = Mapping[str, np.ndarray]
"""Table -> [rows, candidates]."""


def groups_of(space: SearchSpace) -> tuple[str, ...]:
    """Groups of the space's operations, in their order; absent edges are of the last one, `ZERO_GROUP`."""
    return (*(group for group in dict.fromkeys(operation(name).group for name in space.operations) if group != ZERO_GROUP), ZERO_GROUP)


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
    """(cell kind, group of operations) -> share of the kind's edges, absent edges included."""
    shares = {}
    for kind, edges in genotype.cells.items():
        count = collections.Counter(ZERO_GROUP if edge.operation is None else operation(edge.operation).group for edge in edges)
        shares |= {(kind, group): count[group] / len(edges) for group in groups_of(genotype.space)}
    return shares


def draw_deviation(drawn: np.ndarray, expected: np.ndarray, draws: int) -> float:
    """How far counts are from their expectation, in standard deviations: root mean square over edges and operations.

    About 1 or less if operations are drawn as the relaxation says. Where drawing is certain there is nothing to deviate.
    """
    variance = expected * (1 - expected / draws)
    uncertain = variance > 1e-3 * draws
    return float(np.sqrt(np.mean((drawn - expected)[uncertain] ** 2 / variance[uncertain]))) if uncertain.any() else 0.0


_Lists = dict[str, list[list[float]]]


class DiagnosticsState(TypedDict):
    """What the next epoch's quantities depend on."""

    probabilities: _Lists | None
    operations: list[list[str | None]] | None
    unchanged: Counter
    drawn: _Lists
    expected: _Lists
    draws: Counter


class Diagnostics:
    """The quantities of an epoch for history.csv and TensorBoard, and what needs the epoch before.

    `entropy`, `margin` are means over all rows of alpha, with their least and largest; `js` is the mean (and largest) Jensen-Shannon
    divergence of the rows' distributions from the epoch before, `changes` the number of edges whose operation differs
    from it, `unchanged_epochs` for how long none did; both are absent in the first epoch. `share_KIND_GROUP` is of the
    genotype that would be derived now. `drawn_OPERATION` is how often a row drew it in the epoch's draws,
    `drawn_expected_OPERATION` what was to be expected. Costs are those of the derived network: of the genotype, and on
    average over softmax(alpha); in millions of parameters, billions of multiply-adds and, if they are known, milliseconds of a step.

    Args:
        tables: costs of the space's derived networks.
        max_identity_edges: as for `derive`.
        times: milliseconds of their steps.

    Attributes:
        genotype: what would be derived, as of the last update.
        rows: "entropy" and "margin" of each row of alpha, as of the last update.
    """

    def __init__(self, tables: CostTables, max_identity_edges: int | None = None, times: TimeTables | None = None):
        self._tables, self._max_identity_edges, self._times = tables, max_identity_edges, times
        own = [table for table in tables.space.tables if not table.paths]
        self._candidates = {table.name: table.candidates for table in own}
        self.genotype: Genotype | None = None
        self.rows: dict[str, np.ndarray] = {}
        self.unchanged = 0
        self._probabilities: Tables | None = None
        self._operations: list[list[str | None]] | None = None
        self._drawn = self._expected = {table.name: np.zeros((table.rows, len(table.candidates))) for table in own}
        self._draws = 0

    @property
    def space(self) -> SearchSpace:
        return self._tables.space

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of all quantities, in order."""
        spreads = [name + end for name in ("entropy", "margin") for end in ("", "_min", "_max")]
        known = ("mparams", "gmacs", *(["ms"] if self._times else []))
        costs = [f"{of}_{cost}" for of in ("expected", "derived") for cost in known]
        shares = [f"share_{cell.name}_{group}" for cell in self.space.cells for group in groups_of(self.space)]
        drawn = [f"{of}_{name}" for name in self.space.operations for of in ("drawn", "drawn_expected")]
        return (*spreads, "js", "js_max", "changes", "unchanged_epochs", *costs, *shares, *drawn, "draw_deviation")

    def update(self, alpha: Tables, drawn: Tables, drawn_expected: Tables, draws: int, learning: bool = True) -> dict[str, float]:
        """The quantities of the epoch that just ended.

        Args:
            alpha: table -> [rows, candidates].
            drawn, drawn_expected: of the same shapes, how often each operation was drawn since the search began, and how
                often it should have been.
            draws: made since the search began.
            learning: whether alpha learned; an epoch in which it did not is no sign of stability.
        """
        probabilities = softmax(alpha)
        self.genotype = derive(self.space, alpha, self._max_identity_edges)
        self.rows = {"entropy": _of_rows(edge_entropy, probabilities), "margin": _of_rows(edge_margin, probabilities)}
        values = {}
        for name, rows in self.rows.items():
            values |= {name: rows.mean(), f"{name}_min": rows.min(), f"{name}_max": rows.max()}
        values |= self._since_last_epoch(probabilities, learning)
        values |= self._costs(alpha)
        values |= {f"share_{kind}_{group}": share for (kind, group), share in group_shares(self.genotype).items()}
        values |= self._draws_since(_wide(drawn), _wide(drawn_expected), int(draws))
        return {name: float(value) for name, value in values.items()}

    def _since_last_epoch(self, probabilities: Tables, learning: bool) -> dict[str, float]:
        operations = [[edge.operation for edge in edges] for edges in self.genotype.cells.values()]
        before, before_operations = self._probabilities, self._operations
        self._probabilities, self._operations = probabilities, operations
        if before is None:
            return {}
        divergence = np.concatenate([jensen_shannon(before[table], own) for table, own in probabilities.items()])
        changes = sum(now != then for own, old in zip(operations, before_operations) for now, then in zip(own, old))
        self.unchanged = self.unchanged + 1 if learning and not changes else 0
        return {"js": divergence.mean(), "js_max": divergence.max(), "changes": changes, "unchanged_epochs": self.unchanged}

    def _costs(self, alpha: Tables) -> dict[str, float]:
        costs = {"expected": self._tables.expected(alpha), "derived": self._tables.of_genotype(self.genotype)}
        parameters = {f"{of}_mparams": cost.parameters / 1e6 for of, cost in costs.items()}
        times = self._times and {"expected_ms": self._times.expected(alpha), "derived_ms": self._times.of_genotype(self.genotype)}
        return parameters | {f"{of}_gmacs": cost.multiply_adds / 1e9 for of, cost in costs.items()} | (times or {})

    def _draws_since(self, drawn: Tables, expected: Tables, draws: int) -> dict[str, float]:
        new = draws - self._draws
        counts, means = (
            {table: now[table] - then[table] for table in now} for now, then in ((drawn, self._drawn), (expected, self._expected))
        )
        self._drawn, self._expected, self._draws = drawn, expected, draws
        if not new:
            return {}
        values = {}
        for name in self.space.operations:
            for column, found in ((f"drawn_{name}", counts), (f"drawn_expected_{name}", means)):
                of_name = [found[table][:, names.index(name)] for table, names in self._candidates.items() if name in names]
                values[column] = np.concatenate(of_name).mean() / new
        flat = [np.concatenate([own.ravel() for own in found.values()]) for found in (counts, means)]
        return values | {"draw_deviation": draw_deviation(*flat, new)}

    @property
    def state(self) -> DiagnosticsState:
        """For JSON; set it to go on from there."""
        return {
            "probabilities": None if self._probabilities is None else _to_lists(self._probabilities),
            "operations": self._operations,
            "unchanged": self.unchanged,
            "drawn": _to_lists(self._drawn),
            "expected": _to_lists(self._expected),
            "draws": self._draws,
        }

    @state.setter
    def state(self, state: DiagnosticsState) -> None:
        shapes = {name: [len(row) for row in own] for name, own in _to_lists(self._drawn).items()}
        for name in ("probabilities", "drawn", "expected"):
            if (tables := state[name]) is not None and {table: [*map(len, rows)] for table, rows in tables.items()} != shapes:
                raise ValueError(f"{name}: found tables of other names or sizes than the search space has")
        if (state["probabilities"] is None) != (state["operations"] is None):
            raise ValueError("found probabilities without operations, or operations without probabilities")
        self._probabilities = None if state["probabilities"] is None else _wide(state["probabilities"])
        self._operations, self.unchanged = state["operations"], state["unchanged"]
        self._drawn, self._expected, self._draws = _wide(state["drawn"]), _wide(state["expected"]), state["draws"]


def _of_rows(function: Callable[[np.ndarray], np.ndarray], tables: Tables) -> np.ndarray:
    """A quantity of every row of all tables, one table after the other."""
    return np.concatenate([function(own) for own in tables.values()])


def _wide(tables: Mapping[str, Any]) -> Tables:
    return {name: np.asarray(own, np.float64) for name, own in tables.items()}


def _to_lists(tables: Tables) -> dict[str, Any]:
    return {name: own.tolist() for name, own in tables.items()}
