"""Dice of every case, by network and class, as a figure."""

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from scnas_keras.errors import DataError
from scnas_keras.reporting.figure_files import COLOURS, check_suffix, save_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PANEL = 2.6  # inches
SPREAD = 0.18  # half the width over which points are spread

Cases = Mapping[str, Mapping[str, float]]


def draw_comparison(networks: Mapping[str, Cases], classes: Sequence[str], path: str | os.PathLike) -> None:
    """Draws a panel a class, in it a column a network: a point a case, their quartiles as a box, and the mean as a line.

    Args:
        networks: name -> case -> class -> Dice.
        classes: in order.
        path: the .svg or .png file to write.

    Raises:
        ConfigError: another suffix, or the folder doesn't exist.
        DataError: there is nothing to draw.
    """
    check_suffix(path, (".svg", ".png"))
    save_figure(comparison_figure(networks, classes), path)


def comparison_figure(networks: Mapping[str, Cases], classes: Sequence[str]) -> "Figure":
    """The figure that `draw_comparison` writes."""
    from matplotlib.figure import Figure

    if not networks or not classes:
        raise DataError("A comparison needs a network and a class.")
    width = max(PANEL, 0.7 * len(networks) + 0.8)
    figure = Figure(figsize=(width * len(classes), PANEL + 0.6), facecolor="white", layout="constrained")
    panels = figure.subplots(1, len(classes), sharey=True, squeeze=False)[0]
    lowest = 1.0
    for axes, name in zip(panels, classes):
        for column, cases in enumerate(networks.values()):
            values = np.array([dice[name] for dice in cases.values() if name in dice])
            if not len(values):
                continue
            lowest, colour = min(lowest, values.min()), COLOURS[column % len(COLOURS)]
            places = column + SPREAD * np.linspace(-1, 1, len(values))[np.argsort(np.random.default_rng(0).random(len(values)))]
            axes.scatter(places, values, s=7, color=colour, alpha=0.45, linewidths=0)
            axes.boxplot(
                values,
                positions=[column],
                widths=0.5,
                showfliers=False,
                medianprops={"color": "black", "linewidth": 0.8},
                boxprops={"linewidth": 0.8},
                whiskerprops={"linewidth": 0.8},
                capprops={"linewidth": 0.8},
            )
            axes.plot([column - 0.32, column + 0.32], [values.mean()] * 2, color=colour, linewidth=2.2)
            axes.annotate(f"{values.mean():.3f}", (column, 1.0), xytext=(0, 3), textcoords="offset points", ha="center", fontsize=7)
        axes.set_xticks(range(len(networks)), list(networks), rotation=25, ha="right", fontsize=8)
        axes.set_xlim(-0.6, len(networks) - 0.4)
        axes.set_title(name, fontsize=9, pad=14)
        axes.tick_params(axis="y", labelsize=7)
        axes.grid(axis="y", linewidth=0.4, alpha=0.4)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("Dice; line and number: mean", fontsize=8)
    panels[0].set_ylim(max(0.0, lowest - 0.03), 1.0)
    return figure
