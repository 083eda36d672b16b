"""Keras callbacks of a search or a training run that count, show and record; `training.schedules` has those that change the run."""

import csv
import io
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf
from absl import logging

from scnas_keras.files import write_text, writing
from scnas_keras.machine.peak_memory import peak_bytes
from scnas_keras.progress import SILENT, bar, clock
from scnas_keras.runs.horizon import Horizon

FOREVER = 10**6
"""More epochs or batches than any run has, for runs that end by time."""


class Pace(keras.callbacks.Callback):
    """Counts epochs, ends the run at its horizon, shows a bar over the steps, or lines without a terminal, and a line after each epoch.

    Args:
        horizon: of the run; this callback starts its clock and counts its epochs.
        steps: steps an epoch, for the bar.
        describe: adds to an epoch's logs and returns the line's middle part, by default all numbers. It runs before the callbacks
            behind this.
        shown: whether there is a bar.
    """

    def __init__(self, horizon: Horizon, steps: int, describe: Callable[[dict[str, Any]], str] | None = None, shown: bool = True):
        super().__init__()
        self._horizon, self._steps, self._describe = horizon, steps, describe or _numbers
        self._bar, self._shown, self._begun, self._told = None, shown, 0.0, None

    def on_train_begin(self, logs=None):
        self._horizon.begin()
        self._begun, self._told = time.monotonic(), None

    def on_epoch_begin(self, epoch, logs=None):
        self._bar = bar(f"epoch {epoch + 1}", self._steps, self._shown, unit="step")

    def on_train_batch_end(self, batch, logs=None):
        self._bar.update(batch + 1 - self._bar.n)
        now = time.monotonic()
        if not self._shown:
            return
        if self._told is None:
            logging.info("the first step is done, after %s with tracing", clock(now - self._begun))
        elif not self._bar.disable or now - self._told < SILENT:
            return
        else:
            logging.info("epoch %d  step %d/%d  left %s", self._horizon.done + 1, batch + 1, self._steps, clock(self._horizon.seconds_left))
        self._told = now

    def on_epoch_end(self, epoch, logs=None):
        self._bar.close()
        self._horizon.done = epoch + 1
        line = self._describe(logs)
        total = f"/{self._horizon.planned_epochs:.0f}"
        logging.info("epoch %d%s  %s  left %s", epoch + 1, total, line, clock(self._horizon.seconds_left))
        if self._horizon.over:
            self.model.stop_training = True


class History(keras.callbacks.Callback):
    """Writes every epoch's logs to a CSV file, one column a quantity in a fixed order; the file is complete at any time.

    It holds nothing that depends on the clock, so that equal runs leave equal files.

    Args:
        path: of the file, written anew; None to keep the rows only.
        columns: names after "epoch"; a value that an epoch lacks stays empty.
    """

    def __init__(self, path: pathlib.Path | None, columns: Sequence[str]):
        super().__init__()
        self.path, self.columns, self.rows = path, ["epoch", *columns], []

    @property
    def state(self) -> list[dict[str, int | float]]:
        """The rows."""
        return self.rows

    @state.setter
    def state(self, rows: list[dict[str, int | float]]) -> None:
        if unknown := {name for row in rows for name in row} - {*self.columns}:
            raise ValueError(f"found the quantity {min(unknown)}, expected some of {', '.join(self.columns)}")
        self.rows[:] = rows

    def on_epoch_end(self, epoch, logs=None):
        self.rows.append({"epoch": epoch + 1, **{name: float(logs[name]) for name in self.columns[1:] if name in logs}})
        if self.path is not None:
            write_text(self.path, _table(self.columns, self.rows, header=True))


class Scalars(keras.callbacks.Callback):
    """The columns of a history for TensorBoard, as Keras names them: `epoch_loss` of train and of validation.

    `keras.callbacks.TensorBoard` would replace the learning rate of the logs by the next epoch's.

    Args:
        folder: of TensorBoard's files.
        columns: names; those that begin with val_ are validation's.
    """

    def __init__(self, folder: pathlib.Path, columns: Sequence[str]):
        super().__init__()
        self._folder, self._columns, self._writers = folder, columns, {}

    def on_epoch_end(self, epoch, logs=None):
        for name in self._columns:
            if name in logs:
                part = "validation" if name.startswith("val_") else "train"
                with self._writer(part).as_default():
                    tf.summary.scalar(f"epoch_{name.removeprefix('val_')}", logs[name], epoch)
        for writer in self._writers.values():
            writer.flush()

    def on_train_end(self, logs=None):
        for writer in self._writers.values():
            writer.close()

    def _writer(self, part: str):
        if part not in self._writers:
            self._writers[part] = tf.summary.create_file_writer(str(self._folder / part))
        return self._writers[part]


class Timings(keras.callbacks.Callback):
    """Appends what epochs cost to a CSV file. An epoch that was finished but not saved before an interruption has two rows.

    Args:
        path: of the file.
        horizon: of the run.
    """

    columns = ("epoch", "steps", "seconds", "seconds_per_step", "peak_bytes", "seconds_left")
    """Epoch; steps of it that this process ran without tracing; seconds of the epoch, and of such a step, empty without any; peak resident
    memory."""

    def __init__(self, path: pathlib.Path, horizon: Horizon):
        super().__init__()
        self._path, self._horizon = path, horizon
        self._begun, self._before, self._trained, self._steps, self._pauses = 0.0, 0.0, 0.0, 0, 0

    def on_epoch_begin(self, epoch, logs=None):
        self._begun = self._before = time.monotonic()
        self._trained, self._steps, self._pauses = 0.0, 0, self._horizon.pauses

    def on_train_batch_end(self, batch, logs=None):
        now = time.monotonic()
        if self._horizon.pauses == self._pauses:
            self._trained, self._steps = self._trained + now - self._before, self._steps + 1
        self._before, self._pauses = now, self._horizon.pauses

    def on_epoch_end(self, epoch, logs=None):
        peak = peak_bytes()
        seconds, step = time.monotonic() - self._begun, round(self._trained / self._steps, 4) if self._steps else ""
        values = (epoch + 1, self._steps, round(seconds, 3), step, peak, round(self._horizon.seconds_left, 1))
        new = not self._path.is_file() or not self._path.stat().st_size
        with writing(self._path), open(self._path, "a", encoding="utf-8") as stream:
            stream.write(_table(self.columns, [dict(zip(self.columns, values))], header=new))


def _numbers(logs: Mapping[str, Any]) -> str:
    return "  ".join(f"{name} {float(value):.4g}" for name, value in logs.items())


def _table(columns: Sequence[str], rows: Sequence[Mapping[str, Any]], header: bool) -> str:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, lineterminator="\n")
    if header:
        writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()
