"""The loop that trains: epochs of steps, validation, callbacks, savings.

Keras' own `fit` can't go on inside an epoch, and doesn't run under MultiWorkerMirroredStrategy unless private methods are
overridden. This loop calls the same `train_step` and `test_step`; a model that it trains can be given to `fit` too.
"""

import dataclasses
import functools
import math
import signal
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from scnas_keras.errors import DataError
from scnas_keras.interruption import SIGNALS, Interruption, exit_code
from scnas_keras.machine.distribution import Cluster
from scnas_keras.runs.callbacks import FOREVER
from scnas_keras.runs.checkpoint import Checkpoint, Position
from scnas_keras.runs.checkpoint_files import BEST
from scnas_keras.runs.horizon import Horizon


@dataclasses.dataclass(frozen=True)
class Batches:
    """What a run learns and validates on.

    Attributes:
        training: first batch -> distributed dataset from there on, without end.
        validation: the same batches each time, as a distributed dataset.
        steps: batches an epoch.
    """

    training: Callable[[int], Any]
    validation: Any
    steps: int


class Loop:
    """Trains a model to its horizon, from where its position stands.

    Args:
        model: built, with `train_step`, `test_step` and its metrics. If it has an attribute `phase`, a step function is
            traced for each of its values.
        batches: of the run.
        horizon: of the run; a callback starts its clock and counts its epochs, this advances the clock and stops it while a step is traced.
        position: of the run.
        checkpoint: saves the run, after any step once it is due, at the end, and when a signal asks to stop.
        callbacks: as `fit` takes them; `model.stop_training` ends the run after the epoch.
        cluster: what computes.
    """

    def __init__(
        self,
        model: keras.Model,
        batches: Batches,
        horizon: Horizon,
        position: Position,
        checkpoint: Checkpoint,
        callbacks: Sequence[keras.callbacks.Callback],
        cluster: Cluster,
    ):
        self._model, self._batches, self._horizon, self._position = model, batches, horizon, position
        self._checkpoint, self._cluster, self._interruption = checkpoint, cluster, Interruption()
        self._train_functions: dict[str | None, Callable] = {}
        self._called: set[Callable] = set()
        self._callbacks = keras.callbacks.CallbackList(
            list(callbacks), add_history=False, add_progbar=False, model=model, epochs=FOREVER, steps=batches.steps, verbose=0
        )

    def run(self) -> None:
        """Runs what is left of the run; nothing if it had come to its end.

        Raises:
            SystemExit: a signal came and the run is saved; the code is 128 and the signal's number.
            Stopped: Ctrl-C came twice.
            WorkerLost: another host of the run is gone.
            DataError: an epoch's loss isn't finite.
        """
        if self._position.finished:
            return
        with self._cluster.watched(), self._interruption:
            self._model.stop_training = False
            self._callbacks.on_train_begin()
            first = self._position.epoch * self._batches.steps + self._position.step
            stream = iter(self._batches.training(first))
            while not self._position.finished:
                self._run_epoch(stream)
            self.save()
            self._callbacks.on_train_end()

    def _run_epoch(self, stream) -> None:
        position = self._position
        self._callbacks.on_epoch_begin(position.epoch)
        if position.step == 0:
            self._model.reset_metrics()
        while position.logs is None:
            self._run_step(next(stream))
        if not math.isfinite(position.logs["loss"]):
            raise DataError(
                f"epoch {position.epoch + 1}: the loss is {position.logs['loss']}, so the weights are lost. Lower the learning rate, or "
                "look for extreme intensities with scnas verify; then start anew in another --workdir."
            )
        logs = {**position.logs, **{f"val_{name}": value for name, value in self._validate().items()}}
        position.epoch, position.step, position.logs = position.epoch + 1, 0, None
        self._agree()
        self._callbacks.on_epoch_end(position.epoch - 1, logs)
        position.finished = bool(self._model.stop_training)  # in every saving from here on, or a resumed run adds an epoch
        if logs.get("val_dice", position.best) > position.best:
            position.best = logs["val_dice"]
            self.save(BEST)
        self._stop_or_save(*self._agree())

    def _run_step(self, batch) -> None:
        position, horizon = self._position, self._horizon
        self._callbacks.on_train_batch_begin(position.step)
        results = self._call(self._train_function(getattr(self._model, "phase", None)), batch)
        position.step += 1
        self._callbacks.on_train_batch_end(position.step - 1, self._cluster.local(results))
        asked, due = self._agree()
        if position.step == self._batches.steps or horizon.budget_seconds is not None and horizon.over:
            position.logs = self._measured(results)
        self._stop_or_save(asked, due)

    def _validate(self) -> dict[str, float]:
        """Loss and metrics on the validation batches. What they change is put back if the run is to stop meanwhile."""
        before = [(v, keras.ops.convert_to_numpy(v)) for v in (*self._model.non_trainable_variables, *self._model.metrics_variables)]
        self._model.reset_metrics()
        results = None
        for number, batch in enumerate(self._batches.validation):
            self._callbacks.on_test_batch_begin(number)
            results = self._call(self._test_function, batch)
            self._callbacks.on_test_batch_end(number, self._cluster.local(results))
            asked, _ = self._agree()
            if asked:
                for variable, value in before:
                    variable.assign(value)
                self._stop_or_save(asked, False)
        return self._measured(results)

    def _measured(self, results: dict[str, Any]) -> dict[str, float]:
        """The values of the metrics that a step returned, over all replicas and all of the epoch's steps."""
        metrics = {metric.name: metric for metric in self._model.metrics}
        measured = {name: metrics[name].result() if name in metrics else self._cluster.mean(value) for name, value in results.items()}
        return {name: float(np.asarray(value)) for name, value in measured.items()}

    def _agree(self) -> tuple[signal.Signals | None, bool]:
        """Marks the time, and says which signal asks to stop, if any, and whether to save: the same on all hosts."""
        own = [float(self._checkpoint.due), self._horizon.spent] if self._cluster.chief else [0.0, 0.0]
        due, spent, *asked = self._cluster.total([*own, *(float(self._interruption.asked == sent) for sent in SIGNALS)])
        self._horizon.mark(spent)
        return next((sent for sent, hosts in zip(SIGNALS, asked) if hosts), None), due > 0

    def _stop_or_save(self, asked: signal.Signals | None, due: bool) -> None:
        if asked or due:
            self.save()
        if asked:
            logging.warning("stopped by %s and saved after %s; the same command goes on from there", asked.name, self._position)
            raise SystemExit(exit_code(asked))

    def save(self, *kind: str) -> None:
        """Saves the run as it stands."""
        position = self._position
        self._checkpoint.save(position.epoch * self._batches.steps + position.step, str(position), *kind)

    def _call(self, function: Callable, batch: Any) -> dict[str, Any]:
        """What a step function returns. Its first call in a process, which traces it, is left out of the run's time."""
        if function in self._called:
            return function(batch)
        self._called.add(function)
        with self._horizon.paused():
            return function(batch)

    def _train_function(self, phase: str | None):
        if phase not in self._train_functions:  # train_step looks at the model's phase when it is traced
            self._train_functions[phase] = self._distributed(self._model.train_step)
        return self._train_functions[phase]

    @functools.cached_property
    def _test_function(self):
        return self._distributed(self._model.test_step)

    def _distributed(self, step):
        strategy = self._cluster.strategy
        return tf.function(lambda batch: strategy.run(step, args=(batch,)), autograph=False)
