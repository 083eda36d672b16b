"""The course of a search or a training run as a figure."""

import itertools
import math
import os
import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from scnas_keras.errors import DataError
from scnas_keras.reporting.figure_files import COLOURS, check_suffix, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANEL_SIZE = (3.0, 2.4)
EDGES, ANNEALED = ("entropy", "margin"), "temperature"
SHARE = "share_"
FEW = 12
"""Epochs up to which each is shown as a point."""

Row = Mapping[str, Any]
Points = list[tuple[float, float]]


def draw_history(rows: Sequence[Row], path: str | os.PathLike) -> None:
    """Draws a history over its epochs to an .svg or .png file: losses, Dice, and how the search settles.

    Every column whose name ends in `loss` or `dice` is a curve of the first or second panel. The third says how decided the
    edges are: mean `entropy` and `margin`, and `temperature` with an axis of its own. The fourth says of what the network
    would be made: shares of the operations' groups, means of `share_KIND_GROUP` over the kinds of cells. Panels without
    data are left out.

    Args:
        rows: rows of history.csv, numbers or their text; all need `epoch`, any other key may be missing or empty.
        path: the file to write.

    Raises:
        ConfigError: another suffix, or the folder doesn't exist.
        DataError: a row without an epoch, text that is no number, or nothing to draw.
    """
    check_suffix(path, (".svg", ".png"))
    save_figure(history_figure(rows), path)


def history_figure(rows: Sequence[Row]) -> "Figure":
    """The figure that `draw_history` writes."""
    from matplotlib.figure import Figure

    columns = {name: _points(rows, name) for row in rows for name in row if isinstance(name, str)}
    panels = {
        "Loss": {name: points for name, points in columns.items() if name.endswith("loss") and points},
        "Dice": {name: points for name, points in columns.items() if name.endswith("dice") and points},
        "Edges": {name: columns[name] for name in (*EDGES, ANNEALED) if columns.get(name)},
        "Operations": _group_shares({name: points for name, points in columns.items() if name.startswith(SHARE) and points}),
    }
    panels = {title: curves for title, curves in panels.items() if curves}
    if not panels:
        raise DataError(f"The history has nothing to draw: {len(rows)} rows with the columns {sorted(columns)}.")
    figure = Figure(figsize=(PANEL_SIZE[0] * len(panels), PANEL_SIZE[1]), facecolor="white", layout="constrained")
    for axes, (title, curves) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items()):
        _draw_panel(axes, title, curves)
    return figure


def _points(rows: Sequence[Row], name: str) -> Points:
    """(epoch, value) of the rows that hold a finite value."""
    values = [(_number(row, "epoch"), _number(row, name)) for row in rows if row.get(name) not in (None, "")]
    return [(epoch, value) for epoch, value in values if math.isfinite(value)]


def _group_shares(columns: Mapping[str, Points]) -> dict[str, Points]:
    """Group of operations -> its mean share over the kinds of cells, from columns `share_KIND_GROUP`."""
    groups: dict[str, dict[float, list[float]]] = {}
    for name, points in columns.items():
        for epoch, share in points:
            groups.setdefault(name.rpartition("_")[2], {}).setdefault(epoch, []).append(share)
    return {group: [(epoch, statistics.fmean(shares)) for epoch, shares in sorted(epochs.items())] for group, epochs in groups.items()}


def _number(row: Row, name: str) -> float:
    try:
        return float(row[name])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"History: {name!r} must be a number wherever it is given, found {row.get(name)!r} in {dict(row)}.") from error


def _draw_panel(axes: "Axes", title: str, curves: Mapping[str, Points]) -> None:
    """Curves with a legend; the temperature has the axis on the right to itself."""
    right = axes.twinx() if ANNEALED in curves else None
    for (name, points), colour in zip(curves.items(), itertools.cycle(COLOURS)):
        _draw_curve(right if name == ANNEALED else axes, name, points, colour)
    if title == "Dice":
        axes.set_ylim(0, min(1, 1.15 * max(value for points in curves.values() for _, value in points) or 1))
    elif title != "Loss":
        axes.set_ylim(0, 1)
    axes.spines[["top", "right"]].set_visible(False)
    if right:
        right.set_ylim(bottom=0)
        right.set_ylabel(ANNEALED, fontsize=8)
        right.tick_params(labelsize=7)
        right.spines["top"].set_visible(False)
    axes.legend(handles=[line for own in (axes, right) if own for line in own.lines], fontsize=7, frameon=False)
    _finish(axes, title)


def _draw_curve(axes: "Axes", name: str, points: Points, colour: str) -> None:
    marker = "o" if len(points) <= FEW else ""
    axes.plot(*zip(*points), color=colour, linewidth=1.4, marker=marker, markersize=3, label=name.replace("_", " "))


def _finish(axes: "Axes", title: str) -> None:
    axes.set_title(title, fontsize=9)
    axes.set_xlabel("epoch", fontsize=8)
    axes.xaxis.get_major_locator().set_params(integer=True)
    if len({epoch for line in axes.lines for epoch in line.get_xdata()}) == 1:
        axes.set_xlim(0, 2)
    axes.tick_params(labelsize=7)
    axes.grid(linewidth=0.4, alpha=0.4)
