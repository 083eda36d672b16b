"""Dice and loss of many networks that share one supernet's weights, on the same patches."""

import dataclasses
from collections.abc import Iterable, Sequence

import keras
import numpy as np
import tensorflow as tf

from scnas_keras.errors import ConfigError
from scnas_keras.metrics.mean_dice import MeanDice
from scnas_keras.operations.registry import operation
from scnas_keras.spaces.genotype import Genotype
from scnas_keras.supernet import relaxation as relax
from scnas_keras.supernet.supernet import Supernet, seed_of_bank
from scnas_keras.training.losses import JaccardLoss

_ABSENT = -1


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

    def score(self, draws: Sequence[relax.Draw]) -> Score:
        """The score of the network that a draw for each bank, [rows, k], describes."""
        self._loss.reset_state(), self._dice.reset_state()
        for images, labels in self._patches:
            self._measure(images, labels, [(draw.operations, draw.weights) for draw in draws])
        return Score(float(self._loss.result()), float(self._dice.result()))

    def _measure_batch(self, images, labels, draws):
        logits = self._supernet.forward(images, [relax.Draw(*draw) for draw in draws])
        self._loss.update_state(JaccardLoss(reduction=None, ignore_label=self._supernet.ignore_label)(labels, logits))
        self._dice.update_state(labels, logits)


def genotype_draw(supernet: Supernet, genotype: Genotype) -> list[relax.Draw]:
    """The draw under which a supernet is a genotype's network: one operation an edge with weight one, or 0 where the edge is absent.

    Raises:
        ConfigError: kinds of cells that read the same row keep different operations there: no draw is that.
    """
    operations = [np.full(bank.rows, -2) for bank in supernet.banks.banks]
    for placed in supernet.space.placed:
        for edge, own in zip(placed.edges, genotype.cells[placed.kind]):
            bank, row = supernet.banks.place_of(edge)
            found = _ABSENT if own.operation is None else edge.candidates.index(own.operation)
            if operations[bank][row] not in (-2, found):
                raise ConfigError(f"Table {edge.table!r}, row {edge.row}: kinds of cells that share it keep different operations there.")
            operations[bank][row] = found
    return [_draw_of(own, bank.candidates) for own, bank in zip(operations, supernet.banks.banks)]


def _draw_of(operations: np.ndarray, candidates: Sequence[str]) -> relax.Draw:
    """Absent edges draw zero, or where it is no candidate, anything with weight 0."""
    zero = next((i for i, name in enumerate(candidates) if operation(name).is_zero), None)
    weights = np.where((operations == _ABSENT) & (zero is None), 0.0, 1.0)
    chosen = np.where(operations == _ABSENT, zero or 0, operations)
    return relax.Draw(tf.constant(chosen[:, None], tf.int32), tf.constant(weights[:, None], tf.float32))


def sampled_draw(supernet: Supernet, seed: int, index: int) -> list[relax.Draw]:
    """A draw as the search makes them, from the supernet's alpha at its temperature; a function of (seed, index)."""
    temperature = tf.convert_to_tensor(supernet.temperature)
    return [
        relax.draw(supernet.relaxation, tf.convert_to_tensor(alpha), temperature, seed_of_bank(tf.constant([seed, index], tf.int32), i))
        for i, alpha in enumerate(supernet.alpha)
    ]
