"""Whether the parts of a search space fit each other."""

import re
from collections.abc import Collection, Iterable
from typing import Any

from scnas_keras.errors import ConfigError
from scnas_keras.operations.facts import ROLES
from scnas_keras.operations.registry import known_operations, operation
from scnas_keras.spaces.description import DERIVATIONS, DOUBLINGS, HALVINGS, Cell, Description, Input, Place, Table
from scnas_keras.spaces.places import PlacedCell, output_levels, placed_cells

MOST = 10_000
"""Rows of a table, and a width as a multiple of the network's, beyond which a document is damaged."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
"""Of a cell or a table: names of layers and of columns are made of them."""
JOINS = ("sum", "concat", "weighted")


def check(space: Description) -> None:
    """Raises ConfigError naming the first part of a space that doesn't fit."""
    for problem in _problems(space):
        raise ConfigError(f"Search space {space.name!r}: {problem}")


def _problems(space: Description) -> Iterable[str]:
    if space.rank not in (2, 3):
        yield f"rank is {space.rank}, expected 2 or 3."
    yield from _one_of("derivation", space.derivation, DERIVATIONS)
    if not (space.tables and space.cells and space.places and space.stems):
        yield "needs tables, cells, places and stems, at least one of each."
    if not space.widths or not all(1 <= width <= MOST for width in space.widths):
        yield f"widths are {list(space.widths)}, expected numbers from 1 to {MOST}."
    for what, members in (("table", space.tables), ("cell", space.cells)):
        names = [member.name for member in members]
        yield from (f"{what} {name!r}: expected a name of letters, digits, _ and -." for name in names if not _NAME.fullmatch(name))
        yield from (f"two {what}s are called {name!r}." for name in names if names.count(name) > 1)
    for table in space.tables:
        yield from (f"table {table.name!r}: {problem}" for problem in _of_table(table))
    for cell in space.cells:
        yield from (f"cell {cell.name!r}: {problem}" for problem in _of_cell(cell, {table.name: table for table in space.tables}))
    for number, stem in enumerate(space.stems):
        if not 0 <= stem.level < len(space.widths) or not 1 <= stem.width <= MOST:
            yield (
                f"stem {number}: level {stem.level} and width {stem.width}, expected 0 to {len(space.widths) - 1}, as widths are known, "
                f"and 1 to {MOST}."
            )
    for number, place in enumerate(space.places, start=len(space.stems)):
        yield from (f"place {number} ({place.cell}): {problem}" for problem in _of_place(space, number, place))
    yield from _of_head(space)
    for cell in placed_cells(space):
        yield from (f"{cell.name}: {problem}" for problem in _of_roles(cell))
    yield from _unused(space)


def _of_table(table: Table) -> Iterable[str]:
    if table.rows > MOST:
        yield f"has {table.rows} rows, expected at most {MOST}."
    elif table.rows < 1 or len(table.candidates) < 2 or len(set(table.candidates)) < len(table.candidates):
        yield f"{table.rows} rows of the candidates {list(table.candidates)}, expected a row, and two candidates or more, each once."
    elif unknown := [name for name in table.candidates if not table.paths and name not in known_operations()]:
        yield f"operations {unknown} are not known to this version, which has {', '.join(known_operations())}."
    elif not table.paths and all(operation(name).is_zero for name in table.candidates):
        yield "has no candidate but zero."


def _of_cell(cell: Cell, tables: dict[str, Table]) -> Iterable[str]:
    nodes = {edge.target for edge in cell.edges}
    if cell.inputs < 1 or nodes != set(range(cell.inputs, cell.inputs + len(nodes))) or not nodes:
        yield f"nodes {sorted(nodes)} have edges, expected {cell.inputs}, {cell.inputs + 1}, ... without a gap behind the inputs."
    if list(cell.edges) != sorted(cell.edges, key=lambda edge: (edge.target, edge.source)):
        yield "its edges must stand in the order of their targets, then of their sources."
    if len({(edge.source, edge.target) for edge in cell.edges}) < len(cell.edges):
        yield "has two edges between the same nodes."
    for edge in cell.edges:
        where, table = f"edge {edge.source}->{edge.target}", tables.get(edge.table)
        if not 0 <= edge.source < edge.target:
            yield f"{where} doesn't lead to a later node."
        if table is None or table.paths or not 0 <= edge.row < table.rows:
            yield f"{where} reads row {edge.row} of table {edge.table!r}, which isn't there, or is none of operations."
    idle = sorted((nodes | set(range(cell.inputs))) - {edge.source for edge in cell.edges} - set(cell.output))
    if idle:
        yield f"nothing reads its nodes {idle}."
    if not cell.output or not set(cell.output) <= nodes or len(set(cell.output)) < len(cell.output):
        yield f"its output is the nodes {list(cell.output)}, expected some of {sorted(nodes)}, once each."


