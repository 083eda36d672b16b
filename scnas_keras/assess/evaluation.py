"""Dice and loss of many networks that share one supernet's weights, on the same patches."""

import dataclasses
from collections.abc import Iterable

import keras
import tensorflow as tf

from scnas_keras.metrics.mean_dice import MeanDice
from scnas_keras.spaces.genotype import Genotype
from scnas_keras.supernet import relaxation as relax
from scnas_keras.supernet.supernet import Supernet
from scnas_keras.training.losses import JaccardLoss


@dataclasses.dataclass(frozen=True)
class Score:
    """Mean loss of the patches, and Dice over all their voxels, mean of the foreground classes."""

    loss: float
    dice: float


class SharedWeights:
    """Scores networks by running a supernet under a fixed draw: one traced function for all of them.

    Args:
        supernet: with trained weights.
        patches: pairs (images [batch, *space, channels], labels [batch, *space]), kept in memory.
    """

    def __init__(self, supernet: Supernet, patches: Iterable[tuple[tf.Tensor, tf.Tensor]]):
        self._supernet, self._patches = supernet, list(patches)
        self._loss, self._dice = keras.metrics.Mean(), MeanDice(supernet.num_classes, supernet.ignore_label)
        self._measure = tf.function(self._measure_batch, autograph=False)

    def score(self, draw: relax.Draw) -> Score:
        """The score of the network that a draw for all kinds, [kinds, edges, k], describes."""
        self._loss.reset_state(), self._dice.reset_state()
        for images, labels in self._patches:
            self._measure(images, labels, draw.operations, draw.weights)
        return Score(float(self._loss.result()), float(self._dice.result()))

    def _measure_batch(self, images, labels, operations, weights):
        logits = self._supernet.forward(images, relax.Draw(operations, weights))
        self._loss.update_state(JaccardLoss(reduction=None, ignore_label=self._supernet.ignore_label)(labels, logits))
        self._dice.update_state(labels, logits)


def genotype_draw(genotype: Genotype) -> relax.Draw:
    """The draw under which a supernet is a genotype's network: one operation an edge, with weight one."""
    space = genotype.space
    operations = [[space.operations.index(edge.operation) for edge in genotype.cells[kind]] for kind in space.kinds]
    operations = tf.constant(operations, tf.int32)[..., None]
    return relax.Draw(operations, tf.ones_like(operations, tf.float32))


def sampled_draw(supernet: Supernet, seed: int, index: int) -> relax.Draw:
    """A draw as the search makes them, from the supernet's logits at its temperature; a function of (seed, index)."""
    logits, temperature = tf.convert_to_tensor(supernet.logits), tf.convert_to_tensor(supernet.temperature)
    return relax.draw(supernet.relaxation, logits, temperature, tf.constant([seed, index], tf.int32))
