"""What a search found: one operation an edge for every cell kind, as a versioned JSON document."""

import dataclasses
import json
import math
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from scnas_keras.errors import ConfigError, GenotypeError
from scnas_keras.files import write_text
from scnas_keras.spaces.operations import ZERO
from scnas_keras.spaces.space import SearchSpace

FORMAT, VERSION = "scnas_keras.genotype", 1


@dataclasses.dataclass(frozen=True)
class Edge:
    """One edge of a cell: nodes 0 and 1 are the cell's inputs (two cells back, previous cell)."""

    source: int
    target: int
    operation: str
    probability: float

    def to_json(self) -> dict[str, Any]:
        return {"from": self.source, "to": self.target, "operation": self.operation, "probability": self.probability}


@dataclasses.dataclass(frozen=True)
class Genotype:
    """A found architecture.

    Attributes:
        space: the search space it was found in.
        cells: cell kind -> its edges, in the order of `space.edges`. `zero` means that the edge is absent.
        notes: remarks for the reader, such as edges that were restored to keep a node alive.
    """

    space: SearchSpace
    cells: Mapping[str, tuple[Edge, ...]]
    notes: tuple[str, ...] = ()

    def __post_init__(self):
        _check_cells(self.space, self.cells)

    def to_json(self) -> dict[str, Any]:
        space = dataclasses.asdict(self.space)
        cells = {kind: [edge.to_json() for edge in edges] for kind, edges in self.cells.items()}
        return {"format": FORMAT, "version": VERSION, "space": space, "cells": cells, "notes": list(self.notes)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Genotype":
        """The genotype of a parsed document.

        Raises:
            GenotypeError: a field is missing, of the wrong type, or contradicts the search space.
        """
        if not isinstance(document, Mapping) or document.get("format") != FORMAT:
            found = document.get("format") if isinstance(document, Mapping) else type(document).__name__
            raise GenotypeError(f'Not a genotype: top-level "format" is {found!r}, expected {FORMAT!r}.')
        if document.get("version") != VERSION:
            raise GenotypeError(f"Genotype version {document.get('version')!r} can't be read; this release reads version {VERSION}.")
        space = _parse_space(document.get("space"))
        cells = document.get("cells")
        if not isinstance(cells, Mapping):
            raise GenotypeError('"cells" must map each cell kind to its list of edges.')
        parsed = {kind: tuple(_parse_edge(kind, i, edge) for i, edge in enumerate(_list(kind, edges))) for kind, edges in cells.items()}
        return cls(space, parsed, tuple(str(note) for note in document.get("notes", ())))

    def save(self, path: str | os.PathLike) -> None:
        """Writes the JSON document; an existing file is replaced whole or not at all."""
        write_text(path, json.dumps(self.to_json(), indent=1) + "\n")

    @classmethod
    def load(cls, path: str | os.PathLike) -> "Genotype":
        """Reads and validates a genotype file.

        Raises:
            GenotypeError: no such file, not JSON, or not a valid genotype; the message names the file.
        """
        try:
            return cls.from_json(json.loads(pathlib.Path(path).read_text(encoding="utf-8")))
        except OSError as error:
            raise GenotypeError(f"{path}: can't be read ({error.strerror}).") from error
        except ValueError as error:
            raise GenotypeError(f"{path}: not a JSON document ({error}). Was the file cut off? Search again or restore it.") from error
        except GenotypeError as error:
            raise GenotypeError(f"{path}: {error}") from error


def _list(kind: str, edges: Any) -> Sequence[Any]:
    if not isinstance(edges, list):
        raise GenotypeError(f"Cell {kind!r} must be a list of edges, found {type(edges).__name__}.")
    return edges


def _parse_space(fields: Any) -> SearchSpace:
    names = [field.name for field in dataclasses.fields(SearchSpace)]
    if not isinstance(fields, Mapping) or set(fields) != set(names):
        raise GenotypeError(f'"space" must be an object with the fields {names}.')
    types = {"name": str, "rank": int, "operations": list, "nodes": int, "layout": list}
    wrong = [name for name, kind in types.items() if not isinstance(fields[name], kind)]
    if wrong:
        raise GenotypeError(f'"space" has fields of the wrong type: {wrong}.')
    lists = {name: tuple(map(str, fields[name])) for name in ("operations", "layout")}
    try:
        return SearchSpace(**{**fields, **lists})
    except ConfigError as error:
        raise GenotypeError(str(error)) from error


def _parse_edge(kind: str, position: int, edge: Any) -> Edge:
    where = f"Cell {kind!r}, edge number {position}"
    if not isinstance(edge, Mapping) or not {"from", "to", "operation", "probability"} <= set(edge):
        raise GenotypeError(f'{where}: needs "from", "to", "operation" and "probability", found {edge!r}.')
    if not isinstance(edge["from"], int) or not isinstance(edge["to"], int):
        raise GenotypeError(f'{where}: "from" and "to" must be node numbers.')
    if isinstance(edge["probability"], bool) or not isinstance(edge["probability"], (int, float)):
        raise GenotypeError(f'{where}: "probability" must be a number, found {edge["probability"]!r}.')
    return Edge(edge["from"], edge["to"], str(edge["operation"]), float(edge["probability"]))


def _check_cells(space: SearchSpace, cells: Mapping[str, Sequence[Edge]]) -> None:
    if set(cells) != set(space.kinds):
        raise GenotypeError(f"Cell kinds are {sorted(cells)}, the search space {space.name!r} has {sorted(space.kinds)}.")
    for kind, edges in cells.items():
        if tuple((edge.source, edge.target) for edge in edges) != space.edges:
            raise GenotypeError(f"Cell {kind!r} must list the edges {list(space.edges)} in this order, once each.")
        for edge in edges:
            where = f"Cell {kind!r}, edge {edge.source}->{edge.target}"
            if edge.operation not in space.operations:
                raise GenotypeError(f"{where}: operation {edge.operation!r} is not in the search space {list(space.operations)}.")
            if not (math.isfinite(edge.probability) and 0 <= edge.probability <= 1):
                raise GenotypeError(f"{where}: probability {edge.probability} is outside 0..1.")
        dead = {edge.target for edge in edges} - {edge.target for edge in edges if edge.operation != ZERO}
        if dead:
            raise GenotypeError(f"Cell {kind!r}: nodes {sorted(dead)} have no input, all their edges are zero.")
