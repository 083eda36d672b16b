"""What an interrupted run needs to go on as if nothing had happened: every variable and where the run stood."""

import dataclasses
import math
import os
import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypedDict, get_type_hints

import keras
import numpy as np
from absl import logging

from scnas_keras.documents import decode
from scnas_keras.documents.ranges import Counter, Reached
from scnas_keras.errors import DataError
from scnas_keras.machine.distribution import Cluster
from scnas_keras.runs.checkpoint_files import CHECKPOINT, LAST, VERSION, CheckpointFolder

_REMEDY = "Delete this file to go on from the checkpoint before it, or name another --workdir."


class Stateful(Protocol):
    """Something with a `state` that JSON can hold, and that takes up a state that is set.

    What the setter's annotation says is checked before it is called. It may raise ValueError for a state that can't be its own.
    """

    @property
    def state(self) -> Any: ...

    @state.setter
    def state(self, state: Any) -> None: ...


class PositionState(TypedDict):
    """See `Position`."""

    epoch: Counter
    step: Counter
    logs: dict[str, int | float] | None
    finished: bool
    best: Reached


@dataclasses.dataclass(frozen=True)
class _Saved:
    """What every checkpoint's state holds."""

    step: Counter
    at: str
    batch_size: Counter
    parts: dict[str, Any]
    version: int = 1
    digest: str = ""


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
    def state(self) -> PositionState:
        """All attributes; setting it puts them back."""
        return PositionState(**vars(self))

    @state.setter
    def state(self, state: PositionState) -> None:
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
            DataError: no file is whole, or they are of another network, other data or another batch, or hold what no run saves; or hosts
                don't see the same files.
        """
        found = self._folder.read()
        saved = None if found is None else _saved(*found[:2])
        step = -1 if saved is None else saved.step
        if step != int(self._cluster.from_chief([step])[0]):
            raise DataError(
                f"{self._folder.path}: this host doesn't see the checkpoint that the first host goes on from. All hosts need the same "
                "--workdir on storage that they share."
            )
        if found is None or saved is None:
            return False
        file, _, arrays = found
        self._check(file, saved)
        for group, variables in self._groups.items():
            _assign(file, variables, arrays, group)
        for name, part in self._parts.items():
            _take_up(file, name, part, saved.parts)
        logging.info("resuming after %s, saved in %s", saved.at, file.name)
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

    def _check(self, file: pathlib.Path, saved: _Saved) -> None:
        if saved.version < 3:
            logging.warning("%s: was saved by an older version: whether the files of its cases are still the same can't be told", file)
        elif saved.digest != self._digest:
            raise DataError(
                f"{file}: was begun with other scans, another split or preprocessing; a case that trained might now validate. Restore "
                "the data, or name another --workdir."
            )
        if saved.batch_size != self._batch_size:
            raise DataError(
                f"{file}: was begun with batches of {saved.batch_size}, and {self._cluster.replicas} devices now share batches of "
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
    _assign(file, model.variables, arrays, "model")
    return _saved(file, state).parts


def _saved(file: pathlib.Path, state: Any) -> _Saved:
    return decode(state, _Saved, file, _REMEDY, other_keys=True)


def _take_up(file: pathlib.Path, name: str, part: Stateful, parts: Mapping[str, Any]) -> None:
    if name not in parts:
        raise DataError(f"{file}: parts: found no state of {name}, expected one. {_REMEDY}")
    form = next(hint for argument, hint in get_type_hints(type(part).state.fset).items() if argument != "return")
    try:
        part.state = decode(parts[name], form, f"{file}: state of {name}", _REMEDY, other_keys=True)
    except ValueError as error:
        raise DataError(f"{file}: state of {name}: {error}. {_REMEDY}") from error


def _assign(file: pathlib.Path, variables: Sequence[keras.Variable], arrays: Mapping[str, np.ndarray], group: str) -> None:
    """Gives variables the arrays of a group, which are named by the group and a number."""
    found = {name: array.shape for name, array in arrays.items() if name.startswith(f"{group}_") and array.dtype.kind in "biuf"}
    if found != {f"{group}_{i}": tuple(variable.shape) for i, variable in enumerate(variables)}:
        raise DataError(
            f"{file}: belongs to another network. Was the program updated in between? Name another --workdir, or delete {file.parent} to "
            "run from the start."
        )
    for i, variable in enumerate(variables):
        variable.assign(arrays[f"{group}_{i}"])
