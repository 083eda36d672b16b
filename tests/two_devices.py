"""What two devices compute and what one does, in a process of its own, since a process' devices can't be split once it computes.

python tests/two_devices.py FOLDER           steps of a search, runs of the small learner, and steps of one with path dropout
python tests/two_devices.py FOLDER night     searches, steps with every loss, and runs of the small learner in half precisions
"""

import functools
import pathlib
import sys

import keras
import numpy as np
import tensorflow as tf
from patch_cases import random_case
from quick_graphs import QUICK
from small_run import train_learner
from some_spaces import LEVEL
from test_resume import FLAGS
from test_training_devices import LEARNERS, learned

from scnas_keras.machine.distribution import Cluster, open_cluster
from scnas_keras.machine.precision import apply_gradients, scaled, scaled_loss
from scnas_keras.options import parse
from scnas_keras.patches.presets import preset
from scnas_keras.patches.sampler import PatchSampler
from scnas_keras.patches.stream import patch_dataset
from scnas_keras.runs import startup
from scnas_keras.search import SearchConfig, checks, runner
from scnas_keras.supernet.supernet import Supernet
from scnas_keras.training.losses import JaccardLoss
from scnas_keras.training.optimizers import SGD, Adam

TWO = "cpu:0,cpu:1"
SEARCH = (*FLAGS, "--epochs=2", "--steps_per_epoch=3", "--batch_size=2")


def losses_and_updates(two, one):
    """What each of `LEARNERS` learns, and one whose replicas keep their Dice to themselves."""
    found = {name: [learned(cluster, name) for cluster in (two, one)] for name in LEARNERS}
    found["accumulated"] = [learned(two, "clipped", accumulate=2), found["clipped"][1]]
    return {**found, "alone": [learned(two, "batch-dice", alone=True), found["batch-dice"][1]]}


def items(seed):
    images = np.random.default_rng(seed).normal(size=(4, 8, 8, 8, 1)).astype("float32")
    return tf.data.Dataset.from_tensor_slices((images, (images[..., 0] > 0).astype("int32")))


def stepped(cluster, accumulate=1):
    """Losses of both levels and variables after a step of a search."""
    keras.utils.set_random_seed(0)
    with cluster.strategy.scope():
        supernet = Supernet(LEVEL, 1, 2, 8, seed=1)
        supernet.compile(keras.optimizers.SGD(0.1), keras.optimizers.SGD(1.0), JaccardLoss(), accumulate)
    step = tf.function(lambda batch: cluster.strategy.run(supernet.train_step, args=(batch,)), autograph=False)
    pairs = tf.data.Dataset.zip(items(0), items(1)).repeat().batch(4 // cluster.replicas)
    step(next(iter(cluster.distribute(lambda: pairs))))  # one: the roundings of a step become the next one's differences
    losses = [float(np.asarray(tracker.result())) for tracker in (supernet.loss_tracker, supernet.held_out_tracker)]
    return {"losses": losses, **{str(i): keras.ops.convert_to_numpy(v) for i, v in enumerate(supernet.trainable_variables)}}


def overflowing_steps(two):
    """Values and scale after a step whose gradient is infinite on the second device, and values after a good one."""
    with two.strategy.scope():
        variable = keras.Variable([1.0, 2.0])
        optimizer = scaled(keras.optimizers.SGD(1.0), "float16")
        optimizer.build([variable])

    @tf.function(autograph=False)
    def step(bad):
        def run(bad):
            own = tf.distribute.get_replica_context().replica_id_in_sync_group
            gradient = scaled_loss(optimizer, tf.constant([0.25, 0.5]))
            apply_gradients(optimizer, [tf.where((own == 1) & bad, np.inf, 1.0) * gradient], [variable])

        two.strategy.run(run, args=(bad,))

    step(tf.constant(True))
    after_bad, scale = keras.ops.convert_to_numpy(variable), float(keras.ops.convert_to_numpy(optimizer.dynamic_scale))
    step(tf.constant(False))
    return {"after_bad": after_bad, "scale": scale, "after_good": keras.ops.convert_to_numpy(variable)}


def updated(cluster, make):
    """Variables and the optimizer's own, on every device, after updates by gradients of which each device has its share."""
    with cluster.strategy.scope():
        variables = [keras.Variable(np.linspace(-1, 1, 6), dtype="float32"), keras.Variable([[2.0]])]
        optimizer = make(0.01, use_ema=True, ema_momentum=0.9)
        optimizer.build(variables)

    @tf.function(autograph=False)
    def update(*gradients):
        cluster.strategy.run(lambda *own: optimizer.apply([gradient / cluster.replicas for gradient in own], variables), gradients)

    random = np.random.default_rng(0)
    for _ in range(6):
        update(*(tf.constant(random.standard_normal(variable.shape), tf.float32) for variable in variables))
    own = [variable.value for variable in (*variables, *optimizer.variables)]
    return [np.stack(cluster.strategy.experimental_local_results(value)) for value in own]


def streamed(two):
    """Three batches of four patches, as the two replicas get them."""
    sampler = PatchSampler([random_case()], (8, 8, 8), augmentation=preset("v2", (8, 8, 8), (0,)))
    shared = two.strategy.experimental_distribute_dataset(patch_dataset(sampler, 4, 1, 3))
    return [np.stack([part.numpy() for part in two.strategy.experimental_local_results(image)]) for image, _ in shared]


def search_run(folder, cluster, devices):
    """A run of the small search on what the flag names. A process can have one strategy of several devices, so it's opened before."""
    asked = []
    checks.find_space, startup.open_cluster = lambda name, rank: LEVEL, lambda devices: asked.append(devices) or cluster
    words = ["search", *SEARCH, f"--devices={devices}", f"--cache_dir={folder.parent / 'cache'}", f"--workdir={folder}"]
    runner.run_search(parse(SearchConfig, words))
    assert asked == [devices]


def by_day(folder, two, one):
    np.savez(folder / "batches.npz", *streamed(two))
    np.savez(folder / "overflow.npz", **overflowing_steps(two))
    for name, make in (("adam", Adam), ("sgd", functools.partial(SGD, momentum=0.9, nesterov=True))):
        for devices, cluster in (("two", two), ("one", one)):
            np.savez(folder / f"{name}_{devices}.npz", *updated(cluster, make))
    for name, cluster, accumulate in (("two", two, 1), ("one", one, 1), ("slices", two, 2)):
        np.savez(folder / f"step_{name}.npz", **stepped(cluster, accumulate))
    np.savez(folder / "dropped.npz", two=learned(two, "dropped"), one=learned(one, "dropped"), slices=learned(two, "dropped", accumulate=2))
    for name, cluster in (("single", one), ("mirrored", two)):
        train_learner(folder / name, cluster, "none", 0)


def at_night(folder, two, one):
    np.savez(folder / "learners.npz", **losses_and_updates(two, one))
    for name, cluster, devices in (("two", two, TWO), ("one", one, "cpu")):
        search_run(folder / f"search_{name}", cluster, devices)
    for precision in ("bfloat16", "float16"):
        train_learner(folder / precision, two, precision, 0)


def main(folder: pathlib.Path, night: bool):
    two, one = open_cluster(TWO), Cluster(tf.distribute.get_strategy())
    assert (two.replicas, one.replicas) == (2, 1)
    if night:
        return at_night(folder, two, one)
    tf.config.optimizer.set_experimental_options(QUICK)
    return by_day(folder, two, one)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), sys.argv[2:] == ["night"])
