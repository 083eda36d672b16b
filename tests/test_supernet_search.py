"""The supernet's two steps, and what is derived from its logits."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from scnas_keras.machine.precision import scaled
from scnas_keras.spaces.cost import cost_tables
from scnas_keras.spaces.operations import OPERATIONS
from scnas_keras.spaces.space import DECODER, ENCODER, EXPANSION, REDUCTION, SCNAS, SearchSpace
from scnas_keras.supernet.derive import derive
from scnas_keras.supernet.penalty import CostPenalty
from scnas_keras.supernet.supernet import Supernet
from scnas_keras.training.losses import JaccardLoss

SMALL = SearchSpace("small", 3, tuple(OPERATIONS), 2, (REDUCTION, ENCODER, EXPANSION, DECODER))
PLAIN = SearchSpace("plain", 3, ("conv_3", "max_pool_3", "identity", "zero"), 1, (REDUCTION, ENCODER, EXPANSION, DECODER))
SHAPE = (1, 8, 8, 8)


def batch(seed):
    rng = np.random.default_rng(seed)
    return tf.constant(rng.normal(size=(*SHAPE, 2)), tf.float32), tf.constant(rng.integers(0, 3, SHAPE), tf.int32)


def small_supernet(**options):
    keras.utils.set_random_seed(0)
    supernet = Supernet(SMALL, 2, 3, 8, **options)
    supernet.compile(keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.1), JaccardLoss())
    return supernet


@pytest.fixture(scope="module")
def gradients():
    """Both gradients of one supernet, and the draws that they belong to."""
    supernet = small_supernet(seed=3)
    seen = []
    draw = supernet.draw
    supernet.draw = lambda: seen.append(draw()) or seen[-1]

    @tf.function(autograph=False)
    def run():
        weights = supernet.weights_gradient(*batch(0))[1]
        logits = supernet.logits_gradient(*batch(1))[1]
        return weights, logits, [draw.operations for draw in seen]

    return supernet, *run()


def test_every_variable_has_one_owner(gradients):
    supernet = gradients[0]
    weights = supernet.weight_variables
    assert len(weights) + 1 == len(supernet.trainable_variables)
    assert not any(v is supernet.logits for v in weights)
    assert {v.name for v in supernet.non_trainable_variables} >= {"temperature", "draws"}


def test_only_drawn_operations_have_weight_gradients(gradients):
    supernet, weights, _, (operations, _) = gradients
    by_id = {id(v): g for v, g in zip(supernet.weight_variables, weights)}
    for cell in supernet.cells:
        drawn = operations.numpy()[SMALL.kinds.index(cell.plan.kind)]
        rows = {stride: iter(by_id[id(matrix)].numpy()) for stride, matrix in cell.parameters.items()}
        for e, edge in enumerate(SMALL.edges):
            stride = cell.plan.stride(edge)
            row = next(rows[stride])
            mixture = cell.mixtures[stride]
            for operation in range(8):
                part = row[mixture.operation_slice(operation)]
                assert part.size == 0 or bool(np.any(part)) == (operation in drawn[e]), (cell.name, edge, operation)


def test_exactly_the_two_drawn_logits_learn_with_opposite_signs(gradients):
    _, _, logits, (_, operations) = gradients
    gradient, operations = logits.numpy().copy(), operations.numpy()
    pair = np.take_along_axis(gradient, operations, -1)
    np.testing.assert_array_equal(pair[..., 0], -pair[..., 1])
    assert np.all(pair != 0)
    np.put_along_axis(gradient, operations, 0, -1)
    assert not gradient.any()


def test_each_step_leaves_the_other_level_alone():
    supernet = small_supernet()
    before = [np.array(v) for v in supernet.trainable_variables]

    def changed():
        return {v.path for v, old in zip(supernet.trainable_variables, before) if np.any(np.array(v) != old)}

    weights_gradient = tf.function(lambda: supernet.weights_gradient(*batch(0))[1], autograph=False)
    supernet.optimizer.apply(weights_gradient(), supernet.weight_variables)
    assert changed() and supernet.logits.path not in changed()
    before = [np.array(v) for v in supernet.trainable_variables]
    logits_gradient = tf.function(lambda: supernet.logits_gradient(*batch(1))[1], autograph=False)
    supernet.logits_optimizer.apply([logits_gradient()], [supernet.logits])
    assert changed() == {supernet.logits.path}


def test_a_step_learns_weights_on_the_first_batch_and_logits_on_the_second():
    stepped, by_hand = small_supernet(), small_supernet()
    tf.function(lambda: stepped.train_step((batch(0), batch(1))), autograph=False)()

    @tf.function(autograph=False)
    def steps():
        gradients = by_hand.weights_gradient(*batch(0))[1]
        by_hand.optimizer.apply(gradients, by_hand.weight_variables)
        gradient = by_hand.logits_gradient(*batch(1))[1]
        by_hand.logits_optimizer.apply([gradient], [by_hand.logits])

    steps()
    assert np.any(np.array(stepped.logits))
    for ours, theirs in zip(stepped.trainable_variables, by_hand.trainable_variables):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_loss_scales_change_nothing_and_the_penalty_moves_the_logits():
    """Scales are powers of two: a step with them equals one without, on both levels."""
    penalty = CostPenalty(cost_tables(PLAIN, 8, (8, 8, 8), 2, 3), {"parameters": 2000})

    def learned(scale, price):
        keras.utils.set_random_seed(0)
        supernet = Supernet(PLAIN, 2, 3, 8, penalty=penalty)
        optimizers = [scaled(keras.optimizers.SGD(0.1), "float16" if scale else "none") for _ in range(2)]
        supernet.compile(*optimizers, JaccardLoss())
        supernet.multipliers.assign([price])
        tf.function(lambda: supernet.train_step((batch(0), batch(1))), autograph=False)()
        after = penalty.excess(tf.convert_to_tensor(supernet.logits))
        np.testing.assert_allclose(supernet.multipliers, penalty.raised(tf.constant([price]), after), rtol=1e-6)
        return np.array(supernet.logits), [np.array(v) for v in supernet.trainable_variables]

    with tf.GradientTape() as tape:
        start = tf.zeros((4, 2, 4))
        tape.watch(start)
        excess = tf.reduce_sum(penalty.excess(start))
    assert excess > 0
    (plain, weights), (_, with_scale), (unpriced, _) = learned(False, 0.5), learned(True, 0.5), learned(False, 0.0)
    for ours, theirs in zip(weights, with_scale):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(plain - unpriced, -0.1 * 0.5 * tape.gradient(excess, start), rtol=1e-3, atol=1e-6)


def test_fit_alternates_and_learns():
    supernet = small_supernet()
    supernet.optimizer.learning_rate = 1.0
    data = tf.data.Dataset.from_tensors((batch(0), batch(0))).repeat()
    history = supernet.fit(data, epochs=3, steps_per_epoch=8, verbose=0, validation_data=tf.data.Dataset.from_tensors(batch(0)))
    loss = history.history["loss"]
    assert loss[-1] < loss[0] and {"held_out_loss", "val_loss", "val_dice"} <= set(history.history)
    assert int(supernet.draws) == 3 * (2 * 8 + 1)
    assert np.any(np.array(supernet.logits))


def test_gradients_do_not_depend_on_what_is_kept():
    results = []
    for keep in (True, False):
        supernet = small_supernet(low_memory=not keep)
        results.append(tf.function(lambda s=supernet: s.weights_gradient(*batch(0)), autograph=False)())
    for ours, theirs in zip(*map(tf.nest.flatten, results)):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def test_softmax_relaxation_trains_all_operations():
    supernet = small_supernet(relaxation="softmax")
    gradient = tf.function(lambda: supernet.logits_gradient(*batch(0))[1], autograph=False)().numpy()
    assert np.mean(gradient != 0) > 0.95
    np.testing.assert_allclose(gradient.sum(-1), 0, atol=1e-5)


def test_derive_keeps_the_argmax():
    logits = np.random.default_rng(0).normal(size=(4, 14, 8))
    logits[..., SCNAS.operations.index("zero")] = -9
    genotype = derive(SCNAS, logits)
    probabilities = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    for kind, table in zip(SCNAS.kinds, probabilities):
        for row, edge in zip(table, genotype.cells[kind]):
            assert SCNAS.operations.index(edge.operation) == row.argmax()
            assert edge.probability == pytest.approx(row.max(), abs=1e-5)
    assert genotype.notes == ()


def test_derive_sees_the_smallest_lead():
    logits = np.zeros((4, 14, 8), np.float32)
    logits[..., 3] = 1e-9
    assert {edge.operation for cell in derive(SCNAS, logits).cells.values() for edge in cell} == {SCNAS.operations[3]}


def test_derive_removes_zero_edges_and_restores_dead_nodes():
    logits = np.zeros((4, 14, 8))
    zero, conv = SCNAS.operations.index("zero"), SCNAS.operations.index("conv_3")
    logits[..., conv] = 1
    logits[0, :, zero] = 5  # all of the first kind's edges
    logits[0, 3, SCNAS.operations.index("max_pool_3")] = 2  # edge 1 -> 3, the best that is not zero into node 3
    logits[1, 0, zero] = 5  # one of two edges into node 2: stays absent
    genotype = derive(SCNAS, logits)
    first = genotype.cells[SCNAS.kinds[0]]
    alive = {(edge.source, edge.target): edge.operation for edge in first if edge.operation != "zero"}
    assert len(alive) == 4 and {target for _, target in alive} == {2, 3, 4, 5}
    assert alive[1, 3] == "max_pool_3"
    assert len(genotype.notes) == 4 and "restored 1->3 as max_pool_3" in genotype.notes[1]
    assert genotype.cells[SCNAS.kinds[1]][0].operation == "zero"
