"""From alpha to a genotype, by the rule of the space."""

from collections.abc import Mapping

import numpy as np

from scnas_keras.operations.registry import operation
from scnas_keras.spaces.description import ARGMAX, STRONGEST_TWO, Cell
from scnas_keras.spaces.genotype import Edge, Genotype, Path
from scnas_keras.spaces.space import SearchSpace

Alpha = Mapping[str, np.ndarray]
"""Table -> [rows, candidates]."""
KEPT_EDGES = 2
"""That a node has by the rule "strongest_two"."""
ABSENT = -1


def derive(space: SearchSpace, alpha: Alpha, max_identity_edges: int | None = None) -> Genotype:
    """The architecture that alpha describes.

    With the rule "argmax" every edge keeps its most probable operation (SCNAS section 2.2), and `zero` removes it. A node that would be
    left without any input keeps instead, of its edges' operations other than zero, the most probable one; the genotype's notes say so.
    With "strongest_two" every node keeps the two edges whose most probable operations other than zero are the most probable, and these
    (DARTS, Liu et al. 2019, section 2.4); where edges differ in the number of candidates, probabilities count as multiples of what each
    would have if all were alike (as NAS-Unet scales them). Weighted sums keep their most probable source.

    Args:
        space: the search space.
        alpha: table -> [rows, candidates].
        max_identity_edges: the most identity edges of a cell kind, or None. Of more, the least probable ones take
            their second most probable operation, and the notes say so (a cap as in DARTS+, Liang et al. 2019).
    """
    probabilities = softmax(alpha)
    chosen, notes = chosen_operations(space, alpha, max_identity_edges)
    cells = {
        cell.name: tuple(_edge(space, cell, e, int(index), probabilities) for e, index in enumerate(chosen[cell.name]))
        for cell in space.cells
    }
    paths = {
        table.name: tuple(Path(int(row.argmax()), round(float(row.max()), 6)) for row in probabilities[table.name])
        for table in space.tables
        if table.paths
    }
    return Genotype(space, cells, tuple(notes), paths)


def chosen_operations(space: SearchSpace, alpha: Alpha, max_identity_edges: int | None = None) -> tuple[dict[str, np.ndarray], list[str]]:
    """Kind -> the candidate that each edge keeps, by number, or ABSENT: int [edges]; and notes on what was changed."""
    probabilities, choices, notes = softmax(alpha), {}, []
    for cell in space.cells:
        rows = [probabilities[edge.table][edge.row] for edge in cell.edges]
        choice = _Choice(space, cell, rows, max_identity_edges)
        {ARGMAX: choice.take_argmax, STRONGEST_TWO: choice.take_strongest_two}[space.derivation]()
        choices[cell.name], notes = choice.chosen, notes + choice.notes
    return choices, notes


def softmax(alpha: Alpha) -> dict[str, np.ndarray]:
    """Probabilities of each row's candidates, in double precision: in float32, small differences would become ties."""
    found = {}
    for name, table in alpha.items():
        table = np.asarray(table, np.float64)
        shifted = np.exp(table - np.max(table, axis=-1, keepdims=True, initial=-np.inf))
        found[name] = shifted / shifted.sum(axis=-1, keepdims=True)
    return found


class _Choice:
    """What the edges of one kind of cell keep.

    Attributes:
        chosen: by number among the edge's candidates, or ABSENT.
        notes: on what was changed.
    """

    def __init__(self, space: SearchSpace, cell: Cell, rows: list[np.ndarray], max_identity_edges: int | None):
        self._cell, self._rows, self._most = cell, rows, max_identity_edges
        self._names = [space.table(edge.table).candidates for edge in cell.edges]
        facts = [[operation(name) for name in names] for names in self._names]
        self._zero = [np.array([own.is_zero for own in row]) for row in facts]
        self._identity = [np.array([own.is_identity for own in row]) for row in facts]
        self.chosen, self.notes = np.zeros(len(rows), np.int64), []

    def take_argmax(self) -> None:
        self.chosen[:] = [row.argmax() for row in self._rows]
        self._cap_identities(self._rows)
        for e, zero in enumerate(self._zero):
            if zero[self.chosen[e]]:
                self.chosen[e] = ABSENT
        for node in self._nodes():
            self._restore(node)

    def take_strongest_two(self) -> None:
        best = [np.where(zero, -1.0, row) for row, zero in zip(self._rows, self._zero)]
        self.chosen[:] = [row.argmax() for row in best]
        self._cap_identities(best)
        for node in self._nodes():
            incoming = self._incoming(node)
            strength = [-best[e][self.chosen[e]] * len(best[e]) for e in incoming]  # as a multiple of what all alike would have
            for weak in np.argsort(strength, kind="stable")[KEPT_EDGES:]:
                self.chosen[incoming[weak]] = ABSENT

    def _nodes(self) -> list[int]:
        return sorted({edge.target for edge in self._cell.edges})

    def _incoming(self, node: int) -> list[int]:
        return [e for e, edge in enumerate(self._cell.edges) if edge.target == node]

    def _where(self, e: int) -> str:
        return f"{self._cell.edges[e].source}->{self._cell.edges[e].target}"

    def _cap_identities(self, rows: list[np.ndarray]) -> None:
        """Where there are too many identities, the least certain take their next best operation by `rows`."""
        taken = [e for e, index in enumerate(self.chosen) if self._identity[e][index]]
        if self._most is None or len(taken) <= self._most:
            return
        surest_first = sorted(taken, key=lambda e: -self._rows[e][self.chosen[e]])
        for e in sorted(surest_first[self._most :]):
            others = np.where(self._identity[e], -1.0, rows[e])
            if others.max() < 0:  # there is nothing else to take
                continue
            self.chosen[e] = others.argmax()
            name = self._names[e][self.chosen[e]]
            self.notes.append(f"{self._cell.name}: {len(taken)} edges were identity, {self._most} may be; {self._where(e)} became {name}.")

    def _restore(self, node: int) -> None:
        """If all edges into a node are absent, brings the best one back."""
        incoming = self._incoming(node)
        if any(self.chosen[e] != ABSENT for e in incoming):
            return
        values = [np.where(self._zero[e], -1.0, self._rows[e]) for e in incoming]
        identities = sum(bool(self._identity[e][index]) for e, index in enumerate(self.chosen) if index != ABSENT)
        if self._most is not None and identities >= self._most:
            capped = [np.where(self._identity[e], -1.0, row) for e, row in zip(incoming, values)]
            values = capped if max(row.max() for row in capped) >= 0 else values
        best = int(np.argmax([row.max() for row in values]))
        e = incoming[best]
        self.chosen[e] = values[best].argmax()
        self.notes.append(
            f"{self._cell.name}: all edges into node {node} were zero; restored {self._where(e)} as {self._names[e][self.chosen[e]]}."
        )


def _edge(space: SearchSpace, cell: Cell, number: int, chosen: int, probabilities: Mapping[str, np.ndarray]) -> Edge:
    edge = cell.edges[number]
    names, row = space.table(edge.table).candidates, probabilities[edge.table][edge.row]
    if chosen != ABSENT:
        return Edge(edge.source, edge.target, names[chosen], round(float(row[chosen]), 6))
    zero = [index for index, name in enumerate(names) if operation(name).is_zero]
    return Edge(edge.source, edge.target, None, round(float(row[zero].sum()), 6))
