"""The supernet's written-out passes against automatic differentiation of the whole network."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from some_spaces import FLAT, OPERATIONS, SMALL, TINY
from test_supernet_search import batch

from scnas_keras.spaces.catalog import nas_unet
from scnas_keras.spaces.description import Cell, CellEdge, Head, Input, Place, Stem, Table
from scnas_keras.spaces.light_shape import light_chain, light_u
from scnas_keras.spaces.space import SearchSpace
from scnas_keras.spaces.u_shape import DECODER, ENCODER, EXPANSION, REDUCTION, u_shaped
from scnas_keras.supernet.mixture import ALPHA, WEIGHTS
from scnas_keras.supernet.plain_penalty import PlainPenalty
from scnas_keras.supernet.reference import reference_forward
from scnas_keras.supernet.relaxation import Draw
from scnas_keras.supernet.supernet import Supernet
from scnas_keras.training.losses import JaccardLoss

DEEP = u_shaped("deep", 3, OPERATIONS, 2, (REDUCTION, ENCODER, REDUCTION, ENCODER, EXPANSION, DECODER, EXPANSION, DECODER))

TINY_FLAT = u_shaped("tiny", 2, TINY.operations, 1, (REDUCTION, ENCODER, EXPANSION, DECODER))
MANY = ("conv_3", "dilated_conv_3_rate_2", "max_pool_3", "zero")


def odd_space():
    """Two stems; a kind with one input, one whose output leaves a node out, one that both halves and doesn't; two share a table."""
    chain = Cell("chain", 1, (CellEdge(0, 1, "shared", 0), CellEdge(0, 2, "shared", 1), CellEdge(1, 2, "few", 0)), (1, 2))
    pairs = [(0, 2), (1, 2), (0, 3), (1, 3), (2, 3)]
    tables_and_rows = [("shared", 1), ("few", 1), ("shared", 2), ("few", 0), ("shared", 0)]
    partly = Cell("partly", 2, tuple(CellEdge(*pair, *row) for pair, row in zip(pairs, tables_and_rows)), (3,))
    places = (
        Place("chain", (Input((0, 1), join="concat"),), 0),  # output 2
        Place("partly", (Input((0,), level=0), Input((0, 2), level=0)), 1),  # 3: its edges halve
        Place("partly", (Input((2,)), Input((3,))), 1),  # 4: its first input is halved
        Place("chain", (Input((3, 4), join="concat", level=0),), 0),  # 5: its input is doubled
        Place("partly", (Input((2, 5, 0)), Input((1, 5), join="concat")), 0),  # 6
        Place("partly", (Input((6, 5)), Input((4, 3), level=0)), 0),  # 7: one piece and two are summed
    )
    tables = Table("shared", MANY, 3), Table("few", ("conv_3", "average_pool_3", "identity"), 2)
    return SearchSpace("odd", 3, tables, (chain, partly), places, Head((7,)), (Stem(), Stem(width=2)))


ODD = odd_space()
LIGHT = light_u("light", 2, 2, 2, ("separable_conv_3", "max_pool_3", "identity", "zero"), 1)
"""Sources over two levels, to halve and to double, and some of several levels."""
CHAIN = light_chain("chain", 3, 4, TINY.operations, 1)


def doubling_space():
    """A small NAS-Unet: two stems, of which one halves, edges that halve and edges that double."""
    space = nas_unet.build(2, nodes=2, depth=1)
    normal = next(table for table in space.tables if table.name == "normal")
    narrow = tuple(name for name in normal.candidates if "group" not in name)  # which needs 16 channels
    return dataclasses.replace(space, tables=(*space.tables[:2], dataclasses.replace(normal, candidates=narrow)))


DOUBLING = doubling_space()


