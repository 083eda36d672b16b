"""Twenty steps of a small found network whose nodes have up to four inputs, as a process of its own, whose kernels have two threads.

    python tests/equal_steps.py OUTPUT [optimised]

Graphs are as commands have them on CPUs, or optimised as on GPUs.

OUTPUT is an .npz of its weights then, of the logits for an image (as `predict` has them), and of the most terms of a sum in each of the
graphs that TensorFlow ran.
"""

import sys

import keras
import numpy as np
import tensorflow as tf
from quick_graphs import QUICK
from some_spaces import dense_genotype
from tensorflow.python.eager.context import context  # nothing public shows what runs

from scnas_keras.machine.determinism import make_deterministic
from scnas_keras.networks.derived import from_genotype
from scnas_keras.training.learner import Learner
from scnas_keras.training.losses import make_loss
from scnas_keras.training.optimizers import Adam

SHAPE, STEPS = (1, 16, 16, 16), 20


def most_terms() -> int:
    """Of the sums in the graphs that ran since the collection was enabled."""
    ran = [graph for call in context().export_run_metadata().function_graphs for graph in call.partition_graphs]
    nodes = [node for graph in ran for node in (*graph.node, *(node for own in graph.library.function for node in own.node_def))]
    return max(sum(not name.startswith("^") for name in node.input) for node in nodes if "AddN" in node.op)


def main(output: str, optimised: bool) -> None:
    tf.config.optimizer.set_experimental_options({} if optimised else QUICK)
    tf.config.threading.set_intra_op_parallelism_threads(2)
    tf.config.threading.set_inter_op_parallelism_threads(2)
    make_deterministic()
    keras.utils.set_random_seed(1)
    learner = Learner(from_genotype(dense_genotype(), 1, 3, 15), 3)
    learner.compile(Adam(0.01), make_loss("dice_ce"), weight_decay=1e-5, clip_norm=12.0)
    images = tf.random.stateless_normal((*SHAPE, 1), (1, 2))
    labels = tf.random.stateless_uniform(SHAPE, (3, 4), 0, 3, tf.int32)
    step = tf.function(lambda: learner.train_step((images, labels)), autograph=False)
    context().enable_graph_collection()
    for _ in range(STEPS):
        step()
    logits = learner.network.predict_on_batch(images)
    terms = most_terms()
    weights = {str(i): weight for i, weight in enumerate(learner.network.get_weights())}
    np.savez(output, terms=terms, logits=logits, **weights)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:] == ["optimised"])
