"""The stream of a sampler's patches as a `tf.data.Dataset`."""

from scnas_keras.data.memory import usable_cpus
from scnas_keras.patches.sampler import PatchSampler

BATCHES_AHEAD = 2


def patch_dataset(sampler: PatchSampler, batch_size: int, start: int, count: int, threads: int | None = None):
    """The sampler's items as a `tf.data.Dataset`, the same for any number of threads.

    Args:
        sampler: where the items come from.
        batch_size: items a batch.
        start: number of batches to skip: the first item is `start * batch_size`.
        count: number of batches.
        threads: items made at the same time; by default as many as there are CPUs for this process.

    Returns:
        A dataset of `count` batches: image float32 [batch, *patch_size, channels], label int32 [batch, *patch_size].
    """
    import tensorflow as tf

    def load(index):
        # Declared free of state, which a pure function is: with op determinism, TensorFlow would call one with state
        # from a single thread.
        image, label = tf.numpy_function(sampler.sample, [index], (tf.float32, tf.int32), stateful=False)
        image.set_shape((*sampler.patch_size, channels))
        label.set_shape(sampler.patch_size)
        return image, label

    channels = sampler.num_channels
    items = tf.data.Dataset.range(start * batch_size, (start + count) * batch_size)
    items = items.map(load, num_parallel_calls=threads or usable_cpus(), deterministic=True)
    return items.batch(batch_size, drop_remainder=True).prefetch(BATCHES_AHEAD)
