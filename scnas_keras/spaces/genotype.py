"""What a search found: one operation an edge for every kind of cell, as a versioned JSON document."""

import dataclasses
import json
import math
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from scnas_keras.documents import parse
from scnas_keras.errors import GenotypeError
from scnas_keras.files import file_in, write_text
from scnas_keras.operations.registry import operation
from scnas_keras.spaces.decision import UNDECIDED
from scnas_keras.spaces.description import CellEdge
from scnas_keras.spaces.genotype_format import FORMAT, VERSION, read_genotype, space_to_json
from scnas_keras.spaces.paths import dropped_outputs
from scnas_keras.spaces.published import PUBLISHED, published_file
from scnas_keras.spaces.space import SearchSpace

GENOTYPE_FILE = "genotype.json"
"""Its name in the folder of a search or a training."""


@dataclasses.dataclass(frozen=True)
class Edge:
    """One edge of a cell; the first nodes are the cell's inputs.

    Attributes:
        source, target: its nodes.
        operation: its operation, or None where the edge is absent.
        probability: of the operation by alpha; of an absent edge that of `zero`, or 0 where zero is no candidate.
    """

    source: int
    target: int
    operation: str | None
    probability: float


@dataclasses.dataclass(frozen=True)
class Path:
    """Which source a weighted sum keeps, by number within its input, and how probable it was by alpha."""

    source: int
    probability: float


@dataclasses.dataclass(frozen=True)
class Genotype:
    """A found architecture.

    Attributes:
        space: the search space it was found in.
        cells: kind of cell -> its edges, in the order of the space.
        notes: remarks for the reader, such as edges that were restored to keep a node alive.
        paths: table of paths -> what each of its rows keeps.

    Raises:
        GenotypeError: parts that contradict the search space.
    """

    space: SearchSpace
    cells: Mapping[str, tuple[Edge, ...]]
    notes: tuple[str, ...] = ()
    paths: Mapping[str, tuple[Path, ...]] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        _check_cells(self)
        _check_paths(self)

    @property
    def architecture(self) -> tuple[SearchSpace, Mapping[str, tuple[Edge, ...]], Mapping[str, tuple[Path, ...]]]:
        """All but the notes: what two files of one architecture have in common."""
        return self.space, self.cells, self.paths

    def present(self, kind: str) -> tuple[Edge, ...]:
        """The edges of a kind of cell that aren't absent."""
        return tuple(edge for edge in self.cells[kind] if edge.operation is not None)

    @property
    def dropped(self) -> tuple[int, ...]:
        """Numbers of the outputs that no weighted sum kept, which are not built."""
        return dropped_outputs(self.space, self.paths)

    @property
    def undecided(self) -> str | None:
        """The note of a search that has not decided, or None."""
        return next((note for note in self.notes if note.startswith(UNDECIDED)), None)

    def to_json(self) -> dict[str, Any]:
        """The document of this version of the format; what is as by default is left out."""
        cells = {kind: [_edge_to_json(edge) for edge in edges] for kind, edges in self.cells.items()}
        document = {"format": FORMAT, "version": VERSION, "space": space_to_json(self.space), "cells": cells}
        if self.paths:
            document["paths"] = {table: [dataclasses.asdict(path) for path in paths] for table, paths in self.paths.items()}
        if self.dropped:
            document["dropped"] = list(self.dropped)
        return document | {"notes": list(self.notes)}

    @classmethod
    def from_json(cls, document: Any, where: str | os.PathLike = "genotype") -> "Genotype":
        """The genotype of a parsed document, of this version of the format or the one before.

        Args:
            document: parsed JSON.
            where: the file, for messages.

        Raises:
            GenotypeError: a field is missing, of the wrong type, or contradicts the search space.
        """
        parts = read_genotype(document, str(where))
        cells = {kind: tuple(Edge(*edge) for edge in edges) for kind, edges in parts.cells.items()}
        paths = {table: tuple(Path(*path) for path in paths) for table, paths in parts.paths.items()}
        try:
            found = cls(parts.space, cells, parts.notes, paths)
        except GenotypeError as error:
            raise GenotypeError(f"{where}: {error}") from error
        if parts.dropped != found.dropped:
            raise GenotypeError(f"{where}: dropped is {list(parts.dropped)}, but its paths leave out {list(found.dropped)}.")
        return found

    def save(self, path: str | os.PathLike) -> None:
        """Writes the JSON document; an existing file is replaced whole or not at all."""
        write_text(path, json.dumps(self.to_json(), indent=1) + "\n")

    @classmethod
    def load(cls, path: str | os.PathLike) -> "Genotype":
        """Reads and validates a genotype file, the genotype.json in a search's folder, or a published one, "published:nas_unet".

        Raises:
            GenotypeError: no such file, not JSON, or not a valid genotype; the message names the file.
            ConfigError: there is no published one of that name.
        """
        path = genotype_file(path)
        return cls.from_json(parse(path, "Name a genotype.json that a search left, or its folder.", GenotypeError), path)


