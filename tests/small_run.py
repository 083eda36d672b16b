"""A small learner in the training loop, and a small search as a process of its own, for tests to interrupt.

    python tests/small_run.py --task=phantom --workdir=RUN ...

is `scnas search` on a space of two cells, which takes seconds to trace, with planted times, and

    python tests/small_run.py learner RUN DEVICES PRECISION SECONDS_A_STEP

trains the small learner for three epochs.
"""

import pathlib
import sys
import time
from pathlib import Path

import keras
import tensorflow as tf
from planted_times import planted_times
from some_spaces import LEVEL

from scnas_keras import options, search
from scnas_keras.console import set_up_logging
from scnas_keras.errors import UserError
from scnas_keras.machine.distribution import Cluster, open_cluster
from scnas_keras.machine.precision import scaled, set_precision
from scnas_keras.runs.assembly import Run, assemble
from scnas_keras.runs.callbacks import FOREVER
from scnas_keras.runs.horizon import Horizon
from scnas_keras.runs.loop import Batches
from scnas_keras.runs.run_folder import RunFolder
from scnas_keras.search import checks, times
from scnas_keras.training.learner import Learner
from scnas_keras.training.losses import JaccardLoss
from scnas_keras.training.schedules import Plateau

STEPS, BATCH = 3, 4
COLUMNS = ("loss", "dice", "val_loss", "val_dice", "learning_rate")


def item(index):
    """An image and its label as a function of the index."""
    seed = tf.stack([tf.cast(index, tf.int32), 1])
    image = tf.random.stateless_normal((4, 4, 4, 1), seed)
    return image, tf.cast(image[..., 0] + 0.3 * tf.random.stateless_normal((4, 4, 4), seed + 1) > 0, tf.int32)


def items(cluster, first, count):
    """Batches of items as `patch_dataset` shares them out."""
    own = BATCH // cluster.workers
    numbers = tf.data.Dataset.range(first * own, (first + count) * own)
    return numbers.map(lambda i: item(i // own * BATCH + cluster.worker * own + i % own)).batch(BATCH // cluster.replicas)


def small_network():
    keras.utils.set_random_seed(4)
    return keras.Sequential(
        [keras.Input((4, 4, 4, 1)), keras.layers.Conv3D(3, 3, activation="relu", padding="same"), keras.layers.Conv3D(2, 1)]
    )


class SmallRun:
    """A run of some epochs in a folder; `loop.run()` goes on from the folder's checkpoint. `callbacks` come before the plateau's.

    `update` is for `Learner.compile`.
    """

    def __init__(
        self,
        folder,
        epochs,
        cluster=None,
        callbacks=(),
        minutes=0.0,
        horizon=None,
        digest="digest",
        optimizer=None,
        batch_size=BATCH,
        parts=None,
        network=small_network,
        **update,
    ):
        cluster = cluster or Cluster(tf.distribute.get_strategy())
        with cluster.strategy.scope():
            self.model = Learner(network(), 2)
            self.model.compile(optimizer() if optimizer else keras.optimizers.Adam(0.05), JaccardLoss(), **update)
        horizon = horizon or Horizon(epochs)
        self.plateau = Plateau(horizon, 0.1, factor=0.5)
        batches = Batches(
            lambda first: cluster.distribute(lambda: items(cluster, first, FOREVER)),
            cluster.distribute(lambda: items(cluster, 1000, 2).cache()),
            STEPS,
        )
        assembly = assemble(
            Run(
                model=self.model,
                optimizers=[self.model.optimizer],
                batches=batches,
                batch_size=batch_size,
                horizon=horizon,
                columns=COLUMNS,
                describe=self._describe,
                callbacks=[*callbacks, self.plateau],
                parts={"plateau": self.plateau, **(parts or {})},
                digest=digest,
                checkpoint_minutes=minutes,
            ),
            RunFolder(pathlib.Path(folder), None, 0.0),
            cluster,
        )
        self.loop, self.checkpoint, self.position = assembly.loop, assembly.checkpoint, assembly.position
        self.history, self.resumed = assembly.history, assembly.resumed

    def _describe(self, logs):
        logs["learning_rate"] = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        return ""

    @property
    def outcome(self):
        """All that equal runs have in common: variables, history, plateau."""
        variables = [*self.model.variables, *self.model.metrics_variables, *self.model.optimizer.variables]
        return [keras.ops.convert_to_numpy(v) for v in variables], self.history.rows, self.plateau.state


class Slow(keras.callbacks.Callback):
    """Waits after every step."""

    def __init__(self, seconds):
        super().__init__()
        self.seconds = seconds

    def on_train_batch_end(self, batch, logs=None):
        time.sleep(self.seconds)


def train_learner(folder, cluster, precision, seconds):
    """Trains the small learner with SGD, whose steps are as exact as its gradients."""
    set_precision(precision)
    run = SmallRun(Path(folder), 3, cluster, [Slow(float(seconds))], optimizer=lambda: scaled(keras.optimizers.SGD(0.5), precision))
    run.loop.run()


def main():
    if sys.argv[1] == "learner":
        set_up_logging()
        try:
            _, _, folder, devices, precision, seconds = sys.argv
            train_learner(folder, open_cluster(devices), precision, seconds)
        except UserError as error:
            sys.exit(f"error: {error}")
    else:
        checks.find_space = lambda name, rank: LEVEL
        times.part_times = planted_times
        options.run(search.SearchConfig, search.main, __doc__)


if __name__ == "__main__":
    main()
