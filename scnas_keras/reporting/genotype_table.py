"""A genotype as plain text, for terminals and .txt files."""

import collections
import textwrap
from collections.abc import Iterable, Sequence

from scnas_keras.operations.facts import ZERO_GROUP
from scnas_keras.operations.registry import operation
from scnas_keras.spaces.genotype import Edge, Genotype
from scnas_keras.spaces.space import SearchSpace

WIDTH, INDENT, COLUMN = 100, 10, 45


def cell_title(kind: str) -> str:
    """A cell kind in plain words: `encoder_normal` is "Encoder normal cell"."""
    return f"{kind.replace('_', ' ').capitalize()} cell"


TWO_BACK, PREVIOUS, SKIP = "two back", "previous", "skip"


def input_names(space: SearchSpace, kind: str) -> tuple[str, ...]:
    """What the inputs of a kind of cell read, in plain words: of two, the output two back, the previous one, or a skip."""
    placed = [cell for cell in space.placed if cell.kind == kind]
    if len(placed[0].inputs) != 2:
        return tuple(f"input {number}" for number in range(1, len(placed[0].inputs) + 1))

    def reads(number: int, back: int) -> bool:
        """Whether it is this output wherever the cell stands; the first cells read the first stem instead."""
        return all(max(cell.number - back, 0) in cell.inputs[number].sources for cell in placed)

    usual = (TWO_BACK, 2), (PREVIOUS, 1)
    return tuple(next((name for name, back in (usual[i], usual[1 - i]) if reads(i, back)), SKIP) for i in range(2))


def node_name(index: int, inputs: Sequence[str]) -> str:
    """A cell's node in plain words, given `input_names`; the others count from "node 1"."""
    return inputs[index] if index < len(inputs) else f"node {index - len(inputs) + 1}"


def genotype_table(genotype: Genotype) -> str:
    """The cells of a genotype, node by node, and how often each group of operations was chosen.

    An edge reads `source: operation (probability)`. Absent edges are counted, not listed.

    Returns:
        Lines of at most `WIDTH` characters, the last one ended by a newline.
    """
    space = genotype.space
    nodes, edges = [len({edge.target for edge in cell.edges}) for cell in space.cells], [len(cell.edges) for cell in space.cells]
    lines = [f"Search space {space.name}, cells {len(space.places)}, nodes a cell {_range(nodes)}, edges a cell {_range(edges)}", ""]
    for cell in space.cells:
        lines += [*_cell_block(cell.name, genotype.cells[cell.name], input_names(space, cell.name)), ""]
    lines += _share_block(genotype)
    for note in genotype.notes:
        lines += ["", *textwrap.wrap(f"Note: {note}", WIDTH, subsequent_indent="      ")]
    return "\n".join(lines) + "\n"


def _range(counts: Sequence[int]) -> str:
    return f"{min(counts)}" if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"


def _cell_block(kind: str, edges: Iterable[Edge], inputs: Sequence[str]) -> list[str]:
    incoming = collections.defaultdict(list)
    for edge in edges:
        incoming[edge.target].append(edge)
    title = cell_title(kind)
    return [title, "-" * len(title)] + [line for target, group in incoming.items() for line in _node_row(target, group, inputs)]


def _node_row(target: int, edges: list[Edge], inputs: Sequence[str]) -> list[str]:
    present = [edge for edge in edges if edge.operation is not None]
    items = [f"{node_name(edge.source, inputs)}: {operation(edge.operation).label} ({edge.probability:.2f})" for edge in present]
    if zeros := len(edges) - len(items):
        items.append(f"{zeros} zero")
    lines = ["".join(item.ljust(COLUMN) for item in items[i : i + 2]).rstrip() for i in range(0, len(items), 2)]
    return [label.ljust(INDENT) + line for label, line in zip([node_name(target, inputs)] + [""] * len(lines), lines)]


def _share_block(genotype: Genotype) -> list[str]:
    groups = list(dict.fromkeys([*(operation(name).group for name in genotype.space.operations), ZERO_GROUP]))
    kinds = [cell.name for cell in genotype.space.cells]
    width = max(len(cell_title(kind)) for kind in kinds)
    lines = ["Share of operations", " " * width + "".join(group.rjust(10) for group in groups)]
    for kind in kinds:
        edges = genotype.cells[kind]
        count = collections.Counter(ZERO_GROUP if edge.operation is None else operation(edge.operation).group for edge in edges)
        lines.append(cell_title(kind).ljust(width) + "".join(f"{count[group] / len(edges):10.0%}" for group in groups))
    return lines
