"""The network that holds every candidate, and the step that trains its weights and its architecture in turn."""

import dataclasses
import math
from collections.abc import Collection, Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf

from scnas_keras.kernels.fused_norm import fuse
from scnas_keras.machine.accumulation import count_slices, over_slices
from scnas_keras.machine.names import FLOAT16
from scnas_keras.machine.precision import apply_gradients, regularize, scaled, scaled_loss
from scnas_keras.metrics.mean_dice import MeanDice
from scnas_keras.networks.buildable import check_buildable
from scnas_keras.networks.derived import head_doubling, stem_name
from scnas_keras.networks.parts import OutCell, Stem
from scnas_keras.spaces.places import output_widths
from scnas_keras.spaces.space import SearchSpace
from scnas_keras.supernet import relaxation as relax
from scnas_keras.supernet.banks import Banks
from scnas_keras.supernet.cell import MixedCell, signature_of
from scnas_keras.supernet.mixture import ALPHA, WEIGHTS, Mixture
from scnas_keras.supernet.names import GUMBEL_PAIR, UNIFORM
from scnas_keras.supernet.network import Network
from scnas_keras.supernet.penalty import CostPenalty
from scnas_keras.supernet.plain_penalty import PlainPenalty

WARM_UP, SEARCH = "warm_up", "search"


