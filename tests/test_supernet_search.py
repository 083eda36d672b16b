"""The supernet's two steps, and what is derived from its alpha."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from some_spaces import LEVEL, SCNAS, SMALL, TINY, alpha_shape, kinds, tables

from scnas_keras.machine.precision import scaled
from scnas_keras.spaces.cost import cost_tables
from scnas_keras.spaces.derive import derive
from scnas_keras.spaces.description import Cell, CellEdge, Head, Input, Place, Table
from scnas_keras.spaces.space import SearchSpace
from scnas_keras.supernet import supernet as module
from scnas_keras.supernet.penalty import CostPenalty
from scnas_keras.supernet.supernet import Supernet
from scnas_keras.training.losses import JaccardLoss

RANKS = [pytest.param(2, marks=pytest.mark.nightly), 3]


def sizes(rank):
    return (1, *[8] * rank)


def batch(seed, rank=3):
    rng = np.random.default_rng(seed)
    return tf.constant(rng.normal(size=(*sizes(rank), 2)), tf.float32), tf.constant(rng.integers(0, 3, sizes(rank)), tf.int32)


def small_supernet(space=SMALL, rank=3, **options):
    keras.utils.set_random_seed(0)
    supernet = Supernet(dataclasses.replace(space, rank=rank), 2, 3, 8, **options)
    supernet.compile(keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.1), JaccardLoss())
    return supernet


@pytest.fixture(scope="module", params=RANKS)
def gradients(request):
    """Both gradients of one supernet, and the draws that they belong to."""
    rank = request.param
    supernet = small_supernet(rank=rank, seed=3)
    seen = []
    draw = supernet.draw
    supernet.draw = lambda: seen.append(draw()) or seen[-1]

    @tf.function(autograph=False)
    def run():
        weights = supernet.weights_gradient(*batch(0, rank))[1]
        (alpha,) = supernet.alpha_gradient(*batch(1, rank))[1]
        return weights, alpha, [draw.operations for (draw,) in seen]

    return supernet, *run()


def test_every_variable_has_one_owner(gradients):
    supernet = gradients[0]
    weights = supernet.weight_variables
    assert len(weights) + 1 == len(supernet.trainable_variables) and len(supernet.alpha) == 1
    assert not any(v is supernet.alpha[0] for v in weights)
    assert {v.name for v in supernet.non_trainable_variables} >= {"temperature", "draws"}


def test_only_drawn_operations_have_weight_gradients(gradients):
    supernet, weights, _, (operations, _) = gradients
    by_id = {id(v): g for v, g in zip(supernet.weight_variables, weights)}
    for cell in supernet.cells:
        rows = cell.edge_parameters([by_id[id(matrix)] for matrix in cell.parameters.values()])
        for e, (row, edge) in enumerate(zip(rows, cell.placed.edges, strict=True)):
            drawn = operations.numpy()[supernet.banks.place_of(edge)[1]]
            for operation in range(8):
                part = row.numpy()[cell.mixture(e).operation_slice(operation)]
                assert part.size == 0 or bool(np.any(part)) == (operation in drawn), (cell.name, edge, operation)


def test_exactly_the_two_drawn_alphas_learn_with_opposite_signs(gradients):
    _, _, alpha, (_, operations) = gradients
    gradient, operations = alpha.numpy().copy(), operations.numpy()
    pair = np.take_along_axis(gradient, operations, -1)
    np.testing.assert_array_equal(pair[..., 0], -pair[..., 1])
    assert np.all(pair != 0)
    np.put_along_axis(gradient, operations, 0, -1)
    assert not gradient.any()


@pytest.mark.parametrize("rank", RANKS)
def test_each_step_leaves_the_other_level_alone(rank):
    supernet = small_supernet(LEVEL, rank)
    before = [np.array(v) for v in supernet.trainable_variables]

    def changed():
        return {v.path for v, old in zip(supernet.trainable_variables, before) if np.any(np.array(v) != old)}

    weights_gradient = tf.function(lambda: supernet.weights_gradient(*batch(0, rank))[1], autograph=False)
    supernet.optimizer.apply(weights_gradient(), supernet.weight_variables)
    (alpha,) = supernet.alpha
    assert changed() and alpha.path not in changed()
    before = [np.array(v) for v in supernet.trainable_variables]
    alpha_gradient = tf.function(lambda: supernet.alpha_gradient(*batch(1, rank))[1], autograph=False)
    supernet.alpha_optimizer.apply(alpha_gradient(), supernet.alpha)
    assert changed() == {alpha.path}


@pytest.mark.parametrize("rank", [pytest.param(2, marks=pytest.mark.nightly), 3])
def test_a_step_learns_weights_on_the_first_batch_and_alpha_on_the_second(rank):
    stepped, by_hand = small_supernet(LEVEL, rank), small_supernet(LEVEL, rank)
    shown = tf.function(lambda: stepped.train_step((batch(0, rank), batch(1, rank))), autograph=False)()

    @tf.function(autograph=False)
    def steps():
        loss, gradients = by_hand.weights_gradient(*batch(0, rank))
        by_hand.optimizer.apply(gradients, by_hand.weight_variables)
        held_out_loss, gradients = by_hand.alpha_gradient(*batch(1, rank))
        by_hand.alpha_optimizer.apply(gradients, by_hand.alpha)
        return loss, held_out_loss

    np.testing.assert_allclose([shown["loss"], shown["held_out_loss"]], steps(), rtol=1e-5)
    assert np.any(np.array(stepped.alpha[0]))
    for ours, theirs in zip(stepped.trainable_variables, by_hand.trainable_variables):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("rank", RANKS)
def test_loss_scales_change_nothing_and_the_penalty_moves_alpha(rank):
    """Scales are powers of two: a step with them equals one without, on both levels."""
    level = dataclasses.replace(LEVEL, rank=rank)
    penalty = CostPenalty(cost_tables(level, 8, (8,) * rank, 2, 3), {"parameters": 1500 if rank == 2 else 2000})

    def learned(scale, price):
        keras.utils.set_random_seed(0)
        supernet = Supernet(level, 2, 3, 8, penalty=penalty)
        optimizers = [scaled(keras.optimizers.SGD(0.1), "float16" if scale else "none") for _ in range(2)]
        supernet.compile(*optimizers, JaccardLoss())
        supernet.multipliers.assign([price])
        tf.function(lambda: supernet.train_step((batch(0, rank), batch(1, rank))), autograph=False)()
        after = penalty.excess([tf.convert_to_tensor(supernet.alpha[0])])
        np.testing.assert_allclose(supernet.multipliers, penalty.raised(tf.constant([price]), after), rtol=1e-6)
        return np.array(supernet.alpha[0]), [np.array(v) for v in supernet.trainable_variables]

    with tf.GradientTape() as tape:
        start = tf.zeros((4, 4))
        tape.watch(start)
        excess = tf.reduce_sum(penalty.excess([start]))
    assert excess > 0
    (plain, weights), (_, with_scale), (unpriced, _) = learned(False, 0.5), learned(True, 0.5), learned(False, 0.0)
    for ours, theirs in zip(weights, with_scale):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(plain - unpriced, -0.1 * 0.5 * tape.gradient(excess, start), rtol=1e-3, atol=1e-6)


def test_replicas_share_the_penalty_and_below_its_target_there_is_none(monkeypatch):
    tables, alpha = cost_tables(LEVEL, 8, (8, 8, 8), 2, 3), tf.zeros((4, 4))
    dear, cheap = (CostPenalty(tables, {"parameters": target}) for target in (2000.0, 1e9))
    for penalty, expected in ((dear, 0.5 * float(dear.excess([alpha])[0])), (cheap, 0.0)):
        supernet = Supernet(LEVEL, 2, 3, 8, penalty=penalty)
        supernet.multipliers.assign([0.5])
        for replicas in (1, 4):
            monkeypatch.setattr(module, "_replicas", lambda count=replicas: count)
            np.testing.assert_allclose(supernet._penalty_share(), expected / replicas, rtol=1e-6)
    assert dear.excess([alpha])[0] > 0 > cheap.excess([alpha])[0]


def test_both_levels_drop_pools_and_identities_and_validation_none():
    """Drawn weights sum to one on an edge unless some were dropped. What nobody annotated is no part of a validation's Dice."""
    supernet = Supernet(LEVEL, 2, 3, 8, parameter_free_dropout=0.9, ignore_label=255)
    supernet.compile(keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.1), JaccardLoss(ignore_label=255))
    drawn = []
    supernet._gradient = lambda images, labels, draws, *_: drawn.append(draws) or (tf.zeros(()), [tf.ones_like(d.weights) for d in draws])
    for level in (supernet.weights_gradient, supernet.alpha_gradient):
        for _ in range(4):
            level(*batch(0))
        assert any(np.any(np.abs(tf.reduce_sum(draw.weights, -1) - 1) > 0.1) for draws in drawn for draw in draws)
        drawn.clear()
    logits = tf.random.stateless_normal((*sizes(3), 3), (1, 2))
    supernet.forward = lambda images, draws: drawn.append(draws) or logits
    annotated = np.random.default_rng(0).random(sizes(3)) < 0.5
    for _ in range(4):
        results = supernet.test_step((batch(0)[0], tf.constant(np.where(annotated, tf.argmax(logits, -1), 255))))
        np.testing.assert_allclose([tf.reduce_sum(draw.weights, -1) for draw in drawn[-1]], 1, rtol=1e-6)
    assert results["dice"] == 1


