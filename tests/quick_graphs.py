"""Graphs that start sooner: tests trace many and run each a few times, so that optimising them costs more than it gains."""

QUICK = {"disable_meta_optimizer": True}
"""For `tf.config.optimizer.set_experimental_options`. At night graphs are optimised as they are for users."""
