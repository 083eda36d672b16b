"""Graphs that start sooner: tests trace many and run each a few times, so that optimising them costs more than it gains."""

QUICK = {"disable_meta_optimizer": True}
"""For `tf.config.optimizer.set_experimental_options`, as commands have it on CPUs. At night graphs are optimised, as on GPUs."""
