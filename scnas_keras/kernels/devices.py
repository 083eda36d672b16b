"""What a kernel runs on."""

import functools

import tensorflow as tf


@functools.cache
def on_cpu() -> bool:
    """Whether there is no GPU."""
    return not tf.config.list_physical_devices("GPU")
