"""A genotype as plain text, for terminals and .txt files."""

import collections
import textwrap
from collections.abc import Iterable

from scnas_keras.spaces.genotype import Edge, Genotype
from scnas_keras.spaces.operations import OPERATIONS, ZERO
from scnas_keras.spaces.space import CELL_INPUTS

WIDTH, INDENT, COLUMN = 100, 10, 45


def cell_title(kind: str) -> str:
    """A cell kind in plain words: `encoder_normal` is "Encoder normal cell"."""
    return f"{kind.replace('_', ' ').capitalize()} cell"


def node_name(index: int) -> str:
    """A cell's node in plain words: its inputs are "two back" and "previous", the others count from "node 1"."""
    return ("two back", "previous")[index] if index < CELL_INPUTS else f"node {index - CELL_INPUTS + 1}"


def genotype_table(genotype: Genotype) -> str:
    """The cells of a genotype, node by node, and how often each group of operations was chosen.

    An edge reads `source: operation (probability)`. Zero edges are counted, not listed.

    Returns:
        Lines of at most `WIDTH` characters, the last one ended by a newline.
    """
    space = genotype.space
    lines = [f"Search space {space.name}, cells {len(space.layout)}, nodes a cell {space.nodes}, edges a cell {len(space.edges)}", ""]
    for kind in space.kinds:
        lines += [*_cell_block(kind, genotype.cells[kind]), ""]
    lines += _share_block(genotype)
    for note in genotype.notes:
        lines += ["", *textwrap.wrap(f"Note: {note}", WIDTH, subsequent_indent="      ")]
    return "\n".join(lines) + "\n"


def _cell_block(kind: str, edges: Iterable[Edge]) -> list[str]:
    incoming = collections.defaultdict(list)
    for edge in edges:
        incoming[edge.target].append(edge)
    title = cell_title(kind)
    return [title, "-" * len(title)] + [line for target, group in incoming.items() for line in _node_row(target, group)]


def _node_row(target: int, edges: list[Edge]) -> list[str]:
    items = [
        f"{node_name(edge.source)}: {OPERATIONS[edge.operation].label} ({edge.probability:.2f})" for edge in edges if edge.operation != ZERO
    ]
    if zeros := len(edges) - len(items):
        items.append(f"{zeros} zero")
    lines = ["".join(item.ljust(COLUMN) for item in items[i : i + 2]).rstrip() for i in range(0, len(items), 2)]
    return [label.ljust(INDENT) + line for label, line in zip([node_name(target)] + [""] * len(lines), lines)]


def _share_block(genotype: Genotype) -> list[str]:
    groups = list(dict.fromkeys(OPERATIONS[name].group for name in genotype.space.operations))
    width = max(len(cell_title(kind)) for kind in genotype.space.kinds)
    lines = ["Share of operations", " " * width + "".join(group.rjust(10) for group in groups)]
    for kind in genotype.space.kinds:
        edges = genotype.cells[kind]
        count = collections.Counter(OPERATIONS[edge.operation].group for edge in edges)
        lines.append(cell_title(kind).ljust(width) + "".join(f"{count[group] / len(edges):10.0%}" for group in groups))
    return lines