class Supernet(keras.Model):
    """The continuous relaxation of a search space (SCNAS section 2.2).

    Called on images it runs the most probable operation of every edge. `fit` takes a dataset of pairs
    ((images, labels), (held-out images, held-out labels)) and alternates: the weights Θ learn on the first, the
    architecture parameters α on the second, each under a draw of its own. All edges that read one row of a table share its draw.

    Under the relaxation "uniform", and in the phase `WARM_UP`, only the weights learn and the second batch isn't used.

    Args:
        space: the search space.
        channels: image channels.
        num_classes: classes, background included.
        stem_channels: width at full resolution.
        relaxation: how α becomes edge weights, one of `names.RELAXATIONS`. Under "uniform" α is random
            and stays so: what is derived is a random network of the space, the baseline of a search.
        low_memory: compute the drawn convolutions' outputs and the cells' aligned inputs again in the backward pass instead of
            keeping them, and one edge after the other.
        negligible: drawn operations whose weight is below this aren't run.
        seed: of the draws and of the edges' start values; stem, alignments and output follow Keras' own seed.
        parameter_free_dropout: rate at which training drops drawn pools and identities (`relaxation.drop_parameter_free`),
            to begin with; 0 is off.
        penalty: what α learns beside the loss, or None.
        plain_penalty: the same, at fixed weights.
        path_dropout: rate at which training drops drawn operations but identities, on each edge of each cell; 0 is off.
        ignore_label: label value of voxels that the Dice doesn't count; a loss has its own.

    Attributes:
        banks: how the space's tables lie in `alpha`.
        alpha: for each bank [rows, candidates], the architecture parameters α; `alpha_tables` gives them by table.
        temperature: of the relaxation; set it from a callback.
        drop_rate: of parameter-free operations; lower it from a callback.
        draws: how many draws were made; the next one is a function of (seed, draws).
        drawn, drawn_expected: for each bank [rows, candidates], how often each candidate was drawn, and what was to be expected.
        multipliers: of the penalty.
        phase: `WARM_UP` or `SEARCH`. A traced train step keeps to the phase in which it was traced.

    Raises:
        ConfigError: the space holds what can't be built or trained, or the width can't be divided among the nodes.
    """

    mixture_class = Mixture

    def __init__(
        self,
        space: SearchSpace,
        channels: int,
        num_classes: int,
        stem_channels: int,
        relaxation: str = GUMBEL_PAIR,
        low_memory: bool = False,
        negligible: float = 0.0,
        seed: int = 0,
        parameter_free_dropout: float = 0.0,
        penalty: CostPenalty | None = None,
        plain_penalty: PlainPenalty | None = None,
        path_dropout: float = 0.0,
        ignore_label: int | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.space, self.num_classes, self.relaxation, self.seed = space, num_classes, relaxation, seed
        self.ignore_label = ignore_label
        self.penalty, self.plain_penalty, self.phase = penalty, plain_penalty, SEARCH
        self._path_dropout = path_dropout
        self._low_memory, self._negligible = low_memory, negligible
        self._drops = parameter_free_dropout > 0
        rng = np.random.default_rng(np.random.SeedSequence([seed, 0x5CAA5]))
        check_buildable(space)
        space.check_width(stem_channels)
        self.banks, self.stem_channels = Banks(space), stem_channels
        stems = [Stem(stem.width * stem_channels, 2**stem.level, affine=False, name=stem_name(i)) for i, stem in enumerate(space.stems)]
        self.stems = [fuse(stem) for stem in stems]
        self.cells = self._build_cells(stem_channels, rng)
        self.out, self._doubled = OutCell(num_classes, name="logits"), head_doubling(space)
        self.alpha = [
            self.add_weight(name=f"alpha_{i}", shape=bank.shape, initializer=self._initial_alpha, dtype="float32")
            for i, bank in enumerate(self.banks.banks)
        ]
        state = {"trainable": False, "aggregation": "only_first_replica", "dtype": "float32"}
        self.temperature = self.add_weight(name="temperature", shape=(), initializer="ones", **state)
        self.drop_rate = self.add_weight(
            name="drop_rate", shape=(), initializer=keras.initializers.Constant(parameter_free_dropout), **state
        )
        self.multipliers = self.add_weight(name="multipliers", shape=(len(penalty.names) if penalty else 0,), initializer="zeros", **state)
        self.drawn, self.drawn_expected = (
            [self.add_weight(name=f"{name}_{i}", shape=bank.shape, initializer="zeros", **state) for i, bank in enumerate(self.banks.banks)]
            for name in ("drawn", "drawn_expected")
        )
        self.draws = self.add_weight(name="draws", shape=(), initializer="zeros", **{**state, "dtype": "int32"})
        self._build_parts(channels, stem_channels)
        self._network = Network(space, self.banks, self.stems, self.cells, self.out, self._stem_pieces, self.compute_dtype)
        self.loss_tracker = keras.metrics.Mean(name="loss")
        self.held_out_tracker = keras.metrics.Mean(name="held_out_loss")
        self.dice = MeanDice(num_classes, ignore_label, name="dice")

    def _initial_alpha(self, shape, dtype=None):
        """No preference; random ones where they never learn, or the first candidate would win every edge."""
        if self.relaxation != UNIFORM:
            return tf.zeros(shape, dtype)
        rng = np.random.default_rng(np.random.SeedSequence([self.seed, 0xA7C4]))
        return tf.constant(rng.normal(0, 1e-3, shape), dtype)

    @property
    def _stem_pieces(self) -> int:
        """A stem's output comes in as many pieces as a cell's if it can, so that these can be summed one by one."""
        return math.gcd(len(self.space.placed[0].output), *(stem.width * self.stem_channels for stem in self.space.stems))

    def _build_cells(self, stem_channels: int, rng: np.random.Generator) -> list[MixedCell]:
        space, mixtures, aligns, cells = self.space, {}, {}, []
        pieces = [self._stem_pieces] * len(space.stems)
        for placed in space.placed:
            channels, own = space.node_channels(stem_channels, placed), {}
            for role, candidates in dict.fromkeys(map(signature_of, placed.edges)):
                key = (channels, role, candidates)
                if key not in mixtures:
                    mixtures[key] = self.mixture_class(
                        candidates, space.rank, channels, role, not self._low_memory, self._negligible, self.compute_dtype
                    )
                own[role, candidates] = mixtures[key]
            cells.append(MixedCell(placed, channels, pieces, own, aligns, self._low_memory, rng))
            pieces.append(len(placed.output))
        return cells

    def _build_parts(self, channels: int, stem_channels: int) -> None:
        dynamic = (None,) * (self.space.rank + 1)
        for stem in self.stems:
            stem.build((*dynamic, channels))
        for cell in self.cells:
            cell.build([(*dynamic, stem_channels * part.width) for own in cell.placed.inputs for part in own.alignments])
        (last,) = self.space.head.sources
        self.out.build((*dynamic, stem_channels * output_widths(self.space)[last]))
        self.built = True

    @property
    def weight_variables(self) -> list[keras.Variable]:
        """Θ: all trainable weights but α."""
        return [v for v in self.trainable_variables if not any(v is alpha for alpha in self.alpha)]

    def alpha_tables(self) -> dict[str, np.ndarray]:
        """α: table -> [rows, candidates]."""
        return self.banks.to_tables([keras.ops.convert_to_numpy(alpha) for alpha in self.alpha])

    def set_alpha(self, tables: Mapping[str, np.ndarray]) -> None:
        """Sets α from table -> [rows, candidates]."""
        for variable, matrix in zip(self.alpha, self.banks.from_tables(tables)):
            variable.assign(matrix)

    def draw(self) -> list[relax.Draw]:
        """The next draw for each bank, [rows, k]; differentiable in α. Advances `draws`."""
        seed = tf.stack([tf.constant(self.seed, tf.int32), tf.convert_to_tensor(self.draws)])
        self.draws.assign_add(1)
        drawn = [
            relax.draw(self.relaxation, tf.convert_to_tensor(alpha), tf.convert_to_tensor(self.temperature), seed_of_bank(seed, i))
            for i, alpha in enumerate(self.alpha)
        ]
        for bank, own, counts, expected in zip(self.banks.banks, drawn, self.drawn, self.drawn_expected):
            counts.assign_add(own.counts(len(bank.candidates)))
            expected.assign_add(own.inclusion)
        return drawn

    def _drop(self, drawn: list[relax.Draw]) -> list[relax.Draw]:
        """The last draw as training uses it."""
        if not self._drops:
            return drawn
        seed = tf.random.fold_in([tf.constant(self.seed, tf.int32), tf.convert_to_tensor(self.draws)], 1)
        rate = tf.convert_to_tensor(self.drop_rate)
        return [
            relax.drop_parameter_free(own, bank.candidates, rate, seed_of_bank(seed, i))
            for i, (bank, own) in enumerate(zip(self.banks.banks, drawn))
        ]

    def _masks(self, drawn: list[relax.Draw]) -> list[list[tf.Tensor]] | None:
        """For each cell and edge what path dropout multiplies the last draw's weights with: a function of (seed, draws, edge)."""
        if not self._path_dropout:
            return None
        seed, masks = tf.random.fold_in([tf.constant(self.seed, tf.int32), tf.convert_to_tensor(self.draws)], 2), []
        for cell in self.space.placed:
            own, places = tf.random.fold_in(seed, cell.number), [self.banks.place_of(edge) for edge in cell.edges]
            found: dict[int, tf.Tensor] = {}
            for i, (bank, draw) in enumerate(zip(self.banks.banks, drawn)):
                edges = [e for e, (number, _) in enumerate(places) if number == i]
                if not edges:
                    continue
                of_edges = dataclasses.replace(draw, operations=tf.gather(draw.operations, [places[e][1] for e in edges]))
                masks_of_bank = relax.path_masks(of_edges, bank.candidates, self._path_dropout, seed_of_bank(own, i))
                found |= dict(zip(edges, tf.unstack(masks_of_bank, len(edges))))
            masks.append([found[e] for e in range(len(places))])
        return masks

    def forward(
        self,
        images: tf.Tensor,
        draws: Sequence[relax.Draw],
        learn: Collection[str] = (),
        masks: Sequence[Sequence[tf.Tensor]] | None = None,
    ) -> tf.Tensor:
        """Logits [batch, *space, num_classes] under a draw for each bank; `learn` says which gradients will be asked for.

        `masks` are, of each cell and edge, what the draw's weights are multiplied with.
        """
        return self.doubled(self._network(images, draws, learn, masks))

    def doubled(self, logits: tf.Tensor) -> tf.Tensor:
        """The logits of a head at a coarser level as they are compared with labels."""
        return self._doubled(logits) if self._doubled else logits

    def call(self, images):
        return self.forward(images, [relax.strongest(tf.convert_to_tensor(alpha)) for alpha in self.alpha])

    def compile(
        self,
        weights_optimizer: keras.Optimizer,
        alpha_optimizer: keras.Optimizer,
        loss: keras.Loss,
        accumulate: int = 1,
        weights_decay: float = 0.0,
        alpha_decay: float = 0.0,
        **kwargs,
    ):
        """Sets the two optimizers and the loss (labels [batch, *space], logits) of both levels.

        In float16 each level scales its loss for itself.

        Args:
            weights_optimizer, alpha_optimizer: built here.
            loss: a mean over items.
            accumulate: slices that a device computes its share of a batch in, one after the other, under one draw: the same update
                with less memory.
            weights_decay, alpha_decay: times Θ and α, are added to their gradients (L2).
            **kwargs: of `keras.Model.compile`.
        """
        super().compile(optimizer=weights_optimizer, jit_compile=False, **kwargs)
        if self.dtype_policy.name == "mixed_float16" and not isinstance(alpha_optimizer, keras.optimizers.LossScaleOptimizer):
            alpha_optimizer = scaled(alpha_optimizer, FLOAT16)  # as Keras does to the other
        self.alpha_optimizer, self.loss_function, self.accumulate = alpha_optimizer, loss, accumulate
        self.weights_decay, self.alpha_decay = weights_decay, alpha_decay
        self.optimizer.build(self.weight_variables)
        alpha_optimizer.build(self.alpha)

    @property
    def learns_alpha(self) -> bool:
        """Whether a train step has its second half."""
        return self.phase == SEARCH and self.relaxation != UNIFORM

    def train_step(self, data):
        """One alternation (SCNAS section 2.2): Θ on the training batch, then α on the held-out batch.

        Returns:
            The running means of both losses, without the penalty; only the first where α doesn't learn.
        """
        (images, labels), (held_out_images, held_out_labels) = data
        loss, gradients = self.weights_gradient(images, labels)
        gradients = regularize(self.optimizer, gradients, self.weight_variables, self.weights_decay, None)
        apply_gradients(self.optimizer, gradients, self.weight_variables)
        self.loss_tracker.update_state(self._of_all_replicas(loss))
        if not self.learns_alpha:
            return {"loss": self.loss_tracker.result()}
        held_out_loss, gradients = self.alpha_gradient(held_out_images, held_out_labels)
        gradients = regularize(self.alpha_optimizer, gradients, self.alpha, self.alpha_decay, None)
        apply_gradients(self.alpha_optimizer, gradients, self.alpha)
        self.held_out_tracker.update_state(self._of_all_replicas(held_out_loss))
        if self.penalty:
            excess = self.penalty.excess(self._alpha_tensors())
            self.multipliers.assign(self.penalty.raised(tf.convert_to_tensor(self.multipliers), excess))
        return {"loss": self.loss_tracker.result(), "held_out_loss": self.held_out_tracker.result()}

    def weights_gradient(self, images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Loss under a new draw, and its gradient with respect to Θ as the optimizer takes it.

        Both are the replica's share: they add up to those of the whole batch. An optimizer that scales losses gets a
        gradient scaled alike.
        """
        drawn = self._drop(self.draw())
        return self._gradient(images, labels, drawn, self.weight_variables, (WEIGHTS,), self.optimizer)

    def alpha_gradient(self, images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """The same with respect to α, whose gradient has the penalty's in it."""
        alpha = [v.value for v in self.alpha]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(alpha)
            drawn = self._drop(self.draw())
            weights = [own.weights for own in drawn]
            penalty = scaled_loss(self.alpha_optimizer, self._penalty_share())
        loss, gradients = self._gradient(images, labels, drawn, [], (ALPHA,), self.alpha_optimizer)
        return loss, tape.gradient([*weights, penalty], alpha, [*gradients, tf.ones(())])

    def _gradient(self, images, labels, drawn, variables, learn, optimizer):
        """Loss, and the gradient with respect to variables, or to the weights of the draw if there are none."""
        slices, masks = count_slices(images.shape[0], self.accumulate), self._masks(drawn)

        def compute(images, labels):
            weights = [tf.identity(own.weights) for own in drawn]
            wanted = [v.value for v in variables] or weights
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(wanted)
                draws = [dataclasses.replace(own, weights=weight) for own, weight in zip(drawn, weights)]
                loss = self.loss_function(labels, self.forward(images, draws, learn, masks)) / slices
                objective = scaled_loss(optimizer, loss)
            return loss, *tape.gradient(objective, wanted)

        shapes = [(), *(wanted.shape for wanted in variables or [own.weights for own in drawn])]
        loss, *gradients = over_slices(compute, (images, labels), slices, shapes)
        return loss, gradients

    def _penalty_share(self) -> tf.Tensor:
        total, alpha = tf.zeros(()), self._alpha_tensors()
        if self.penalty:
            total += tf.reduce_sum(tf.convert_to_tensor(self.multipliers) * tf.nn.relu(self.penalty.excess(alpha)))
        if self.plain_penalty:
            total += self.plain_penalty(alpha)
        return total / _replicas()

    def _alpha_tensors(self) -> list[tf.Tensor]:
        return [tf.convert_to_tensor(alpha) for alpha in self.alpha]

    @staticmethod
    def _of_all_replicas(loss: tf.Tensor) -> tf.Tensor:
        """A replica's loss on the scale of one device: Keras' losses divide by the number of replicas."""
        return loss * _replicas()

    def test_step(self, data):
        """Loss and Dice of a drawn network on a batch (images, labels)."""
        images, labels = data
        drawn, slices = self.draw(), count_slices(images.shape[0], self.accumulate)

        def compute(images, labels):
            logits = self.forward(images, drawn)
            self.dice.update_state(labels, logits)
            return [self.loss_function(labels, logits) / slices]

        (loss,) = over_slices(compute, (images, labels), slices, [()])
        self.loss_tracker.update_state(self._of_all_replicas(loss))
        return {"loss": self.loss_tracker.result(), "dice": self.dice.result()}


def seed_of_bank(seed: tf.Tensor, number: int) -> tf.Tensor:
    """The seed of a bank's draw."""
    return tf.random.fold_in(seed, number) if number else seed


def _replicas() -> int:
    return tf.distribute.get_strategy().num_replicas_in_sync
