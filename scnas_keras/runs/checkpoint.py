"""What an interrupted run needs to go on as if nothing had happened: every variable and where the run stood."""

import math
import os
import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import keras
import numpy as np
from absl import logging

from scnas_keras.errors import DataError
from scnas_keras.machine.distribution import Cluster
from scnas_keras.runs.checkpoint_files import LAST, VERSION, CheckpointFolder

CHECKPOINT = "checkpoint"


class Stateful(Protocol):
    """Something with a `state` that JSON can hold, and that takes up a state that is set."""

    state: Any


class Position:
    """Where a run stands.

    Attributes:
        epoch: epochs finished.
        step: steps done in the epoch since.
        logs: what the epoch's steps measured, once all of them are done; None before.
        finished: whether the run has come to its end.
        best: the best validation Dice so far.
    """

    def __init__(self):
        self.epoch, self.step, self.logs, self.finished, self.best = 0, 0, None, False, -math.inf

    @property
    def state(self) -> dict[str, Any]:
        """All attributes; setting it puts them back."""
        return dict(vars(self))

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        vars(self).update(state)

    def __str__(self) -> str:
        return f"{self.epoch} epochs" + (f" and {self.step} steps" if self.step else "")


class Checkpoint:
    """Saves a run and takes it up again.

    Patches, draws and schedules are functions of counters that are saved with the variables: a resumed run goes on with
    the batches that the uninterrupted one would have seen. Of several hosts the first one writes; all must call `save`
    together, since a metric is the sum of what each of them counted.

    Args:
        folder: of the checkpoints.
        model: with its variables and metrics built.
        optimizers: all optimizers of the model, built.
        parts: whatever else goes on, by name; the position is one of them.
        digest: of the data; a run goes on only with those that it began with.
        batch_size: of all devices together; steps are counted in it.
        minutes: time between savings.
        cluster: what computes the run.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        model: keras.Model,
        optimizers: Sequence[keras.Optimizer],
        parts: Mapping[str, Stateful],
        digest: str,
        batch_size: int,
        minutes: float,
        cluster: Cluster,
    ):
        self._folder, self._cluster = CheckpointFolder(folder), cluster
        self._groups = {
            "model": model.variables,
            "metric": model.metrics_variables,
            "optimizer": [variable for optimizer in optimizers for variable in optimizer.variables],
        }
        self._parts, self._digest, self._batch_size = dict(parts), digest, batch_size
        self._seconds, self._saved = 60 * minutes, time.monotonic()

    @property
    def due(self) -> bool:
        """Whether the last saving is long enough ago."""
        return time.monotonic() - self._saved >= self._seconds

    def restore(self) -> bool:
        """Takes up a saved run if there is one; returns whether there was.

        Raises:
            DataError: no file is whole, or they are of another network, other data or another batch; or hosts don't see
                the same files.
        """
        found = self._folder.read()
        step = -1 if found is None else found[1]["step"]
        if step != int(self._cluster.from_chief([step])[0]):
            raise DataError(
                f"{self._folder.path}: this host doesn't see the checkpoint that the first host goes on from. All hosts need the same "
                "--workdir on storage that they share."
            )
        if found is None:
            return False
        file, state, arrays = found
        self._check(file, state)
        for group, variables in self._groups.items():
            _assign(file, variables, _of_group(arrays, group))
        for name, part in self._parts.items():
            part.state = state["parts"][name]
        logging.info("resuming after %s, saved in %s", state["at"], file.name)
        return True

    def save(self, step: int, at: str, kind: str = LAST) -> None:
        """Writes a checkpoint.

        Args:
            step: of the whole run; it orders the files.
            at: the same for people.
            kind: LAST or BEST.
        """
        variables = {f"{group}_{i}": v for group, members in self._groups.items() for i, v in enumerate(members)}
        arrays = {name: keras.ops.convert_to_numpy(v) for name, v in variables.items()}
        parts = {name: part.state for name, part in self._parts.items()}
        state = {"version": VERSION, "step": step, "at": at, "digest": self._digest, "batch_size": self._batch_size, "parts": parts}
        if self._cluster.chief:
            self._folder.write(kind, step, state, arrays)
        if kind == LAST:
            self._saved = time.monotonic()

    def _check(self, file: pathlib.Path, state: Mapping[str, Any]) -> None:
        if state.get("version", 1) < 3:
            logging.warning("%s: was saved by an older version: whether the files of its cases are still the same can't be told", file)
        elif state["digest"] != self._digest:
            raise DataError(
                f"{file}: was begun with other scans, another split or preprocessing; a case that trained might now validate. Restore "
                "the data, or name another --workdir."
            )
        if state["batch_size"] != self._batch_size:
            raise DataError(
                f"{file}: was begun with batches of {state['batch_size']}, and {self._cluster.replicas} devices now share batches of "
                f"{self._batch_size}. Use as many devices as before, or name another --workdir."
            )


def restore_model(folder: str | os.PathLike, model: keras.Model, kind: str = LAST) -> dict[str, Any]:
    """Loads the variables of a run's checkpoint into a model of the same structure.

    Args:
        folder: the run's.
        model: built as the run built it; optimizers and metrics are left alone.
        kind: LAST for how the run ended (or stands), BEST for the epoch with the best validation Dice.

    Returns:
        The state of the run's parts by name, for example `["position"]`.

    Raises:
        DataError: there is no checkpoint, none is whole, or it is of another network.
    """
    files = CheckpointFolder(pathlib.Path(folder) / CHECKPOINT)
    found = files.read(kind)
    if found is None:
        raise DataError(f"{files.path}: holds no checkpoint of the kind {kind!r}. Name the folder of a run that has trained.")
    file, state, arrays = found
    _assign(file, model.variables, _of_group(arrays, "model"))
    return state["parts"]


def _of_group(arrays: Mapping[str, np.ndarray], group: str) -> list[np.ndarray]:
    count = sum(name.startswith(f"{group}_") for name in arrays)
    return [arrays[f"{group}_{i}"] for i in range(count)]


def _assign(file: pathlib.Path, variables: Sequence[keras.Variable], values: Sequence[np.ndarray]) -> None:
    if [value.shape for value in values] != [tuple(variable.shape) for variable in variables]:
        raise DataError(
            f"{file}: belongs to another network. Was the program updated in between? Name another --workdir, or delete {file.parent} to "
            "run from the start."
        )
    for variable, value in zip(variables, values):
        variable.assign(value)
