"""How fast a run was, from its timings.csv."""

import csv
import statistics

from scnas_keras.runs.assembly import TIMINGS
from scnas_keras.runs.run_folder import RunFolder


def measured(run: RunFolder) -> dict[str, float | None]:
    """Median seconds of an epoch, without the first, which was traced, and of a step; peak memory while training.

    Epochs of which only the validation was left after an interruption don't count; None where no step was timed.
    """
    with open(run[TIMINGS], newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    peak, timed = max(int(row["peak_bytes"]) for row in rows), [row for row in rows if float(row["seconds_per_step"] or 0) > 0]
    epochs = [float(row["seconds"]) for row in timed[1:] or timed or rows]
    steps = [float(row["seconds_per_step"]) for row in timed]
    return {
        "seconds_per_epoch": statistics.median(epochs),
        "seconds_per_step": statistics.median(steps) if steps else None,
        "training_peak_bytes": peak,
    }
