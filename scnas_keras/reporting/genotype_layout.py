"""Where the parts of a drawn cell lie, so that no label can meet another label, a node or another edge.

Every edge ends in a row of its own and the rows of a node lie below those of the node before it, a staircase:

    inputs --- label -> node 1 ----------------------> output
        |---------------- | --- label -> node 2 -----> output
                          |---- label -> node 2

An edge leaves its source in a curve, reaches its row before the labels of the next node begin and runs along it. The
triangle below the staircase holds the rows, the one above it the ways to the output. Lengths are inches, y points down.
"""

import dataclasses
import itertools
from collections.abc import Sequence

from scnas_keras.spaces.genotype import Edge

ROW, STEP = 0.175, 0.1
INPUT_CURVE, CURVE, HEAD = 0.75, 0.45, 0.18
NODE_WIDTH, INPUT_SIZE, OUTPUT_SIZE = 0.22, (0.66, 0.4), (0.38, 1.05)
PORT = 0.04


@dataclasses.dataclass(frozen=True)
class Box:
    """A rectangle by its left edge, its upper edge, width and height."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        return self.x + self.width

    @property
    def middle(self) -> float:
        return self.y + self.height / 2


@dataclasses.dataclass(frozen=True)
class Route:
    """An edge's way: a curve from `start` to `bend`, then straight to `end`; its label is centred at `label`."""

    edge: Edge
    start: tuple[float, float]
    bend: tuple[float, float]
    end: tuple[float, float]
    label: tuple[float, float]


@dataclasses.dataclass(frozen=True)
class CellLayout:
    """A drawn cell.

    Attributes:
        nodes: the boxes of inputs and intermediate nodes by their number.
        output: the box of the concatenation.
        routes: of the edges that are there.
        exits: heights of the straight ways from the intermediate nodes to the output.
        width, height: of the whole.
    """

    nodes: tuple[Box, ...]
    output: Box
    routes: tuple[Route, ...]
    exits: tuple[float, ...]
    width: float
    height: float


def lay_out(edges: Sequence[Edge], label_width: float, inputs: int = 2) -> CellLayout:
    """The layout of a cell.

    Args:
        edges: all edges of a cell, grouped by their target; absent ones get no row.
        label_width: of the widest label.
        inputs: how many nodes are inputs.
    """
    present = [edge for edge in edges if edge.operation is not None]
    rows = [
        sorted(group, key=lambda edge: _row_order(edge, inputs)) for _, group in itertools.groupby(present, key=lambda edge: edge.target)
    ]
    stairs = ROW * len(present) + STEP * (len(rows) - 1)
    height = max(stairs, OUTPUT_SIZE[1])
    room = label_width + HEAD
    lefts = [INPUT_SIZE[0] + INPUT_CURVE + room + i * (NODE_WIDTH + CURVE + room) for i in range(len(rows))]
    inner = _staircase(lefts, [len(group) for group in rows], (height - stairs) / 2)
    nodes = (*_input_boxes(height, inputs), *inner)
    routes = tuple(_route(edge, nodes, row, label_width, inputs) for group in rows for row, edge in enumerate(group))
    output = Box(nodes[-1].right + CURVE, 0, OUTPUT_SIZE[0], height)
    exits = tuple(box.middle - PORT for box in inner)
    return CellLayout(nodes, output, routes, exits, output.right, height)


def _row_order(edge: Edge, inputs: int) -> tuple[bool, int]:
    """Inputs last, as they come from afar; the nearest node first, so that the edges into a node never cross."""
    is_input = edge.source < inputs
    return is_input, edge.source if is_input else -edge.source


def _input_boxes(height: float, inputs: int) -> list[Box]:
    apart = max(0.4 * height, 1.2 * INPUT_SIZE[1])
    middle = (inputs - 1) / 2
    return [Box(0, (height - INPUT_SIZE[1]) / 2 + (i - middle) * apart, *INPUT_SIZE) for i in range(inputs)]


def _staircase(lefts: Sequence[float], counts: Sequence[int], top: float) -> list[Box]:
    before = [0, *itertools.accumulate(counts)]
    return [Box(left, top + ROW * before[i] + STEP * i, NODE_WIDTH, ROW * count) for i, (left, count) in enumerate(zip(lefts, counts))]


def _route(edge: Edge, nodes: Sequence[Box], row: int, label_width: float, inputs: int) -> Route:
    source, target = nodes[edge.source], nodes[edge.target]
    y = target.y + ROW * (row + 0.5)
    curve = INPUT_CURVE if edge.source < inputs else CURVE
    # Edges leave an input over its whole side and a node below its way to the output, the farthest one lowest.
    late = edge.target / (len(nodes) - 1)
    port = (late - 0.65) * 0.8 * source.height if edge.source < inputs else late * (source.height / 2 - PORT)
    label = (target.x - HEAD - label_width / 2, y)
    return Route(edge, (source.right, source.middle + port), (source.right + curve, y), (target.x, y), label)
