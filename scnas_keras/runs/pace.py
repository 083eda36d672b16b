"""How fast a run was, from its timings.csv."""

import csv
import statistics

from scnas_keras.runs.assembly import TIMINGS
from scnas_keras.runs.run_folder import RunFolder


def measured(run: RunFolder) -> dict[str, float]:
    """Median seconds of an epoch and of a step, without the first epoch, which was traced; peak memory while training."""
    with open(run[TIMINGS], newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    peak, rows = max(int(row["peak_bytes"]) for row in rows), rows[1:] or rows
    median = {name: statistics.median(float(row[name]) for row in rows) for name in ("seconds", "seconds_per_step")}
    return {"seconds_per_epoch": median["seconds"], "seconds_per_step": median["seconds_per_step"], "training_peak_bytes": peak}
