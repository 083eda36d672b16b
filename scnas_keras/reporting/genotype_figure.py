"""A genotype as a figure, one graph a cell kind (SCNAS, Figure 2)."""

import itertools
import os
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from scnas_keras.operations.registry import known_operations, operation
from scnas_keras.reporting.figure_files import COLOURS, check_suffix, save_figure
from scnas_keras.reporting.genotype_layout import Box, CellLayout, Route, lay_out
from scnas_keras.reporting.genotype_table import PREVIOUS, TWO_BACK, cell_title, input_names
from scnas_keras.spaces.description import Cell
from scnas_keras.spaces.genotype import Genotype
from scnas_keras.spaces.space import SearchSpace

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUFFIXES = (".svg", ".png")
FONT, SMALL, TITLE = 8, 7, 10
MARGIN, TITLE_HEIGHT, PANEL_GAP, LEGEND_SIZE = 0.15, 0.3, 0.2, (7.2, 0.35)
FIRST_GROUPS = ("conv", "dilated", "pool", "identity", "ghost", "group", "selective", "separable")
"""Keep their colours whatever operations are added."""
GREY, PALE, INK, WARNING = "#767676", "#EFEFEF", "#222222", "#B00020"
_LEGEND_HANDLE = 0.5
"""Inches of a legend's entry besides its text."""
LETTERS_AN_INCH, LINE = 15, 0.16
"""Of bold text at `FONT`, and the height of a line of it in inches."""


def draw_genotype(genotype: Genotype, path: str | os.PathLike) -> None:
    """Draws the cells of a genotype, one panel a cell kind, to an .svg or .png file.

    The inputs are at the left, the output is at the right. An edge carries its operation, is coloured by the operation's
    group and is the wider the more probable the operation was. Absent edges are left out. Above stands the note of a search that has not
    decided.

    Raises:
        ConfigError: another suffix, or the folder doesn't exist.
    """
    check_suffix(path, SUFFIXES)
    save_figure(genotype_figure(genotype), path)


def genotype_figure(genotype: Genotype) -> "Figure":
    """The figure that `draw_genotype` writes, one axes a cell kind; the text of an edge has the gid `kind-source-target`."""
    from matplotlib.figure import Figure

    cells = genotype.space.cells
    label_width = max(_text_width(operation(name).label) for name in genotype.space.operations) + 0.06
    layouts = {cell.name: lay_out(genotype.cells[cell.name], label_width, cell.inputs) for cell in cells}
    width = max(LEGEND_SIZE[0], *(layout.width for layout in layouts.values())) + 2 * MARGIN
    remark = textwrap.wrap(genotype.undecided or "", int(LETTERS_AN_INCH * (width - 2 * MARGIN)))
    top = MARGIN + len(remark) * LINE
    height = top + sum(TITLE_HEIGHT + layout.height + PANEL_GAP for layout in layouts.values())
    height += LEGEND_SIZE[1] + (_legend_rows(genotype.space, width) - 1) * LINE
    figure = Figure(figsize=(width, height), facecolor="white")
    figure.text(MARGIN / width, 1 - MARGIN / height / 2, "\n".join(remark), fontsize=FONT, fontweight="bold", va="top", color=WARNING)
    for cell in cells:
        layout = layouts[cell.name]
        axes = _inch_axes(figure, MARGIN, top, layout.width, TITLE_HEIGHT + layout.height)
        _draw_cell(axes, cell, layout, input_names(genotype.space, cell.name))
        top += TITLE_HEIGHT + layout.height + PANEL_GAP
    _draw_legend(figure, genotype.space)
    return figure


def edge_width(probability: float) -> float:
    """Line width of an edge in points."""
    return 0.5 + 2.5 * probability


def group_colours() -> dict[str, str]:
    """Colour of every group of operations but zero, the same in every space."""
    known = sorted({facts.group for facts in known_operations().values() if not facts.is_zero})
    groups = [*FIRST_GROUPS, *(group for group in known if group not in FIRST_GROUPS)]
    return dict(zip(groups, itertools.cycle(COLOURS)))


def _text_width(text: str) -> float:
    from matplotlib.textpath import TextPath

    return TextPath((0, 0), text, size=FONT).get_extents().width / 72


def _inch_axes(figure: "Figure", left: float, top: float, width: float, height: float) -> "Axes":
    """Axes without a frame whose data coordinates are inches; y points down and is 0 below the title."""
    total_width, total_height = figure.get_size_inches()
    axes = figure.add_axes((left / total_width, 1 - (top + height) / total_height, width / total_width, height / total_height))
    axes.set(xlim=(0, width), ylim=(height - TITLE_HEIGHT, -TITLE_HEIGHT))
    axes.set_axis_off()
    return axes


