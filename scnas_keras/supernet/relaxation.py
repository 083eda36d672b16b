"""How the architecture parameters alpha become edge weights: SCNAS' Algorithm 1, and what it is compared with.

Every draw is a pure function of (seed, counter), so that replicas agree and a resumed search repeats what an
uninterrupted one would have drawn.
"""

import dataclasses
from collections.abc import Sequence

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from scnas_keras.operations.registry import operation
from scnas_keras.supernet.names import GUMBEL_PAIR, GUMBEL_SINGLE, SOFTMAX, UNIFORM


@dataclasses.dataclass(frozen=True)
class Draw:
    """Operations to run on every edge, and their weights.

    Attributes:
        operations: int32 [..., edges, k], indices of the operations to run.
        weights: float32 [..., edges, k], what their outputs are multiplied with; they sum to one on an edge unless some
            were dropped.
        inclusion: float32 [..., edges, n], how probable it was that each candidate would be among the drawn; for the
            statistics of a search, None where nothing is drawn.
    """

    operations: tf.Tensor
    weights: tf.Tensor
    inclusion: tf.Tensor | None = None

    def unstack(self) -> list["Draw"]:
        """Operations and weights of the draws along the first axis."""
        return [Draw(*parts) for parts in zip(tf.unstack(self.operations), tf.unstack(self.weights))]

    def counts(self, candidates: int) -> tf.Tensor:
        """Whether each of the candidates was drawn: float32 [..., edges, candidates] of zeros and ones."""
        return tf.reduce_sum(tf.one_hot(self.operations, candidates), axis=-2)


def gumbel_pair(alpha: tf.Tensor, temperature: tf.Tensor, seed: tf.Tensor) -> Draw:
    """Two operations an edge by Gumbel-softmax (Algorithm 1).

    The pair's weights are z_a / (z_a + z_b) and its complement for a relaxed one-hot sample z, a logistic function of
    the two alphas: exactly these two receive a gradient, of opposite sign.

    Args:
        alpha: float32 [..., edges, n].
        temperature: of the relaxation, above 0.
        seed: int32 [2].
    """
    seeds = tf.random.split(seed, 2)
    relaxed = tfd.RelaxedOneHotCategorical(temperature, logits=alpha)
    log_z = relaxed.distribution.sample(seed=seeds[0])  # its logarithm: no underflow at low temperature
    operations = draw_pair(tf.stop_gradient(log_z), seeds[1])
    pair = tf.gather(log_z, operations, batch_dims=operations.shape.rank - 1)
    share = tf.sigmoid(pair[..., 0] - pair[..., 1])
    z = tf.stop_gradient(tf.exp(log_z))
    inclusion = z + (1 - z) / (alpha.shape[-1] - 1)
    return Draw(operations, tf.stack([share, 1 - share], axis=-1), inclusion)


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


def gumbel_single(alpha: tf.Tensor, temperature: tf.Tensor, seed: tf.Tensor) -> Draw:
    """One operation an edge, the largest of a Gumbel-softmax sample z (GDAS, Dong and Yang 2019).

    Its weight is one; the gradient is that of its z (straight-through), so that all alphas of the edge learn.
    """
    relaxed = tfd.RelaxedOneHotCategorical(temperature, logits=alpha)
    z = tf.exp(relaxed.distribution.sample(seed=seed))
    operations = tf.argmax(z, axis=-1, output_type=tf.int32)[..., None]
    drawn = tf.gather(z, operations, batch_dims=operations.shape.rank - 1)
    return Draw(operations, drawn + tf.stop_gradient(1 - drawn), tf.stop_gradient(tf.nn.softmax(alpha)))


def softmax(alpha: tf.Tensor) -> Draw:
    """All operations with softmax weights (DARTS, Auto-LW-MISN), which have no temperature."""
    weights = tf.nn.softmax(alpha)
    operations = tf.broadcast_to(tf.range(alpha.shape[-1]), tf.shape(alpha))
    return Draw(operations, weights, tf.ones_like(alpha))


def uniform(alpha: tf.Tensor, seed: tf.Tensor) -> Draw:
    """Two operations an edge drawn uniformly, half of each: random sampling, the baseline of any search.

    Nothing depends on alpha, so that they don't learn.
    """
    even = tf.zeros_like(alpha)
    operations = draw_pair(even, seed)
    return Draw(operations, tf.fill(tf.shape(operations), 0.5), even + 2 / alpha.shape[-1])


def draw(relaxation: str, alpha: tf.Tensor, temperature: tf.Tensor, seed: tf.Tensor) -> Draw:
    """A draw by the relaxation's name, one of `names.RELAXATIONS`."""
    return {
        GUMBEL_PAIR: lambda: gumbel_pair(alpha, temperature, seed),
        GUMBEL_SINGLE: lambda: gumbel_single(alpha, temperature, seed),
        SOFTMAX: lambda: softmax(alpha),
        UNIFORM: lambda: uniform(alpha, seed),
    }[relaxation]()


def drop_parameter_free(drawn: Draw, operations: Sequence[str], rate: tf.Tensor, seed: tf.Tensor) -> Draw:
    """Takes drawn parameter-free operations (pools, identity) out of a draw at random.

    Each has weight zero with probability `rate`, else its weight over 1 - rate: the same on average. It keeps shortcuts
    from winning while convolutions still learn (P-DARTS, Chen et al. 2019, does so on skip connections).

    Args:
        drawn: the draw.
        operations: names of all candidates.
        rate: float32 scalar, 0 to below 1.
        seed: int32 [2].
    """
    facts = [operation(name) for name in operations]
    concerned = tf.gather(tf.constant([not own.learns and not own.is_zero for own in facts]), drawn.operations)
    kept = tf.random.stateless_uniform(tf.shape(drawn.operations), seed) >= rate
    factor = tf.where(concerned, tf.cast(kept, tf.float32) / (1 - rate), 1.0)
    return dataclasses.replace(drawn, weights=drawn.weights * factor)


def path_masks(drawn: Draw, operations: Sequence[str], rate: float, seed: tf.Tensor) -> tf.Tensor:
    """What drawn operations' weights are multiplied with where paths are dropped at random: float32, of the draw's shape.

    0 with probability `rate`, else 1 / (1 - rate), but 1 for an identity (DARTS, Liu et al. 2019, drops paths so).

    Args:
        drawn: the draw.
        operations: names of all candidates.
        rate: 0 to below 1.
        seed: int32 [2].
    """
    concerned = tf.gather(tf.constant([not operation(name).is_identity for name in operations]), drawn.operations)
    kept = tf.random.stateless_uniform(tf.shape(drawn.operations), seed) >= rate
    return tf.where(concerned, tf.cast(kept, tf.float32) / (1 - rate), 1.0)


def strongest(alpha: tf.Tensor) -> Draw:
    """The most probable operation of every edge, with weight one."""
    operations = tf.argmax(alpha, axis=-1, output_type=tf.int32)[..., None]
    return Draw(operations, tf.ones_like(operations, tf.float32))
