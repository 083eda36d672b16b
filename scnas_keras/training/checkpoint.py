"""What a killed run needs to go on: every variable and where the run stood, in one file that is whole or absent."""

import io
import json
import pathlib
import time
import zipfile
from collections.abc import Sequence

import keras
import numpy as np
from absl import logging

from scnas_keras.errors import DataError
from scnas_keras.files import write_bytes
from scnas_keras.training.callbacks import History, Plateau
from scnas_keras.training.horizon import Horizon, clock

CHECKPOINT = "checkpoint.npz"


class Checkpoint(keras.callbacks.Callback):
    """Saves the run after an epoch when the last saving is long enough ago, and at its end.

    Patches, draws and schedules are functions of counters that are saved with the variables: a resumed run goes on with
    the batches that the uninterrupted one would have seen. Must be the last of the callbacks.

    Args:
        path: the file.
        optimizers: all optimizers of the model, built.
        horizon, history, plateau: of the run; restored with it.
        digest: of the data; a run goes on only with those that it began with.
        minutes: least time between savings.
    """

    def __init__(
        self,
        path: pathlib.Path,
        model: keras.Model,
        optimizers: Sequence[keras.Optimizer],
        horizon: Horizon,
        history: History,
        plateau: Plateau,
        digest: str,
        minutes: float,
    ):
        super().__init__()
        self._path, self._horizon, self._history, self._plateau = path, horizon, history, plateau
        trained = [*model.trainable_variables, *model.non_trainable_variables]
        self._variables = [*trained, *(v for optimizer in optimizers for v in optimizer.variables)]
        self._digest = digest
        self._seconds, self._saved = 60 * minutes, time.monotonic()

    def restore(self) -> int:
        """Takes up a saved run if there is one; returns how many epochs are done.

        Raises:
            DataError: the file is damaged, or of another network or other data.
        """
        if not self._path.is_file():
            return 0
        try:
            with np.load(self._path) as file:
                state = json.loads(str(file["state"]))
                values = [file[f"variable_{i}"] for i in range(len(file.files) - 1)]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise DataError(f"{self._path}: damaged ({error}). Delete it to run from the start, or restore it.") from error
        if [value.shape for value in values] != [tuple(v.shape) for v in self._variables]:
            raise DataError(f"{self._path}: belongs to another network. Was the program updated in between? Delete it to run "
                            "from the start.")  # fmt: skip
        if state["digest"] != self._digest:
            raise DataError(f"{self._path}: was begun with other scans, another split or preprocessing; a case that trained might now "
                            "validate. Restore the data, or name another --workdir.")  # fmt: skip
        for variable, value in zip(self._variables, values):
            variable.assign(value)
        self._horizon.resume(state["epochs"], state["seconds_before"], state["seconds_since"])
        self._history.rows[:] = state["history"]
        self._plateau.state = state["plateau"]
        logging.info("resuming after %d epochs (%s of work)", state["epochs"], clock(state["seconds_since"]))
        return state["epochs"]

    def on_epoch_end(self, epoch, logs=None):
        if time.monotonic() - self._saved >= self._seconds:
            self._save()

    def on_train_end(self, logs=None):
        self._save()

    def _save(self) -> None:
        before, since = self._horizon.spent
        state = {
            "digest": self._digest,
            "epochs": self._horizon.done,
            "seconds_before": before,
            "seconds_since": since,
            "history": self._history.rows,
            "plateau": self._plateau.state,
        }
        arrays = {f"variable_{i}": keras.ops.convert_to_numpy(v) for i, v in enumerate(self._variables)}
        stream = io.BytesIO()
        np.savez(stream, state=np.array(json.dumps(state)), **arrays)
        write_bytes(self._path, stream.getbuffer())
        self._saved = time.monotonic()