def random_draws(supernet, k, seed):
    """For each bank operations [rows, k], all in order if a bank has no more than k, and weights."""
    rng, draws = np.random.default_rng(seed), []
    for bank in supernet.banks.banks:
        rows, count = bank.shape
        drawn = [np.arange(count) if k >= count else rng.permutation(count)[:k] for _ in range(rows)]
        draws.append((np.array(drawn, np.int32), tf.constant(rng.dirichlet(np.ones(min(k, count)), rows), tf.float32)))
    return draws


@pytest.mark.parametrize(
    "space, k, low_memory",
    [
        pytest.param(TINY, 2, False, id="tiny-pair"),
        pytest.param(TINY_FLAT, 2, True, id="two axes-low_memory"),
        pytest.param(TINY, 4, False, id="tiny-all"),
        pytest.param(LIGHT, 2, False, id="light"),
        pytest.param(LIGHT, 4, True, id="light-all-low_memory", marks=pytest.mark.nightly),
        pytest.param(CHAIN, 2, True, id="chain-low_memory"),
        pytest.param(DOUBLING, 2, False, id="doubling"),
        pytest.param(DOUBLING, 7, True, id="doubling-all-low_memory", marks=pytest.mark.nightly),
        pytest.param(ODD, 2, True, id="odd-low_memory", marks=pytest.mark.nightly),
        pytest.param(SMALL, 2, False, id="pair", marks=pytest.mark.nightly),
        pytest.param(SMALL, 2, True, id="pair-low_memory", marks=pytest.mark.nightly),
        pytest.param(SMALL, 8, False, id="all", marks=pytest.mark.nightly),
        pytest.param(FLAT, 2, True, id="two axes-eight operations-low_memory", marks=pytest.mark.nightly),
        pytest.param(FLAT, 8, False, id="two axes-all", marks=pytest.mark.nightly),
        pytest.param(DEEP, 2, True, id="deep-low_memory", marks=pytest.mark.nightly),
        pytest.param(ODD, 8, False, id="odd-all", marks=pytest.mark.nightly),
    ],
)
def test_gradients_equal_automatic_differentiation(space, k, low_memory):
    keras.utils.set_random_seed(1)
    supernet = Supernet(space, 2, 3, 8, low_memory=low_memory)
    draws = random_draws(supernet, k, 0)
    shares = [weights for _, weights in draws]
    images = batch(3)[0] if space.rank == 3 else batch(3)[0][:, 0]
    variables = [v.value for v in supernet.weight_variables]

    def gradients(forward, targets):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(targets)
            logits = forward()
            score = tf.reduce_sum(tf.sin(logits))
        return logits, tape.gradient(score, targets, unconnected_gradients="zero")

    @tf.function(autograph=False)
    def ours(drawn):
        results, own = [], [Draw(*pair) for pair in zip(drawn, shares)]
        for learn, targets in ((WEIGHTS, variables), (ALPHA, shares)):
            logits, found = gradients(lambda learn=learn: supernet.forward(images, own, (learn,)), targets)
            results.extend(found)
        return logits, results

    known = [Draw(operations.tolist(), weights) for operations, weights in draws]
    expected_logits, expected = tf.function(
        lambda: gradients(lambda: reference_forward(supernet, images, known), [*variables, *shares]), autograph=False
    )()
    logits, found = ours([tf.constant(operations) for operations, _ in draws])
    np.testing.assert_allclose(logits, expected_logits, rtol=1e-3, atol=1e-4)
    for variable, a, b in zip([*supernet.weight_variables, *shares], found, expected, strict=True):
        scale = max(np.abs(b).max(), 1e-3)
        np.testing.assert_allclose(a / scale, b / scale, atol=3e-3, err_msg=str(variable.shape))


