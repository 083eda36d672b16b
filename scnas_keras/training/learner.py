"""A fixed network with all that training it needs."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from scnas_keras.errors import ConfigError
from scnas_keras.kernels.fast_forms import use_fast_forms
from scnas_keras.machine.accumulation import count_slices, over_slices
from scnas_keras.machine.precision import apply_gradients, regularize, scaled_loss
from scnas_keras.metrics.mean_dice import MeanDice
from scnas_keras.networks.path_dropout import path_names, scaled_paths
from scnas_keras.training.losses import DeepSupervision, SegmentationLoss
from scnas_keras.training.path_dropout import path_factors


class Learner(keras.Model):
    """A network that learns on pairs (images, labels [batch, *space]); it is itself called like the network.

    Unlike a compiled functional model it has all its variables, those of the metrics included, before the first step,
    as a run that is resumed needs.

    Args:
        network: images to logits [batch, *space, num_classes], or to a list of such, finest first (deep supervision).
        num_classes: classes, background included.
        ignore_label: label value of voxels that don't count.
    """

    def __init__(self, network: keras.Model, num_classes: int, ignore_label: int | None = None, **kwargs):
        super().__init__(**kwargs)
        self.network = network
        self.loss_tracker = keras.metrics.Mean(name="loss")
        self.dice = MeanDice(num_classes, ignore_label, name="dice")
        self.built = True

    def call(self, images, training=None):
        return self.network(images, training=training)

    def compile(
        self,
        optimizer: keras.Optimizer,
        loss: SegmentationLoss,
        weight_decay: float = 0.0,
        clip_norm: float | None = None,
        accumulate: int = 1,
        path_dropout: float = 0.0,
        seed: int = 0,
        **kwargs,
    ):
        """Sets what an update is made of. From here on the network uses TensorFlow's faster kernels (`kernels.fast_forms`).

        Args:
            optimizer: built here.
            loss: (labels, logits), of one output.
            weight_decay, clip_norm: see `machine.precision.regularize`.
            accumulate: slices that a device computes its share of a batch in, one after the other: the same update with less memory.
            path_dropout: with which probability a training step leaves out each of the network's paths, if it has any, for an item.
            seed: of that.
            **kwargs: of `keras.Model.compile`.

        Raises:
            ConfigError: the loss of a batch isn't the mean of its slices' losses.
        """
        if accumulate > 1 and loss.couples_items:
            raise ConfigError(
                f"--accumulate={accumulate}: a Dice over the batch, or a mean over its voxels without an ignore label, isn't the mean of "
                "its slices'. Use --loss=jaccard, or --accumulate=1 with a smaller --batch_size."
            )
        super().compile(optimizer=optimizer, jit_compile=False, **kwargs)
        use_fast_forms(self.network)
        self.weight_decay, self.clip_norm, self.accumulate = weight_decay, clip_norm, accumulate
        self.path_dropout, self.seed = path_dropout, seed
        self.paths = path_names(self.network) if path_dropout else []
        self.sliceable = not loss.couples_items
        loss.over_replicas = sum_over_replicas
        self.loss_function = DeepSupervision(loss, output_strides(self.network)) if len(self.network.outputs) > 1 else loss
        optimizer.build(self.network.trainable_variables)

    def train_step(self, data):
        """One update of the weights; in a graph, as the loop and `fit` trace it."""
        images, labels = data
        trainable = self.network.trainable_variables
        slices = count_slices(images.shape[0], self.accumulate)

        def compute(images, labels, *factors):
            with scaled_paths({name: own[:, i] for own in factors for i, name in enumerate(self.paths)}):
                outputs = self.network(images, training=True)
            loss = self.loss_function(labels, outputs) / slices
            gradients = _gradients(scaled_loss(self.optimizer, loss), trainable)
            self._measure_dice(labels, outputs)
            return loss, *gradients

        shapes = [(), *(variable.shape for variable in trainable)]
        loss, *gradients = over_slices(compute, (images, labels, *self._path_factors(images)), slices, shapes)
        gradients = regularize(self.optimizer, gradients, trainable, self.weight_decay, self.clip_norm)
        apply_gradients(self.optimizer, gradients, trainable)
        return self._measured(loss)

    def test_step(self, data):
        """Loss and Dice of a batch."""
        images, labels = data
        slices = count_slices(images.shape[0], self.accumulate)

        def compute(images, labels):
            outputs = self.network(images, training=False)
            self._measure_dice(labels, outputs)
            return [self.loss_function(labels, outputs) / slices]

        return self._measured(*over_slices(compute, (images, labels), slices, [()]))

    def _path_factors(self, images):
        """For each item of a batch the factors of its paths, [batch, paths]; nothing where no path is left out."""
        if not self.paths:
            return []
        share = images.shape[0] or tf.shape(images)[0]
        return [path_factors(self.path_dropout, len(self.paths), self.seed, self.optimizer.iterations.value, share)]

    def _measure_dice(self, labels, outputs):
        self.dice.update_state(labels, outputs[0] if isinstance(outputs, (list, tuple)) else outputs)

    def _measured(self, loss):
        # Losses of keras.losses are divided by the number of replicas, so that gradients add up.
        self.loss_tracker.update_state(loss * tf.distribute.get_strategy().num_replicas_in_sync)
        return {"loss": self.loss_tracker.result(), "dice": self.dice.result()}


def _gradients(loss: tf.Tensor, variables: Sequence[keras.Variable]) -> list[tf.Tensor]:
    """Gradients of a loss; those of a tensor that is read several times are added in pairs, always in the same order.

    A GradientTape adds all of them at once, in an order that isn't fixed (`machine.determinism`).
    """
    return tf.gradients(loss, [v.value for v in variables], aggregation_method=tf.AggregationMethod.EXPERIMENTAL_TREE)


def output_strides(network: keras.Model) -> tuple[tuple[int, ...], ...]:
    """By how much each output of a network is coarser than its input, along every spatial axis."""
    size = 2**10
    shapes = network.compute_output_shape((1, *[size] * (len(network.input_shape) - 2), network.input_shape[-1]))
    return tuple(tuple(size // edge for edge in shape[1:-1]) for shape in shapes)


def sum_over_replicas(value: tf.Tensor) -> tf.Tensor:
    """The sum of all replicas' values, with its gradient; the value itself on one device."""
    replicas = tf.distribute.get_replica_context()
    if replicas is None or replicas.num_replicas_in_sync == 1:
        return value
    return replicas.all_reduce(tf.distribute.ReduceOp.SUM, value)
