"""A fixed network with all that training it needs."""

import keras
import tensorflow as tf

from scnas_keras.training.metrics import MeanDice
from scnas_keras.training.precision import apply_gradients, scaled_loss


class Learner(keras.Model):
    """A network that learns on pairs (images, labels [batch, *space]); it is itself called like the network.

    Unlike a compiled functional model it has all its variables, those of the metrics included, before the first step,
    as a run that is resumed needs.

    Args:
        network: images to logits [batch, *space, num_classes].
        num_classes: classes, background included.
    """

    def __init__(self, network: keras.Model, num_classes: int, **kwargs):
        super().__init__(**kwargs)
        self.network = network
        self.loss_tracker = keras.metrics.Mean(name="loss")
        self.dice = MeanDice(num_classes, name="dice")
        self.built = True

    def call(self, images, training=None):
        return self.network(images, training=training)

    def compile(self, optimizer: keras.Optimizer, loss: keras.Loss, **kwargs):
        """Sets the optimizer, built here, and the loss (labels, logits)."""
        super().compile(optimizer=optimizer, jit_compile=False, **kwargs)
        self.loss_function = loss
        optimizer.build(self.network.trainable_variables)

    def train_step(self, data):
        """One update of the weights."""
        images, labels = data
        variables = [v.value for v in self.network.trainable_variables]
        with tf.GradientTape() as tape:
            logits = self.network(images, training=True)
            loss = self.loss_function(labels, logits)
            scaled = scaled_loss(self.optimizer, loss)
        apply_gradients(self.optimizer, tape.gradient(scaled, variables), self.network.trainable_variables)
        return self._measure(loss, labels, logits)

    def test_step(self, data):
        """Loss and Dice of a batch."""
        images, labels = data
        logits = self.network(images, training=False)
        return self._measure(self.loss_function(labels, logits), labels, logits)

    def _measure(self, loss, labels, logits):
        # Losses of keras.losses are divided by the number of replicas, so that gradients add up.
        self.loss_tracker.update_state(loss * tf.distribute.get_strategy().num_replicas_in_sync)
        self.dice.update_state(labels, logits)
        return {"loss": self.loss_tracker.result(), "dice": self.dice.result()}
