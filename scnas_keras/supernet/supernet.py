"""The network that holds every candidate, and the step that trains its weights and its logits in turn."""

from collections.abc import Collection

import keras
import numpy as np
import tensorflow as tf

from scnas_keras.networks.parts import OutCell, Stem
from scnas_keras.spaces.space import SearchSpace
from scnas_keras.supernet import relaxation as relax
from scnas_keras.supernet.cell import MixedCell
from scnas_keras.supernet.fused_norm import fuse
from scnas_keras.supernet.mixture import LOGITS, WEIGHTS, Mixture
from scnas_keras.supernet.recompute import Recomputed
from scnas_keras.training.metrics import MeanDice


class Supernet(keras.Model):
    """The continuous relaxation of a search space (SCNAS section 2.2).

    Called on images it runs the most probable operation of every edge. `fit` takes a dataset of pairs
    ((images, labels), (held-out images, held-out labels)) and alternates: the weights Θ learn on the first, the
    architecture logits α on the second, each under a draw of its own. All cells of a kind share one draw.

    Args:
        space: the search space.
        channels: image channels.
        num_classes: classes, background included.
        stem_channels: width at full resolution.
        relaxation: "gumbel_pair" (two drawn operations an edge) or "softmax" (all of them).
        keep_convolutions: keep the drawn convolutions' outputs for the backward pass, or compute them again.
        seed: of the draws and of the edges' start values; stem, alignments and output follow Keras' own seed.

    Attributes:
        logits: [kinds, edges, operations], the architecture α.
        temperature: of the relaxation; set it from a callback.
        draws: how many draws were made; the next one is a function of (seed, draws).
    """

    mixture_class = Mixture

    def __init__(
        self,
        space: SearchSpace,
        channels: int,
        num_classes: int,
        stem_channels: int,
        relaxation: str = "gumbel_pair",
        keep_convolutions: bool = True,
        seed: int = 0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.space, self.num_classes, self.relaxation, self.seed = space, num_classes, relaxation, seed
        self.keep_convolutions = keep_convolutions
        rng = np.random.default_rng(np.random.SeedSequence([seed, 0x5CAA5]))
        self.stem = fuse(Stem(stem_channels, affine=False, name="stem"))
        self.cells = self._build_cells(stem_channels, rng)
        self.out = OutCell(num_classes, name="logits")
        self._stem, self._out = Recomputed(self.stem), Recomputed(self.out)
        shape = (len(space.kinds), len(space.edges), len(space.operations))
        self.logits = self.add_weight(name="architecture_logits", shape=shape, initializer="zeros", dtype="float32")
        scalar = {"shape": (), "trainable": False, "aggregation": "only_first_replica"}
        self.temperature = self.add_weight(name="temperature", initializer="ones", dtype="float32", **scalar)
        self.draws = self.add_weight(name="draws", initializer="zeros", dtype="int32", **scalar)
        self._build_parts(channels, stem_channels)
        self.loss_tracker = keras.metrics.Mean(name="loss")
        self.held_out_tracker = keras.metrics.Mean(name="held_out_loss")
        self.dice = MeanDice(num_classes, name="dice")

    def _build_cells(self, stem_channels: int, rng: np.random.Generator) -> list[MixedCell]:
        space, mixtures, aligns, cells = self.space, {}, {}, []
        for plan in space.cells():
            channels = space.node_channels(stem_channels, plan.level)
            for stride in {plan.stride(edge) for edge in space.edges}:
                key = (channels, stride)
                if key not in mixtures:
                    mixtures[key] = self.mixture_class(
                        space.operations, space.rank, channels, stride, self.keep_convolutions, self.compute_dtype
                    )
            own = {stride: mixture for (width, stride), mixture in mixtures.items() if width == channels}
            cells.append(MixedCell(space, plan, channels, own, aligns, rng))
        return cells

    def _build_parts(self, channels: int, stem_channels: int) -> None:
        dynamic = (None,) * (self.space.rank + 1)
        self.stem.build((*dynamic, channels))
        for cell in self.cells:
            cell.build([(*dynamic, stem_channels * 2**level) for level in cell.plan.input_levels])
        self.out.build((*dynamic, stem_channels))
        self.built = True

    @property
    def weight_variables(self) -> list[keras.Variable]:
        """Θ: all trainable weights but the architecture's logits."""
        return [v for v in self.trainable_variables if v is not self.logits]

    def draw(self) -> relax.Draw:
        """The next draw for all kinds, [kinds, edges, k]; differentiable in the logits. Advances `draws`."""
        seed = tf.stack([tf.constant(self.seed, tf.int32), tf.convert_to_tensor(self.draws)])
        self.draws.assign_add(1)
        logits = tf.convert_to_tensor(self.logits)
        return relax.draw(self.relaxation, logits, tf.convert_to_tensor(self.temperature), seed)

    def forward(self, images: tf.Tensor, draw: relax.Draw, learn: Collection[str] = ()) -> tf.Tensor:
        """Logits [batch, *space, num_classes] under a draw; `learn` says which gradients will be asked for."""
        draws = {kind: own.unstack() for kind, own in zip(self.space.kinds, draw.unstack())}
        outputs = [[self._stem([[images]], self.stem.trainable_variables, learn)]]
        for cell in self.cells:
            plan = cell.plan
            two_back, previous = ([outputs[i]] for i in plan.inputs)
            if plan.skip is not None:
                previous = [*previous, outputs[plan.skip]]
            outputs.append(cell([two_back, previous], draw=draws[plan.kind], learn=learn))
        return tf.cast(self._out([outputs[-1]], self.out.trainable_variables, learn), tf.float32)

    def call(self, images):
        return self.forward(images, relax.strongest(tf.convert_to_tensor(self.logits)))

    def compile(self, weights_optimizer: keras.Optimizer, logits_optimizer: keras.Optimizer, loss: keras.Loss, **kwargs):
        """Sets the two optimizers and the loss (labels [batch, *space], logits) of both levels."""
        super().compile(optimizer=weights_optimizer, jit_compile=False, **kwargs)
        self.logits_optimizer, self.loss_function = logits_optimizer, loss
        weights_optimizer.build(self.weight_variables)
        logits_optimizer.build([self.logits])

    def train_step(self, data):
        """One alternation (SCNAS section 2.2): Θ on the training batch, then α on the held-out batch."""
        (images, labels), (held_out_images, held_out_labels) = data
        loss, gradients = self.weights_gradient(images, labels)
        self.optimizer.apply(gradients, self.weight_variables)
        held_out_loss, gradient = self.logits_gradient(held_out_images, held_out_labels)
        self.logits_optimizer.apply([gradient], [self.logits])
        self.loss_tracker.update_state(loss)
        self.held_out_tracker.update_state(held_out_loss)
        return {"loss": self.loss_tracker.result(), "held_out_loss": self.held_out_tracker.result()}

    def weights_gradient(self, images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Loss and its gradient with respect to Θ under a new draw."""
        return self._gradient(images, labels, self.weight_variables, (WEIGHTS,))

    def logits_gradient(self, images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Loss and its gradient with respect to α under a new draw."""
        loss, (gradient,) = self._gradient(images, labels, [self.logits], (LOGITS,))
        return loss, gradient

    def _gradient(self, images, labels, variables, learn):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([v.value for v in variables])
            loss = self.loss_function(labels, self.forward(images, self.draw(), learn))
        return loss, tape.gradient(loss, [v.value for v in variables])

    def test_step(self, data):
        """Loss and Dice of a drawn network on a batch (images, labels)."""
        images, labels = data
        logits = self.forward(images, self.draw())
        self.loss_tracker.update_state(self.loss_function(labels, logits))
        self.dice.update_state(labels, logits)
        return {"loss": self.loss_tracker.result(), "dice": self.dice.result()}
