"""The network that holds every candidate, and the step that trains its weights and its logits in turn."""

from collections.abc import Collection

import keras
import numpy as np
import tensorflow as tf

from scnas_keras.kernels.fused_norm import fuse
from scnas_keras.machine.precision import FLOAT16, apply_gradients, scaled, scaled_loss
from scnas_keras.metrics.mean_dice import MeanDice
from scnas_keras.networks.parts import OutCell, Stem
from scnas_keras.spaces.space import SearchSpace
from scnas_keras.supernet import relaxation as relax
from scnas_keras.supernet.cell import MixedCell
from scnas_keras.supernet.mixture import LOGITS, WEIGHTS, Mixture
from scnas_keras.supernet.network import Network
from scnas_keras.supernet.penalty import CostPenalty

WARM_UP, SEARCH = "warm_up", "search"


class Supernet(keras.Model):
    """The continuous relaxation of a search space (SCNAS section 2.2).

    Called on images it runs the most probable operation of every edge. `fit` takes a dataset of pairs
    ((images, labels), (held-out images, held-out labels)) and alternates: the weights Θ learn on the first, the
    architecture logits α on the second, each under a draw of its own. All cells of a kind share one draw.

    Under the relaxation "uniform", and in the phase `WARM_UP`, only the weights learn and the second batch isn't used.

    Args:
        space: the search space.
        channels: image channels.
        num_classes: classes, background included.
        stem_channels: width at full resolution.
        relaxation: how logits become edge weights, one of `relaxation.RELAXATIONS`. Under "uniform" the logits are random
            and stay so: what is derived is a random network of the space, the baseline of a search.
        low_memory: compute the drawn convolutions' outputs and the cells' aligned inputs again in the backward pass instead of
            keeping them, and one edge after the other.
        negligible: drawn operations whose weight is below this aren't run.
        seed: of the draws and of the edges' start values; stem, alignments and output follow Keras' own seed.
        parameter_free_dropout: rate at which training drops drawn pools and identities (`relaxation.drop_parameter_free`),
            to begin with; 0 is off.
        penalty: what the logits learn beside the loss, or None.
        ignore_label: label value of voxels that the Dice doesn't count; a loss has its own.

    Attributes:
        logits: [kinds, edges, operations], the architecture α.
        temperature: of the relaxation; set it from a callback.
        drop_rate: of parameter-free operations; lower it from a callback.
        draws: how many draws were made; the next one is a function of (seed, draws).
        drawn, drawn_expected: [kinds, edges, operations], how often each candidate was drawn, and what was to be expected.
        multipliers: of the penalty.
        phase: `WARM_UP` or `SEARCH`. A traced train step keeps to the phase in which it was traced.
    """

    mixture_class = Mixture

    def __init__(
        self,
        space: SearchSpace,
        channels: int,
        num_classes: int,
        stem_channels: int,
        relaxation: str = "gumbel_pair",
        low_memory: bool = False,
        negligible: float = 0.0,
        seed: int = 0,
        parameter_free_dropout: float = 0.0,
        penalty: CostPenalty | None = None,
        ignore_label: int | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.space, self.num_classes, self.relaxation, self.seed = space, num_classes, relaxation, seed
        self.ignore_label = ignore_label
        self.penalty, self.phase = penalty, SEARCH
        self._low_memory, self._negligible = low_memory, negligible
        self._drops = parameter_free_dropout > 0
        rng = np.random.default_rng(np.random.SeedSequence([seed, 0x5CAA5]))
        self.stem = fuse(Stem(stem_channels, affine=False, name="stem"))
        self.cells = self._build_cells(stem_channels, rng)
        self.out = OutCell(num_classes, name="logits")
        shape = (len(space.kinds), len(space.edges), len(space.operations))
        self.logits = self.add_weight(name="architecture_logits", shape=shape, initializer=self._initial_logits, dtype="float32")
        state = {"trainable": False, "aggregation": "only_first_replica", "dtype": "float32"}
        self.temperature = self.add_weight(name="temperature", shape=(), initializer="ones", **state)
        self.drop_rate = self.add_weight(
            name="drop_rate", shape=(), initializer=keras.initializers.Constant(parameter_free_dropout), **state
        )
        self.multipliers = self.add_weight(name="multipliers", shape=(len(penalty.names) if penalty else 0,), initializer="zeros", **state)
        self.drawn = self.add_weight(name="drawn", shape=shape, initializer="zeros", **state)
        self.drawn_expected = self.add_weight(name="drawn_expected", shape=shape, initializer="zeros", **state)
        self.draws = self.add_weight(name="draws", shape=(), initializer="zeros", **{**state, "dtype": "int32"})
        self._build_parts(channels, stem_channels)
        self._network = Network(space, self.stem, self.cells, self.out, self.compute_dtype)
        self.loss_tracker = keras.metrics.Mean(name="loss")
        self.held_out_tracker = keras.metrics.Mean(name="held_out_loss")
        self.dice = MeanDice(num_classes, ignore_label, name="dice")

    def _initial_logits(self, shape, dtype=None):
        """No preference; random ones where they never learn, or the first candidate would win every edge."""
        if self.relaxation != relax.UNIFORM:
            return tf.zeros(shape, dtype)
        rng = np.random.default_rng(np.random.SeedSequence([self.seed, 0xA7C4]))
        return tf.constant(rng.normal(0, 1e-3, shape), dtype)

    def _build_cells(self, stem_channels: int, rng: np.random.Generator) -> list[MixedCell]:
        space, mixtures, aligns, cells = self.space, {}, {}, []
        for plan in space.cells():
            channels = space.node_channels(stem_channels, plan.level)
            for stride in {plan.stride(edge) for edge in space.edges}:
                key = (channels, stride)
                if key not in mixtures:
                    mixtures[key] = self.mixture_class(
                        space.operations, space.rank, channels, stride, not self._low_memory, self._negligible, self.compute_dtype
                    )
            own = {stride: mixture for (width, stride), mixture in mixtures.items() if width == channels}
            cells.append(MixedCell(space, plan, channels, own, aligns, self._low_memory, rng))
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
        drawn = relax.draw(self.relaxation, logits, tf.convert_to_tensor(self.temperature), seed)
        self.drawn.assign_add(drawn.counts(len(self.space.operations)))
        self.drawn_expected.assign_add(drawn.inclusion)
        return drawn

    def _drop(self, drawn: relax.Draw) -> relax.Draw:
        """The last draw as training uses it."""
        if not self._drops:
            return drawn
        seed = tf.random.fold_in([tf.constant(self.seed, tf.int32), tf.convert_to_tensor(self.draws)], 1)
        return relax.drop_parameter_free(drawn, self.space.operations, tf.convert_to_tensor(self.drop_rate), seed)

    def forward(self, images: tf.Tensor, draw: relax.Draw, learn: Collection[str] = ()) -> tf.Tensor:
        """Logits [batch, *space, num_classes] under a draw; `learn` says which gradients will be asked for."""
        return self._network(images, draw, learn)

    def call(self, images):
        return self.forward(images, relax.strongest(tf.convert_to_tensor(self.logits)))

    def compile(self, weights_optimizer: keras.Optimizer, logits_optimizer: keras.Optimizer, loss: keras.Loss, **kwargs):
        """Sets the two optimizers and the loss (labels [batch, *space], logits) of both levels.

        In float16 each level scales its loss for itself.
        """
        super().compile(optimizer=weights_optimizer, jit_compile=False, **kwargs)
        if self.dtype_policy.name == "mixed_float16" and not isinstance(logits_optimizer, keras.optimizers.LossScaleOptimizer):
            logits_optimizer = scaled(logits_optimizer, FLOAT16)  # as Keras does to the other
        self.logits_optimizer, self.loss_function = logits_optimizer, loss
        self.optimizer.build(self.weight_variables)
        logits_optimizer.build([self.logits])

    @property
    def learns_logits(self) -> bool:
        """Whether a train step has its second half."""
        return self.phase == SEARCH and self.relaxation != relax.UNIFORM

    def train_step(self, data):
        """One alternation (SCNAS section 2.2): Θ on the training batch, then α on the held-out batch.

        Returns:
            The running means of both losses, without the penalty; only the first where the logits don't learn.
        """
        (images, labels), (held_out_images, held_out_labels) = data
        loss, gradients = self.weights_gradient(images, labels)
        apply_gradients(self.optimizer, gradients, self.weight_variables)
        self.loss_tracker.update_state(self._of_all_replicas(loss))
        if not self.learns_logits:
            return {"loss": self.loss_tracker.result()}
        held_out_loss, gradient = self.logits_gradient(held_out_images, held_out_labels)
        apply_gradients(self.logits_optimizer, [gradient], [self.logits])
        self.held_out_tracker.update_state(self._of_all_replicas(held_out_loss))
        if self.penalty:
            excess = self.penalty.excess(tf.convert_to_tensor(self.logits))
            self.multipliers.assign(self.penalty.raised(tf.convert_to_tensor(self.multipliers), excess))
        return {"loss": self.loss_tracker.result(), "held_out_loss": self.held_out_tracker.result()}

    def weights_gradient(self, images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Loss under a new draw, and its gradient with respect to Θ as the optimizer takes it.

        Both are the replica's share: they add up to those of the whole batch. An optimizer that scales losses gets a
        gradient scaled alike.
        """
        return self._gradient(images, labels, self.weight_variables, (WEIGHTS,), self.optimizer)

    def logits_gradient(self, images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The same with respect to α, whose gradient has the penalty's in it."""
        loss, (gradient,) = self._gradient(images, labels, [self.logits], (LOGITS,), self.logits_optimizer)
        return loss, gradient

    def _gradient(self, images, labels, variables, learn, optimizer):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([v.value for v in variables])
            loss = self.loss_function(labels, self.forward(images, self._drop(self.draw()), learn))
            objective = scaled_loss(optimizer, loss + self._penalty_share() if LOGITS in learn else loss)
        return loss, tape.gradient(objective, [v.value for v in variables])

    def _penalty_share(self) -> tf.Tensor | float:
        if not self.penalty:
            return 0.0
        excess = self.penalty.excess(tf.convert_to_tensor(self.logits))
        return tf.reduce_sum(tf.convert_to_tensor(self.multipliers) * tf.nn.relu(excess)) / _replicas()

    @staticmethod
    def _of_all_replicas(loss: tf.Tensor) -> tf.Tensor:
        """A replica's loss on the scale of one device: Keras' losses divide by the number of replicas."""
        return loss * _replicas()

    def test_step(self, data):
        """Loss and Dice of a drawn network on a batch (images, labels)."""
        images, labels = data
        logits = self.forward(images, self.draw())
        self.loss_tracker.update_state(self._of_all_replicas(self.loss_function(labels, logits)))
        self.dice.update_state(labels, logits)
        return {"loss": self.loss_tracker.result(), "dice": self.dice.result()}


def _replicas() -> int:
    return tf.distribute.get_strategy().num_replicas_in_sync