def _of_place(space: Description, number: int, place: Place) -> Iterable[str]:
    cells = {cell.name: cell for cell in space.cells}
    if place.cell not in cells:
        yield f"there is no cell {place.cell!r}; known: {', '.join(cells)}."
    elif len(place.inputs) != cells[place.cell].inputs:
        yield f"has {len(place.inputs)} inputs, and the cell {cells[place.cell].inputs}."
    known = place.level < len(space.widths) if place.width is None else 1 <= place.width <= MOST
    if place.level < 0 or not known:
        yield f"level {place.level} with width {place.width}: widths {list(space.widths)} are known by level."
    for i, own in enumerate(place.inputs):
        if not own.sources or len(set(own.sources)) < len(own.sources) or not all(0 <= source < number for source in own.sources):
            yield f"input {i} reads the outputs {list(own.sources)}, expected some of 0 to {number - 1}, once each."
        else:
            yield from (f"input {i}: {problem}" for problem in _of_input(space, own, place.level))


def _of_input(space: Description, own: Input, level: int) -> Iterable[str]:
    yield from _one_of("join", own.join, JOINS)
    yield from _one_of("halve", own.halve, HALVINGS)
    yield from _one_of("double", own.double, DOUBLINGS)
    node = level if own.level is None else own.level
    if node < 0:
        yield f"is at level {node}, expected from 0 up."
    if abs(node - level) > 1:
        yield f"is at level {node} of a cell at level {level}; edges bridge one level at most."
    tables = {table.name: table for table in space.tables if table.paths}
    if (own.join == "weighted") != (own.weights is not None):
        yield f"join is {own.join!r} with weights {own.weights}; a weighted sum, and nothing else, has them."
    elif own.weights is not None:
        table = tables.get(own.weights[0])
        if table is None or not 0 <= own.weights[1] < table.rows or len(table.candidates) != len(own.sources):
            yield f"weights {own.weights}: expected a row of a table of paths with a candidate for each of {len(own.sources)} sources."


def _of_head(space: Description) -> Iterable[str]:
    head, count = space.head, len(space.stems) + len(space.places)
    yield from (f"head: {problem}" for problem in _one_of("join", head.join, JOINS[:2]))
    yield from (f"head: {problem}" for problem in _one_of("double", head.double, ("nearest", "linear")))
    for name in ("sources", "auxiliary"):
        if any(not 0 <= source < count for source in getattr(head, name)) or not head.sources:
            yield f"head: {name} are {list(getattr(head, name))}, expected outputs from 0 to {count - 1}."
        elif len(set(getattr(head, name))) < len(getattr(head, name)):
            yield f"head: {name} are {list(getattr(head, name))}, expected each once."
    levels = [output_levels(space)[source] for source in head.auxiliary if 0 <= source < count]
    if levels and (min(levels) < 1 or levels != sorted(set(levels))):
        yield f"head: auxiliary are outputs at the levels {levels}, expected coarser ones than full resolution, finest first, a level once."


def _of_roles(cell: PlacedCell) -> Iterable[str]:
    for i, own in enumerate(cell.inputs):
        if own.join != "concat" and own.joined_first and len(set(own.source_widths)) > 1:
            yield f"input {i} sums outputs of the widths {list(own.source_widths)}."
    for edge in cell.edges:
        unable = [name for name in edge.candidates if edge.role not in operation(name).roles]
        if unable:
            yield f"edge {edge.source}->{edge.target} is {edge.role}, of {', '.join(ROLES)}, which {', '.join(unable)} can't be."


def _unused(space: Description) -> Iterable[str]:
    read = {source for place in space.places for own in place.inputs for source in own.sources} | set(space.head.sources)
    idle = sorted(set(range(len(space.stems) + len(space.places))) - read)
    if idle:
        yield f"nothing reads the outputs {idle}."
    placed = {place.cell for place in space.places}
    yield from (f"cell {cell.name!r} stands nowhere." for cell in space.cells if cell.name not in placed)
    rows = {(edge.table, edge.row) for cell in space.cells for edge in cell.edges}
    rows |= {own.weights for place in space.places for own in place.inputs if own.weights is not None}
    for table in space.tables:
        free = [row for row in range(table.rows) if (table.name, row) not in rows]
        if free:
            yield f"table {table.name!r}: no edge reads the rows {free}."


def _one_of(name: str, value: Any, known: Collection[str]) -> Iterable[str]:
    if value not in known:
        yield f"{name} is {value!r}, expected one of {', '.join(known)}."
