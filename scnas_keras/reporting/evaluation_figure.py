"""Dice, normalised surface Dice and HD95 of every case by structure, as a figure."""

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from scnas_keras.metrics.structure import StructureMetrics
from scnas_keras.reporting.figure_files import COLOURS, check_suffix, save_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PANELS = {"dice": "Dice", "nsd": "NSD", "hd95": "HD95, {unit}"}
_SPREAD = 0.18  # half the width over which points are spread


def draw_evaluation(
    results: Mapping[str, Mapping[str, StructureMetrics]], structures: Sequence[str], path: str | os.PathLike, unit: str
) -> None:
    """Draws a panel a measure, in it a column a structure: a point a case, quartiles as a box.

    Args:
        results: case -> structure -> how well it was segmented.
        structures: in order.
        path: the .svg or .png file to write.
        unit: of distances.

    Raises:
        ConfigError: another suffix, or the folder doesn't exist.
    """
    check_suffix(path, (".svg", ".png"))
    save_figure(evaluation_figure(results, structures, unit), path)


def evaluation_figure(results: Mapping[str, Mapping[str, StructureMetrics]], structures: Sequence[str], unit: str) -> "Figure":
    """The figure that `draw_evaluation` writes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(len(_PANELS) * max(2.6, 0.5 * len(structures) + 0.8), 3.2), facecolor="white", layout="constrained")
    random = np.random.default_rng(0)
    for axes, (measure, title) in zip(figure.subplots(1, len(_PANELS)), _PANELS.items()):
        for column, name in enumerate(structures):
            found = [getattr(own[name], measure) for own in results.values()]
            values = np.array([value for value in found if value is not None])
            if not len(values):
                continue
            places = column + _SPREAD * random.uniform(-1, 1, len(values))
            axes.scatter(places, values, s=9, color=COLOURS[column % len(COLOURS)], alpha=0.6, linewidths=0)
            parts = ("medianprops", "boxprops", "whiskerprops", "capprops")
            style = {part: {"color": "black", "linewidth": 0.8} for part in parts}
            axes.boxplot(values, positions=[column], widths=0.5, showfliers=False, **style)
        axes.set_xticks(range(len(structures)), list(structures), rotation=25, ha="right", fontsize=8)
        axes.set_xlim(-0.6, len(structures) - 0.4)
        axes.set_title(title.format(unit=unit), fontsize=9)
        axes.set_ylim(0, None if measure == "hd95" else 1.02)
        axes.tick_params(axis="y", labelsize=7)
        axes.grid(axis="y", linewidth=0.4, alpha=0.4)
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle("a point a case; line: median; box: quartiles", fontsize=8)
    return figure
