"""What every run that trains is made of, put together in one place: position, checkpoint, batches, callbacks, loop."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from scnas_keras.machine.distribution import Cluster
from scnas_keras.machine.memory import available_memory
from scnas_keras.patches.sampler import PatchSampler
from scnas_keras.patches.stream import patch_dataset
from scnas_keras.runs.callbacks import FOREVER, History, Pace, Scalars, Timings
from scnas_keras.runs.checkpoint import Checkpoint, Position, Stateful
from scnas_keras.runs.checkpoint_files import CHECKPOINT
from scnas_keras.runs.horizon import Horizon
from scnas_keras.runs.loop import Batches, Loop
from scnas_keras.runs.run_folder import EXTENDING, RunFolder

_CACHED, _NUMBER = 0.1, 4
"""The part of the free memory that patches of the validation may stay in from epoch to epoch, and bytes of a voxel's number."""
HISTORY, TIMINGS, TENSORBOARD = "history.csv", "timings.csv", "tensorboard"


@dataclasses.dataclass(frozen=True)
class Run:
    """What one run has that another doesn't.

    Attributes:
        model: compiled, on the cluster's devices.
        optimizers: all of the model's.
        batches: what it learns and validates on.
        batch_size: of all devices together.
        horizon: its end.
        columns: of history.csv, after the epoch.
        describe: adds to an epoch's logs and returns the line that is shown; it runs before `callbacks`.
        callbacks: of its own, which may change the logs and stop the run; history.csv is written after them.
        parts: what else goes on after an interruption, by its name in the checkpoint.
        digest: of the data.
        checkpoint_minutes: time between savings.
        extend: sets what depends on how far the run has come, when it is extended.
    """

    model: keras.Model
    optimizers: Sequence[keras.Optimizer]
    batches: Batches
    batch_size: int
    horizon: Horizon
    columns: Sequence[str]
    describe: Callable[[dict[str, Any]], str]
    callbacks: Sequence[keras.callbacks.Callback]
    parts: Mapping[str, Stateful]
    digest: str
    checkpoint_minutes: float
    extend: Callable[[], None] = lambda: None


@dataclasses.dataclass(frozen=True)
class Assembly:
    """A run ready to go on from where it stood; `loop.run()` runs what is left.

    Attributes:
        loop: over epochs.
        checkpoint: that it saves to.
        position: where it stands.
        history: the rows of history.csv.
        resumed: whether there was a checkpoint.
    """

    loop: Loop
    checkpoint: Checkpoint
    position: Position
    history: History
    resumed: bool


def patch_batches(
    training: Sequence[PatchSampler], validation: PatchSampler, batch_size: int, steps: int, validation_steps: int, cluster: Cluster
) -> Batches:
    """Batches of patches, shared out to the devices.

    Args:
        training: what a step takes a batch of; of several, an element of the dataset is one batch of each.
        validation: patches of the pass after each epoch, the same each time.
        batch_size: of all devices together.
        steps: an epoch.
        validation_steps: batches of that pass.
        cluster: what computes.
    """

    def stream(sampler: PatchSampler, first: int, count: int) -> tf.data.Dataset:
        return patch_dataset(sampler, batch_size, first, count, **cluster.share)

    def streams(first: int) -> tf.data.Dataset:
        parts = [stream(sampler, first, FOREVER) for sampler in training]
        return parts[0] if len(parts) == 1 else tf.data.Dataset.zip(*parts)

    def judged() -> tf.data.Dataset:
        found = stream(validation, 0, validation_steps)
        needed = validation_steps * batch_size * math.prod(validation.patch_size) * (validation.num_channels + 1) * _NUMBER
        return found.cache() if needed < available_memory() * _CACHED else found

    return Batches(lambda first: cluster.distribute(lambda: streams(first)), cluster.distribute(judged), steps)


def assemble(run: Run, folder: RunFolder, cluster: Cluster) -> Assembly:
    """Puts a run together and takes it up where its checkpoint stands; one that is extended goes on beyond its former end.

    On the first of several hosts it leaves history.csv, timings.csv, TensorBoard's files and checkpoints in the folder.

    Raises:
        DataError: the checkpoint isn't this run's.
    """
    extended = bool(cluster.from_chief([int(folder.extended)])[0])
    position, history = Position(), History(folder[HISTORY] if cluster.chief else None, run.columns)
    parts = {"position": position, "horizon": run.horizon, "history": history, **run.parts}
    checkpoint = Checkpoint(
        folder[CHECKPOINT], run.model, run.optimizers, parts, run.digest, run.batch_size, run.checkpoint_minutes, cluster
    )
    resumed = checkpoint.restore()
    if extended:
        position.finished = run.horizon.over
    callbacks = [Pace(run.horizon, run.batches.steps, run.describe, shown=cluster.chief), *run.callbacks, history]
    if cluster.chief:
        callbacks += [Scalars(folder[TENSORBOARD], run.columns), Timings(folder[TIMINGS], run.horizon)]
    loop = Loop(run.model, run.batches, run.horizon, position, checkpoint, callbacks, cluster)
    if extended:
        run.extend()
        loop.save()
        if cluster.chief:
            folder[EXTENDING].unlink(missing_ok=True)
    return Assembly(loop, checkpoint, position, history, resumed)
