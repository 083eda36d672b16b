"""Keras callbacks that a search and a training share."""

import csv
import io
import math
import sys
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tqdm
from absl import logging

from scnas_keras.files import write_text
from scnas_keras.training.horizon import Horizon, clock

FOREVER = 10**6
"""More epochs or batches than any run has, for runs that end by time."""


class Pace(keras.callbacks.Callback):
    """Counts epochs, stops when the time is up, shows a bar over the steps and logs a line after each epoch.

    Args:
        horizon: of the run; this callback advances it.
        steps: steps an epoch, for the bar.
        describe: adds to an epoch's logs and returns the line's middle part. It runs before the callbacks behind this.
    """

    def __init__(self, horizon: Horizon, steps: int, describe: Callable[[dict[str, Any]], str]):
        super().__init__()
        self._horizon, self._steps, self._describe, self._bar = horizon, steps, describe, None

    def on_train_begin(self, logs=None):
        self._horizon.begin()

    def on_epoch_begin(self, epoch, logs=None):
        self._bar = tqdm.tqdm(total=self._steps, desc=f"epoch {epoch + 1}", leave=False, disable=None, file=sys.stderr)

    def on_train_batch_end(self, batch, logs=None):
        self._bar.update()
        if self._horizon.budget_seconds is not None and self._horizon.over:
            self.model.stop_training = True

    def on_epoch_end(self, epoch, logs=None):
        self._bar.close()
        self._horizon.done = epoch + 1
        line = self._describe(logs)
        total = f"/{self._horizon.planned_epochs:.0f}"
        logging.info("epoch %d%s  %s  left %s", epoch + 1, total, line, clock(self._horizon.seconds_left))
        if self._horizon.over:
            self.model.stop_training = True


class Plateau(keras.callbacks.ReduceLROnPlateau):
    """Lowers the rate when the training loss has not improved for a share of the run, in epochs of its present pace.

    Args:
        horizon: of the run.
        share: of the run; 0.1 of 200 epochs are SCNAS' 20.
        **kwargs: of `keras.callbacks.ReduceLROnPlateau`, without `patience`.
    """

    def __init__(self, horizon: Horizon, share: float, **kwargs):
        super().__init__(monitor="loss", patience=1, **kwargs)
        self._horizon, self._share, self._resumed = horizon, share, None

    @property
    def state(self) -> dict[str, float] | None:
        """Best loss so far and epochs waited since, None before any; setting it lasts through the start of a fit."""
        return None if self.best is None else {"best": float(self.best), "wait": self.wait}

    @state.setter
    def state(self, state: dict[str, float] | None) -> None:
        self._resumed = state

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        if self._resumed:
            self.best, self.wait = self._resumed["best"], self._resumed["wait"]

    def on_epoch_end(self, epoch, logs=None):
        self.patience = max(3, math.ceil(self._share * self._horizon.planned_epochs))
        super().on_epoch_end(epoch, logs)


class History(keras.callbacks.Callback):
    """Appends every epoch's logs to a CSV file, one column a quantity in a fixed order; the file is complete at any time.

    Args:
        path: of the file, written anew.
        columns: names after "epoch"; a value that an epoch lacks stays empty.
    """

    def __init__(self, path, columns: Sequence[str]):
        super().__init__()
        self.path, self.columns, self.rows = path, ["epoch", *columns], []

    def on_epoch_end(self, epoch, logs=None):
        self.rows.append({"epoch": epoch + 1, **{name: float(logs[name]) for name in self.columns[1:] if name in logs}})
        stream = io.StringIO()
        writer = csv.DictWriter(stream, self.columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        write_text(self.path, stream.getvalue())