def test_banks_draw_apart():
    """Two tables of different candidates, four each: they don't draw alike."""
    tables = Table("one", LEVEL.operations, 6), Table("other", LEVEL.operations[::-1], 6)
    cells = [Cell(name, 1, tuple(CellEdge(0, 1 + row, name, row) for row in range(6)), (1, 2, 3, 4, 5, 6)) for name in ("one", "other")]
    places = Place("one", (Input((0,)),), 0), Place("other", (Input((1,)),), 0)
    supernet = Supernet(SearchSpace("two", 2, tables, tuple(cells), places, Head((2,))), 1, 2, 6, seed=2)
    one, other = (draw.operations for draw in supernet.draw())
    assert one.shape == other.shape == (6, 2) and np.any(one != other)


@pytest.mark.parametrize("rank", RANKS)
def test_fit_alternates_and_learns(rank):
    supernet, images = small_supernet(TINY, rank), batch(0, rank)
    supernet.optimizer.learning_rate = 1.0
    data = tf.data.Dataset.from_tensors((images, images)).repeat()
    history = supernet.fit(data, epochs=3, steps_per_epoch=8, verbose=0, validation_data=tf.data.Dataset.from_tensors(images))
    loss = history.history["loss"]
    assert loss[-1] < loss[0] and {"held_out_loss", "val_loss", "val_dice"} <= set(history.history)
    assert int(supernet.draws) == 3 * (2 * 8 + 1)
    assert np.any(np.array(supernet.alpha[0]))


