"""Which edges' results a training step leaves out."""

import tensorflow as tf


def path_factors(rate: float, paths: int, seed: int, step: tf.Tensor, share: int | tf.Tensor) -> tf.Tensor:
    """For each item of a device's share of a batch and each path, 0 with probability `rate` and else 1 / (1 - rate).

    DARTS' drop path (Liu et al., arXiv 1806.09055, section 3.1), which Auto-LW-MISN calls dropout of operations. A function of seed, step
    and the item's number in the batch of all devices: a run that goes on draws what it would have drawn, several devices what one does.

    Args:
        rate: 0 to below 1.
        paths: how many.
        seed: of the run.
        step: updates before this one.
        share: items on this device.

    Returns:
        float32 [share, paths], in replica context.
    """
    replicas = tf.distribute.get_replica_context()
    drawn = tf.random.stateless_uniform((replicas.num_replicas_in_sync * share, paths), (seed, tf.cast(step, tf.int32)))
    first = replicas.replica_id_in_sync_group * share
    return tf.cast(drawn[first : first + share] >= rate, tf.float32) / (1 - rate)