def genotype_file(path: str | os.PathLike) -> pathlib.Path:
    """The file that a person names, the genotype.json in the folder that is named, or what `published:NAME` stands for."""
    return published_file(str(path)) if str(path).startswith(PUBLISHED) else file_in(path, GENOTYPE_FILE)


def _edge_to_json(edge: Edge) -> dict[str, Any]:
    return {"from": edge.source, "to": edge.target, "operation": edge.operation, "probability": edge.probability}


def _check_cells(genotype: Genotype) -> None:
    space, cells = genotype.space, genotype.cells
    if set(cells) != {cell.name for cell in space.cells}:
        known = sorted(cell.name for cell in space.cells)
        raise GenotypeError(f"Cell kinds are {sorted(cells)}, the search space {space.name!r} has {known}.")
    for cell in space.cells:
        edges, wanted = cells[cell.name], [(edge.source, edge.target) for edge in cell.edges]
        if [(edge.source, edge.target) for edge in edges] != wanted:
            raise GenotypeError(f"Cell {cell.name!r} must list the edges {wanted} in this order, once each.")
        for edge, own in zip(edges, cell.edges):
            _check_edge(space, cell.name, edge, own)
        dead = {edge.target for edge in edges} - {edge.target for edge in edges if edge.operation is not None}
        if dead:
            raise GenotypeError(f"Cell {cell.name!r}: nodes {sorted(dead)} have no input, all their edges are absent.")


def _check_edge(space: SearchSpace, kind: str, edge: Edge, own: CellEdge) -> None:
    where, candidates = f"Cell {kind!r}, edge {edge.source}->{edge.target}", space.table(own.table).candidates
    if edge.operation is not None and edge.operation not in candidates:
        raise GenotypeError(f"{where}: operation {edge.operation!r} is not in the search space {list(candidates)}.")
    if edge.operation is not None and operation(edge.operation).is_zero:
        raise GenotypeError(f"{where}: operation {edge.operation!r} is no edge at all; an absent edge has none.")
    if not (math.isfinite(edge.probability) and 0 <= edge.probability <= 1):
        raise GenotypeError(f"{where}: probability {edge.probability} is outside 0..1.")


def _check_paths(genotype: Genotype) -> None:
    tables = {table.name: table for table in genotype.space.tables if table.paths}
    if set(genotype.paths) != set(tables):
        raise GenotypeError(f"Paths are of the tables {sorted(genotype.paths)}, the search space has {sorted(tables)}.")
    for name, paths in genotype.paths.items():
        if len(paths) != tables[name].rows or not all(0 <= path.source < len(tables[name].candidates) for path in paths):
            raise GenotypeError(
                f"Paths {name!r} must keep one of {len(tables[name].candidates)} sources in each of {tables[name].rows} rows."
            )
