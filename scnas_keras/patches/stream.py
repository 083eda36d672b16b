"""The stream of a sampler's patches as a `tf.data.Dataset`."""

from scnas_keras.machine.memory import usable_cpus
from scnas_keras.patches.sampler import PatchSampler

BATCHES_AHEAD = 2


def patch_dataset(
    sampler: PatchSampler,
    batch_size: int,
    start: int,
    count: int,
    threads: int | None = None,
    host: tuple[int, int] = (0, 1),
    replicas: int = 1,
):
    """The sampler's items as a `tf.data.Dataset`, the same for any number of threads.

    Args:
        sampler: where the items come from.
        batch_size: items a batch.
        start: number of batches to skip: the first item is `start * batch_size`.
        count: number of batches.
        threads: items made at the same time; by default as many as there are CPUs for this process.
        host: number of this host and how many share each batch: the first has the first items.
        replicas: devices of all hosts that share each batch equally; each gets a dataset's element of its own, in order.

    Returns:
        A dataset of `count` batches, each in as many elements as this host has replicas: image float32
        [batch / replicas, *patch_size, channels], label int32 [batch / replicas, *patch_size].
    """
    import tensorflow as tf

    def load(number):
        # Declared free of state, which a pure function is: with op determinism, TensorFlow would call one with state
        # from a single thread.
        index = number // own * batch_size + worker * own + number % own
        image, label = tf.numpy_function(sampler.sample, [index], (tf.float32, tf.int32), stateful=False)
        image.set_shape((*sampler.patch_size, channels))
        label.set_shape(sampler.patch_size)
        return image, label

    worker, hosts = host
    own, channels = batch_size // hosts, sampler.num_channels
    items = tf.data.Dataset.range(start * own, (start + count) * own)
    items = items.map(load, num_parallel_calls=threads or usable_cpus(), deterministic=True)
    return items.batch(batch_size // replicas, drop_remainder=True).prefetch(BATCHES_AHEAD * replicas // hosts)
