"""Equal runs, equal results."""

import tensorflow as tf


def make_deterministic() -> None:
    """Has TensorFlow compute, for the rest of the process, what doesn't depend on which thread is done first.

    Its sum of three and more tensors (AddN) does: it adds up in the first whose memory nobody else reads any more. Networks and `Learner`
    add in pairs, which the graph optimiser must not make one sum again.
    """
    tf.config.experimental.enable_op_determinism()
    tf.config.optimizer.set_experimental_options({"arithmetic_optimization": False})
