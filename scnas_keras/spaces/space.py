"""A search space: candidate operations, the graph inside a cell, and how cells stack into a U."""

import dataclasses

from scnas_keras.errors import ConfigError
from scnas_keras.spaces.operations import OPERATIONS, ZERO

ENCODER, REDUCTION, DECODER, EXPANSION = "encoder_normal", "reduction", "decoder_normal", "expansion"
CELL_INPUTS = 2


@dataclasses.dataclass(frozen=True)
class CellPlan:
    """One cell's place in the network.

    Sources count 0 for the stem and i for the i-th cell. Level n has the resolution of the input divided by
    2^n on every axis and 2^n times the stem's channels.

    Attributes:
        name: unique name, for layers.
        kind: which of the space's cell kinds it is; cells of one kind share their architecture.
        level: level of its output.
        input_level: level to which both inputs are brought before its edges run.
        inputs: sources of node 0 (two cells back) and node 1 (the previous cell).
        input_levels: levels of these sources.
        skip: source that is added to the previous cell's output first, or None.
    """

    name: str
    kind: str
    level: int
    input_level: int
    inputs: tuple[int, int]
    input_levels: tuple[int, int]
    skip: int | None

    def stride(self, edge: tuple[int, int]) -> int:
        """Stride of the operation on an edge: 2 where a reduction cell reads one of its inputs, else 1."""
        return 2 if self.kind == REDUCTION and edge[0] < CELL_INPUTS else 1


@dataclasses.dataclass(frozen=True)
class SearchSpace:
    """Everything that defines which networks can be found.

    Attributes:
        name: the preset's name.
        rank: spatial axes of the images, 2 or 3.
        operations: candidate operations of every edge, names from `spaces.operations`.
        nodes: intermediate nodes a cell; a node is C / nodes wide and the cell's output is their concatenation.
        layout: cell kinds in order, a symmetric U.
    """

    name: str
    rank: int
    operations: tuple[str, ...]
    nodes: int
    layout: tuple[str, ...]

    def __post_init__(self):
        unknown = sorted(set(self.operations) - set(OPERATIONS))
        if unknown:
            raise ConfigError(f"Search space {self.name!r} names unknown operations {unknown}; known: {list(OPERATIONS)}.")
        if self.rank not in (2, 3) or self.nodes < 1 or not set(self.operations) - {ZERO}:
            raise ConfigError(f"Search space {self.name!r} needs rank 2 or 3, a node and a non-zero operation a cell.")
        half = len(self.layout) // 2
        mirrored = {REDUCTION: EXPANSION, ENCODER: DECODER}
        if not half or len(self.layout) % 2 or self.layout[half:] != tuple(mirrored.get(kind) for kind in self.layout[:half]):
            raise ConfigError(
                f"Search space {self.name!r}: the layout must be cells of the kinds {list(mirrored)}, then as many of the kinds "
                f"{list(mirrored.values())} in the same order; found {list(self.layout)}."
            )
        levels = [0, *(cell.level for cell in self.cells())]
        for cell in self.cells():
            steps = [abs(level - cell.input_level) for level in cell.input_levels]
            if max(steps) > 1 or (cell.skip is not None and levels[cell.skip] != cell.input_levels[1]):
                raise ConfigError(
                    f"Search space {self.name!r}: {cell.name} can't read its inputs, whose resolutions don't fit; let "
                    f"{REDUCTION} and {ENCODER} cells alternate, found {list(self.layout)}."
                )

    @property
    def kinds(self) -> tuple[str, ...]:
        """Cell kinds in the order of their first use."""
        return tuple(dict.fromkeys(self.layout))

    @property
    def edges(self) -> tuple[tuple[int, int], ...]:
        """Edges (from, to) of a cell: every node reads both inputs and all nodes before it."""
        return tuple((i, j) for j in range(CELL_INPUTS, CELL_INPUTS + self.nodes) for i in range(j))

    @property
    def depth(self) -> int:
        """How often the resolution is halved; patches must be divisible by 2 ** depth."""
        return self.layout.count(REDUCTION)

    def node_channels(self, stem_channels: int, level: int) -> int:
        """Channels of one node at a level.

        Raises:
            ConfigError: the stem's channels can't be divided among the nodes.
        """
        if stem_channels <= 0 or stem_channels % self.nodes:
            low = max(self.nodes, stem_channels // self.nodes * self.nodes)
            raise ConfigError(
                f"{stem_channels} stem channels can't be divided among {self.nodes} nodes a cell; use a multiple of "
                f"{self.nodes}, for example {low} or {low + self.nodes}."
            )
        return stem_channels * 2**level // self.nodes

    def cells(self) -> tuple[CellPlan, ...]:
        """The cells in order (SCNAS, Figure 1 and footnote 1).

        Each decoder cell's previous input is summed with the output that mirrors it in the encoder: with the layout
        R E R E R E X D X D X D the partners are R3 E2 R2 E1 R1 and the stem, so that every encoder output is used once.
        """
        half = len(self.layout) // 2
        levels, plans = [0], []
        for i, kind in enumerate(self.layout, start=1):
            input_level = levels[-1] - (kind == EXPANSION)
            level = levels[-1] + (kind == REDUCTION) - (kind == EXPANSION)
            inputs = (max(i - 2, 0), i - 1)
            plans.append(
                CellPlan(
                    name=f"cell_{i:02d}_{kind}",
                    kind=kind,
                    level=level,
                    input_level=input_level,
                    inputs=inputs,
                    input_levels=(levels[inputs[0]], levels[inputs[1]]),
                    skip=2 * half - i if i > half else None,
                )
            )
            levels.append(level)
        return tuple(plans)


SCNAS = SearchSpace(
    name="scnas",
    rank=3,
    operations=tuple(OPERATIONS),
    nodes=4,
    layout=(REDUCTION, ENCODER) * 3 + (EXPANSION, DECODER) * 3,
)
"""Kim et al. 2019: 12 cells with 4 intermediate nodes, eight operations; the sixth cell is the inter-cell."""
