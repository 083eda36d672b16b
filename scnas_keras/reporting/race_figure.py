"""Training runs of a race as a figure: scores against the time trained, and against the time of a step."""

import dataclasses
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from scnas_keras.reporting.figure_files import COLOURS, check_suffix, save_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FINAL = "final"


@dataclasses.dataclass(frozen=True)
class RacedTrial:
    """One training.

    Attributes:
        name: of the network.
        family: decides the colour.
        stage: "rung 1", ..., or "final", which is judged on other scans.
        minutes: trained.
        score: what is compared on the judged scans, 0 to 1.
        milliseconds: of a step.
        kept: whether its network is what the selection keeps.
    """

    name: str
    family: str
    stage: str
    minutes: float
    score: float
    milliseconds: float
    kept: bool = False


def draw_race(trials: Sequence[RacedTrial], path: str | os.PathLike, measure: str = "Dice") -> None:
    """Draws scores against minutes, a network's training runs joined by a line, and against the time of a step with the Pareto front.

    Args:
        trials: at least one.
        path: the .svg or .png file to write.
        measure: what the scores are.

    Raises:
        ConfigError: another suffix, or the folder doesn't exist.
    """
    check_suffix(path, (".svg", ".png"))
    save_figure(race_figure(trials, measure), path)


def race_figure(trials: Sequence[RacedTrial], measure: str = "Dice") -> "Figure":
    """The figure that `draw_race` writes."""
    from matplotlib.figure import Figure

    families = list(dict.fromkeys(trial.family for trial in trials))
    colours = {family: COLOURS[number % len(COLOURS)] for number, family in enumerate(families)}
    figure = Figure(figsize=(9.0, 3.8), facecolor="white", layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for name in dict.fromkeys(trial.name for trial in trials):
        own = sorted((trial for trial in trials if trial.name == name and trial.stage != _FINAL), key=lambda trial: trial.minutes)
        if own:
            left.plot(
                [trial.minutes for trial in own], [trial.score for trial in own], color=colours[own[0].family], linewidth=0.8, alpha=0.6
            )
            left.annotate(name, (own[-1].minutes, own[-1].score), xytext=(4, 2), textcoords="offset points", fontsize=6)
    for family in families:
        for final in (False, True):
            own = [trial for trial in trials if trial.family == family and (trial.stage == _FINAL) == final]
            if not own:
                continue
            style = {"color": colours[family], "marker": "*" if final else "o", "s": 80 if final else 22, "linewidths": 0}
            label = None if final and left.get_legend_handles_labels()[1].count(family) else family
            left.scatter([trial.minutes for trial in own], [trial.score for trial in own], label=label, **style)
            right.scatter([trial.milliseconds for trial in own], [trial.score for trial in own], **style)
    for trial in trials:
        if trial.kept:
            ring = {"facecolors": "none", "edgecolors": "black", "linewidths": 0.8, "s": 170}
            left.scatter([trial.minutes], [trial.score], **ring)
            right.scatter([trial.milliseconds], [trial.score], **ring)
            right.annotate("kept", (trial.milliseconds, trial.score), xytext=(8, -3), textcoords="offset points", fontsize=6)
    best = pareto([trial for trial in trials if trial.stage == _FINAL] or list(trials))
    right.plot([trial.milliseconds for trial in best], [trial.score for trial in best], color="black", linewidth=0.8, linestyle="--")
    minutes = sorted({float(f"{trial.minutes:.2g}") for trial in trials})
    left.set_xscale("log")
    left.set_xticks(minutes, [f"{value:g}" for value in minutes])
    left.minorticks_off()
    right.set_xlim(0, 1.15 * max(trial.milliseconds for trial in trials))
    for axes, title in ((left, "minutes trained"), (right, "milliseconds a step")):
        axes.set_xlabel(title, fontsize=8)
        axes.tick_params(labelsize=7)
        axes.grid(linewidth=0.4, alpha=0.4)
        axes.spines[["top", "right"]].set_visible(False)
    left.set_ylabel(measure, fontsize=8)
    left.legend(fontsize=7, frameon=False, loc="lower right")
    told = "points: race, on held-out scans; stars: finals, on validation scans; ring: what is kept"
    figure.suptitle(f"{told}; dashed: none is both faster and better" if len(best) > 1 else told, fontsize=8)
    return figure


def pareto(trials: Sequence[RacedTrial]) -> list[RacedTrial]:
    """Those than which none is both faster and better, the fastest first; of a network's training runs the best counts."""
    best = {trial.name: trial for trial in sorted(trials, key=lambda trial: trial.score)}
    front: list[RacedTrial] = []
    for trial in sorted(best.values(), key=lambda trial: (trial.milliseconds, -trial.score)):
        if not front or trial.score > front[-1].score:
            front.append(trial)
    return front
