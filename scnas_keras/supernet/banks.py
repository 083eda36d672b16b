"""How the tables of a space lie in memory: those with the same candidates are the rows of one matrix.

One matrix is one draw and one variable, and each variable costs the optimizer some 40 nodes of the graph.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from scnas_keras.spaces.places import PlacedCell, PlacedEdge
from scnas_keras.spaces.space import SearchSpace


@dataclasses.dataclass(frozen=True)
class Bank:
    """Tables with the same candidates.

    Attributes:
        candidates: of every row.
        starts: table -> its first row.
        rows: of all tables together.
    """

    candidates: tuple[str, ...]
    starts: Mapping[str, int]
    rows: int

    @property
    def shape(self) -> tuple[int, int]:
        return self.rows, len(self.candidates)


class Banks:
    """The tables of operations of a space in as few matrices as there are sets of candidates.

    Attributes:
        banks: in the order of their first table.
    """

    def __init__(self, space: SearchSpace):
        tables = [table for table in space.tables if not table.paths]
        self._rows = {table.name: table.rows for table in tables}
        self.banks: list[Bank] = []
        for candidates in dict.fromkeys(table.candidates for table in tables):
            own = [table for table in tables if table.candidates == candidates]
            starts = np.cumsum([0, *(table.rows for table in own)]).tolist()
            self.banks.append(Bank(candidates, dict(zip((table.name for table in own), starts)), starts[-1]))

    def find(self, table: str) -> tuple[int, int]:
        """The bank that holds a table, and the table's first row there."""
        return next((i, bank.starts[table]) for i, bank in enumerate(self.banks) if table in bank.starts)

    def place_of(self, edge: PlacedEdge) -> tuple[int, int]:
        """The bank of an edge, and its row there."""
        number, start = self.find(edge.table)
        return number, start + edge.row

    def incidence(self, cell: PlacedCell, number: int) -> tuple[list[int], np.ndarray]:
        """A cell's edges in a bank, and the matrix [rows, edges] of zeros and ones that adds what they have to their rows."""
        places = [self.place_of(edge) for edge in cell.edges]
        edges = [e for e, (bank, _) in enumerate(places) if bank == number]
        matrix = np.zeros((self.banks[number].rows, len(edges)), np.float32)
        matrix[[places[e][1] for e in edges], range(len(edges))] = 1
        return edges, matrix

    def to_tables(self, matrices: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """Table -> [rows, ...], from a matrix for each bank."""
        found = {
            table: np.asarray(matrix)[start : start + self._rows[table]]
            for bank, matrix in zip(self.banks, matrices, strict=True)
            for table, start in bank.starts.items()
        }
        return {name: found[name] for name in self._rows}

    def from_tables(self, tables: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """The matrix of each bank."""
        return [np.concatenate([np.asarray(tables[table]) for table in bank.starts]) for bank in self.banks]