@pytest.mark.parametrize("rank", RANKS)
def test_gradients_do_not_depend_on_what_is_kept(rank):
    results = []
    for keep in (True, False):
        supernet = small_supernet(TINY, rank, low_memory=not keep)
        results.append(tf.function(lambda s=supernet: s.weights_gradient(*batch(0, rank)), autograph=False)())
    for ours, theirs in zip(*map(tf.nest.flatten, results)):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("rank", RANKS)
def test_softmax_relaxation_trains_all_operations(rank):
    supernet = small_supernet(TINY, rank, relaxation="softmax")
    gradient = tf.function(lambda: supernet.alpha_gradient(*batch(0, rank))[1][0], autograph=False)().numpy()
    assert np.mean(gradient != 0) > 0.95
    np.testing.assert_allclose(gradient.sum(-1), 0, atol=1e-5)


def test_derive_keeps_the_argmax():
    alpha = np.random.default_rng(0).normal(size=alpha_shape(SCNAS))
    alpha[..., SCNAS.operations.index("zero")] = -9
    genotype = derive(SCNAS, tables(SCNAS, alpha))
    probabilities = np.exp(alpha) / np.exp(alpha).sum(-1, keepdims=True)
    for kind, table in zip(kinds(SCNAS), probabilities, strict=True):
        for row, edge in zip(table, genotype.cells[kind]):
            assert SCNAS.operations.index(edge.operation) == row.argmax()
            assert edge.probability == pytest.approx(row.max(), abs=1e-5)
    assert genotype.notes == ()


def test_derive_sees_the_smallest_lead():
    alpha = np.zeros(alpha_shape(SCNAS), np.float32)
    alpha[..., 3] = 1e-9
    assert {edge.operation for cell in derive(SCNAS, tables(SCNAS, alpha)).cells.values() for edge in cell} == {SCNAS.operations[3]}


def test_derive_removes_zero_edges_and_restores_dead_nodes():
    alpha = np.zeros(alpha_shape(SCNAS))
    zero, conv = SCNAS.operations.index("zero"), SCNAS.operations.index("conv_3")
    alpha[..., conv] = 1
    alpha[0, :, zero] = 5  # all of the first kind's edges
    alpha[0, 3, SCNAS.operations.index("max_pool_3")] = 2  # edge 1 -> 3, the best that is not zero into node 3
    alpha[1, 0, zero] = 5  # one of two edges into node 2: stays absent
    genotype = derive(SCNAS, tables(SCNAS, alpha))
    first, second = (genotype.cells[kind] for kind in kinds(SCNAS)[:2])
    alive = {(edge.source, edge.target): edge.operation for edge in first if edge.operation is not None}
    assert len(alive) == 4 and {target for _, target in alive} == {2, 3, 4, 5}
    assert alive[1, 3] == "max_pool_3"
    assert len(genotype.notes) == 4 and "restored 1->3 as max_pool_3" in genotype.notes[1]
    assert second[0].operation is None