def _draw_cell(axes: "Axes", cell: Cell, layout: CellLayout, inputs: Sequence[str]) -> None:
    axes.text(0, -TITLE_HEIGHT / 2 - 0.02, cell_title(cell.name), fontsize=TITLE, fontweight="bold", va="center", color=INK)
    absent = len(cell.edges) - len(layout.routes)
    if absent:
        remark = f"{absent} of {len(cell.edges)} edges absent"
        axes.text(layout.width, -TITLE_HEIGHT / 2 - 0.02, remark, fontsize=SMALL, ha="right", va="center", color=GREY)
    for route in layout.routes:
        _draw_edge(axes, cell.name, route)
    for index, box in enumerate(layout.nodes):
        number = index - cell.inputs
        if number < 0:
            name = inputs[index]
            back = {TWO_BACK: 2, PREVIOUS: 1}.get(name)
            _draw_box(axes, box, name + (f"\nc(k\N{MINUS SIGN}{back})" if back else ""), "white")
        else:
            _draw_box(axes, box, str(number + 1), PALE)
            if index in cell.output:
                _draw_arrow(axes, [(box.right, layout.exits[number]), (layout.output.x, layout.exits[number])], GREY, 0.8)
    _draw_box(axes, layout.output, "concatenation\nc(k)", "white", rotation=90)


def _draw_edge(axes: "Axes", kind: str, route: Route) -> None:
    info = operation(route.edge.operation)
    colour = group_colours()[info.group]
    _draw_arrow(axes, [route.start, route.bend, route.end], colour, edge_width(route.edge.probability))
    axes.text(
        *route.label,
        info.label,
        fontsize=FONT,
        ha="center",
        va="center_baseline",
        color=INK,
        zorder=4,
        gid=f"{kind}-{route.edge.source}-{route.edge.target}",
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
    )


def _draw_arrow(axes: "Axes", points: Sequence[tuple[float, float]], colour: str, width: float) -> None:
    """A straight arrow through two points, or one that curves from the first to the second of three."""
    from matplotlib.patches import FancyArrowPatch, PathPatch
    from matplotlib.path import Path

    codes = [Path.MOVETO, Path.LINETO]
    if len(points) == 3:
        (x0, y0), (x1, y1), end = points
        reach = 0.6 * (x1 - x0)
        points = [(x0, y0), (x0 + reach, y0), (x1 - reach, y1), (x1, y1), end]
        codes = [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4, Path.LINETO]
    path = Path(points, codes)
    # The white line below tells which of two crossing edges is which.
    axes.add_patch(PathPatch(path, facecolor="none", edgecolor="white", linewidth=width + 2, capstyle="butt", clip_on=False))
    style = {"arrowstyle": "-|>,head_length=4,head_width=2", "mutation_scale": 1, "capstyle": "butt", "joinstyle": "miter"}
    axes.add_patch(FancyArrowPatch(path=path, color=colour, linewidth=width, clip_on=False, **style))


def _draw_box(axes: "Axes", box: Box, text: str, face: str, rotation: int = 0) -> None:
    from matplotlib.patches import FancyBboxPatch

    style = "round,pad=0,rounding_size=0.05"
    axes.add_patch(
        FancyBboxPatch((box.x, box.y), box.width, box.height, style, facecolor=face, edgecolor=INK, linewidth=0.8, zorder=3, clip_on=False)
    )
    centre = {"ha": "center", "va": "center", "rotation": rotation, "linespacing": 1.3}
    axes.text(box.x + box.width / 2, box.middle, text, fontsize=FONT, color=INK, zorder=4, **centre)


def _draw_legend(figure: "Figure", space: SearchSpace) -> None:
    from matplotlib.lines import Line2D

    present = {operation(name).group for name in space.operations}
    lines = [(group, colour, 2) for group, colour in group_colours().items() if group in present]
    lines += [(f"probability {value}", GREY, edge_width(value)) for value in (0.2, 0.5, 1.0)]
    handles = [Line2D([], [], color=colour, linewidth=width, label=label) for label, colour, width in lines]
    columns = len(handles) if _legend_rows(space, figure.get_figwidth()) == 1 else -(-len(handles) // 2)
    figure.legend(handles=handles, loc="lower center", ncols=columns, frameon=False, fontsize=FONT, handlelength=2, columnspacing=1.6)


def _legend_rows(space: SearchSpace, width: float) -> int:
    """1, or 2 where its entries don't fit into a width in inches."""
    groups = {operation(name).group for name in space.operations if not operation(name).is_zero}
    labels = [*groups, *["probability 0.2"] * 3]
    return 1 if sum(_LEGEND_HANDLE + _text_width(label) for label in labels) <= width - 2 * MARGIN else 2
