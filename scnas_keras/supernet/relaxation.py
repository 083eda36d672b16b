"""How architecture logits become edge weights (SCNAS Algorithm 1, or the plain softmax of DARTS).

Every draw is a pure function of (seed, counter), so that replicas agree and a resumed search repeats what an
uninterrupted one would have drawn.
"""

import dataclasses

import tensorflow as tf
from tensorflow_probability import distributions as tfd


@dataclasses.dataclass(frozen=True)
class Draw:
    """Operations to run on every edge, and their weights.

    Attributes:
        operations: int32 [..., edges, k], indices of the operations to run.
        weights: float32 [..., edges, k], what their outputs are multiplied with; they sum to one on an edge.
    """

    operations: tf.Tensor
    weights: tf.Tensor

    def unstack(self) -> list["Draw"]:
        """The draws along the first axis."""
        return [Draw(*parts) for parts in zip(tf.unstack(self.operations), tf.unstack(self.weights))]


def gumbel_pair(logits: tf.Tensor, temperature: tf.Tensor, seed: tf.Tensor) -> Draw:
    """Two operations an edge by Gumbel-softmax (Algorithm 1).

    The pair's weights are z_a / (z_a + z_b) and its complement for a relaxed one-hot sample z, a logistic function of
    the two logits: exactly these two receive a gradient, of opposite sign.

    Args:
        logits: float32 [..., edges, n].
        temperature: of the relaxation, above 0.
        seed: int32 [2].
    """
    seeds = tf.random.split(seed, 2)
    relaxed = tfd.RelaxedOneHotCategorical(temperature, logits=logits)
    log_z = relaxed.distribution.sample(seed=seeds[0])  # its logarithm: no underflow at low temperature
    operations = draw_pair(tf.stop_gradient(log_z), seeds[1])
    pair = tf.gather(log_z, operations, batch_dims=operations.shape.rank - 1)
    share = tf.sigmoid(pair[..., 0] - pair[..., 1])
    return Draw(operations, tf.stack([share, 1 - share], axis=-1))


def draw_pair(log_z: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """A pair {a, b} of n operations with probability (z_a + z_b) / (n - 1), int32 [..., 2].

    That is the same as a drawn from z and b uniformly from the others: the paper's enumeration of all pairs in two
    draws.

    Args:
        log_z: [..., n], logarithms of probabilities z.
        seed: int32 [2].
    """
    seeds, count = tf.random.split(seed, 2), log_z.shape[-1]
    first = tf.random.stateless_categorical(tf.reshape(log_z, (-1, count)), 1, seeds[0], dtype=tf.int32)[:, 0]
    offset = tf.random.stateless_uniform(tf.shape(first), seeds[1], 1, count, tf.int32)
    pair = tf.stack([first, (first + offset) % count], axis=-1)
    return tf.reshape(pair, tf.concat([tf.shape(log_z)[:-1], [2]], axis=0))


def softmax(logits: tf.Tensor, temperature: tf.Tensor) -> Draw:
    """All operations with softmax weights (DARTS, Auto-LW-MISN)."""
    weights = tf.nn.softmax(logits / temperature)
    operations = tf.broadcast_to(tf.range(logits.shape[-1]), tf.shape(logits))
    return Draw(operations, weights)


def draw(relaxation: str, logits: tf.Tensor, temperature: tf.Tensor, seed: tf.Tensor) -> Draw:
    """A draw by the relaxation's name, "gumbel_pair" or "softmax"."""
    return gumbel_pair(logits, temperature, seed) if relaxation == "gumbel_pair" else softmax(logits, temperature)


def strongest(logits: tf.Tensor) -> Draw:
    """The most probable operation of every edge, with weight one."""
    operations = tf.argmax(logits, axis=-1, output_type=tf.int32)[..., None]
    return Draw(operations, tf.ones_like(operations, tf.float32))


def normalized_entropy(logits: tf.Tensor) -> tf.Tensor:
    """Entropy of each edge's softmax over its maximum: 1 is uniform, 0 is decided. [..., edges, n] -> [..., edges]."""
    log_p = tf.nn.log_softmax(logits)
    return -tf.reduce_sum(tf.exp(log_p) * log_p, axis=-1) / tf.math.log(tf.cast(logits.shape[-1], logits.dtype))