@pytest.mark.parametrize(
    "policy, low_memory",
    [
        ("mixed_float16", True),
        pytest.param("mixed_float16", False, marks=pytest.mark.nightly),
        pytest.param("mixed_bfloat16", False, marks=pytest.mark.nightly),
    ],
)
def test_a_light_network_takes_a_step_of_lower_precision(policy, low_memory):
    """With all that the paper's search has: path dropout, a plain penalty, decay."""
    keras.utils.set_random_seed(1)
    penalty = PlainPenalty(LIGHT, 0.015, 0.005)
    supernet = Supernet(LIGHT, 2, 3, 8, low_memory=low_memory, plain_penalty=penalty, path_dropout=0.3, dtype=policy)
    supernet.compile(keras.optimizers.SGD(0.005, 0.9), keras.optimizers.Adam(6e-4), JaccardLoss(), weights_decay=3e-4, alpha_decay=1e-3)
    images, labels = batch(3)
    pair = images[:, 0], labels[:, 0]
    before = [np.array(variable) for variable in (*supernet.weight_variables, *supernet.alpha)]
    values = tf.function(lambda: supernet.train_step((pair, pair)), autograph=False)()
    assert all(np.isfinite(value) for value in values.values())
    after = [np.array(variable) for variable in (*supernet.weight_variables, *supernet.alpha)]
    assert all(np.isfinite(one).all() for one in after)
    if policy == "mixed_bfloat16":  # float16 may begin with a loss scale that is too large, and take no step
        assert all((one != other).any() for one, other in zip(before[:1] + before[-1:], after[:1] + after[-1:]))


def test_a_stem_that_the_nodes_do_not_divide():
    """Four channels before a cell of three nodes."""
    cell = Cell("three", 1, tuple(CellEdge(0, node, "all", node - 1) for node in (1, 2, 3)), (1, 2, 3))
    place = Place("three", (Input((0,)),), 0, width=3)
    supernet = Supernet(SearchSpace("three", 2, (Table("all", ("conv_3", "identity"), 3),), (cell,), (place,), Head((1,))), 1, 2, 4)
    ((operations, weights),) = random_draws(supernet, 2, 0)
    images = tf.random.stateless_normal((1, 8, 8, 1), (0, 1))
    found = supernet.forward(images, [Draw(tf.constant(operations), weights)])
    np.testing.assert_allclose(found, reference_forward(supernet, images, [Draw(operations.tolist(), weights)]), rtol=1e-3, atol=1e-4)


def test_tables_of_equal_candidates_are_one_variable():
    tables, cell = (*ODD.tables, Table("more", MANY, 1)), Cell("more", 1, (CellEdge(0, 1, "more", 0),), (1,))
    few = SearchSpace("few", 3, tables, (*ODD.cells, cell), (*ODD.places, Place("more", (Input((7,)),), 0)), Head((8,)), ODD.stems)
    supernet = Supernet(few, 2, 3, 8)
    assert [tuple(alpha.shape) for alpha in supernet.alpha] == [(4, 4), (2, 3)]
    rng = np.random.default_rng(0)
    alpha = {table.name: rng.normal(size=(table.rows, len(table.candidates))).astype("float32") for table in few.tables}
    supernet.set_alpha(alpha)
    assert list(supernet.alpha_tables()) == ["shared", "few", "more"]
    for name, table in supernet.alpha_tables().items():
        np.testing.assert_array_equal(table, alpha[name])
    np.testing.assert_array_equal(supernet.alpha[0], np.concatenate([alpha["shared"], alpha["more"]]))


def test_bfloat16_computes_close_to_float32():
    logits = []
    for policy in ("float32", "mixed_bfloat16"):
        keras.utils.set_random_seed(1)
        supernet = Supernet(SMALL, 2, 3, 16, dtype=policy)
        ((operations, weights),) = random_draws(supernet, 2, 0)
        images, _ = batch(3)
        forward = tf.function(lambda drawn, s=supernet, i=images, w=weights: s.forward(i, [Draw(drawn, w)]), autograph=False)
        logits.append(forward(tf.constant(operations)).numpy())
    assert logits[1].dtype == np.float32
    assert np.abs(logits[1] - logits[0]).mean() < 0.05 * np.abs(logits[0]).mean()
