"""The price of fixed weights, and dropped paths: against enumeration, by hand and against automatic differentiation."""

import dataclasses
import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from some_spaces import TINY
from test_supernet_network import CHAIN, LIGHT, random_draws
from test_supernet_search import batch

from scnas_keras.errors import ConfigError
from scnas_keras.options import parse
from scnas_keras.search import SearchConfig, guards
from scnas_keras.search.checks import check, check_guards
from scnas_keras.spaces.cost import operation_costs
from scnas_keras.spaces.known import find_space
from scnas_keras.spaces.light_shape import light_chain, light_u
from scnas_keras.supernet.banks import Banks
from scnas_keras.supernet.mixture import ALPHA, WEIGHTS
from scnas_keras.supernet.plain_penalty import PlainPenalty
from scnas_keras.supernet.relaxation import Draw, path_masks
from scnas_keras.supernet.supernet import Supernet

PAPER = {
    "dilated_conv_3_rate_2": (1.41, 1.34),
    "separable_conv_3": (2.81, 2.68),
    "ghost_conv": (0.74, 0.67),
    "selective_kernel_conv_3": (2.44, 0.65),
    "shuffled_group_conv_3": (0.30, 0.20),
}
"""Table 1: thousand parameters, million multiply-adds."""


def random_alpha(space, seed):
    rng = np.random.default_rng(seed)
    return {table.name: rng.normal(size=(table.rows, len(table.candidates))).astype(np.float32) for table in space.tables}


def test_prices_are_those_of_table_1():
    for name, cost in operation_costs(find_space("light", 2), 32, (32, 32)).items():
        parameters, multiply_adds = PAPER.get(name, (0, 0))
        within = 0.1 if name == "selective_kernel_conv_3" else 0.03
        assert cost.parameters / 1e3 == pytest.approx(parameters, rel=within)
        if name == "selective_kernel_conv_3":
            assert cost.multiply_adds / 1e6 == pytest.approx(multiply_adds, rel=within)
        else:
            assert int(cost.multiply_adds / 1e4) in (
                round(100 * multiply_adds),
                round(100 * multiply_adds) - 1,
            )  # some are cut, some rounded


def test_the_penalty_is_the_mean_over_all_architectures():
    """Two edges a cell, each with four candidates, independent of each other; seven cells have them."""
    space = light_u("tiny", 2, 2, 3, ("separable_conv_3", "ghost_conv", "identity", "zero"), 1)
    costs, alpha = operation_costs(space, 32, (32, 32)), random_alpha(space, 0)["shared"]
    names, expected = space.table("shared").candidates, 0.0
    chances = np.exp(alpha) / np.exp(alpha).sum(-1, keepdims=True)
    for choice in itertools.product(range(4), repeat=2):
        own = [costs[names[c]] for c in choice]
        price = 7 * sum(0.02 * cost.parameters / 1e3 + 0.01 * cost.multiply_adds / 1e6 for cost in own)
        expected += chances[0, choice[0]] * chances[1, choice[1]] * price
    found = PlainPenalty(space, 0.02, 0.01)([tf.constant(alpha)])
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("space", [LIGHT, CHAIN, TINY], ids=lambda space: space.name)
def test_its_gradient_is_the_analytic_one(space):
    """p (c - E[c]) of a softmax p, times how often a row stands in the network."""
    tables = random_alpha(space, 1)
    alpha = [tf.constant(matrix) for matrix in Banks(space).from_tables(tables)]
    penalty = PlainPenalty(space, 0.3, 0.2)
    with tf.GradientTape() as tape:
        tape.watch(alpha)
        value = penalty(alpha)
    found = Banks(space).to_tables([gradient.numpy() for gradient in tape.gradient(value, alpha)])
    costs = operation_costs(space, 32, (32, 32, 1)[: space.rank])
    for table in space.tables:
        price = np.array([0.3 * costs[name].parameters / 1e3 + 0.2 * costs[name].multiply_adds / 1e6 for name in table.candidates])
        for row in range(table.rows):
            stands = sum(edge.table == table.name and edge.row == row for cell in space.placed for edge in cell.edges)
            chances = np.exp(tables[table.name][row]) / np.exp(tables[table.name][row]).sum()
            np.testing.assert_allclose(found[table.name][row], stands * chances * (price - chances @ price), rtol=1e-4, atol=1e-6)


def test_alpha_learns_it_and_nothing_else_does():
    """The gradient with the penalty is that without, plus its own."""
    images, labels = batch(3)
    gradients = []
    for penalty in (None, PlainPenalty(TINY, 0.5, 0.25)):
        keras.utils.set_random_seed(1)
        supernet = Supernet(TINY, 2, 3, 8, plain_penalty=penalty)
        supernet.compile(keras.optimizers.Adam(), keras.optimizers.Adam(), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        supernet.alpha[0].assign(np.random.default_rng(0).normal(size=supernet.alpha[0].shape))
        loss, (gradient,) = tf.function(supernet.alpha_gradient, autograph=False)(images, labels)
        gradients.append((float(loss), gradient.numpy()))
    with tf.GradientTape() as tape:
        value = supernet.plain_penalty([v.value for v in supernet.alpha])
    np.testing.assert_allclose(gradients[0][0], gradients[1][0], rtol=1e-5)
    own = tape.gradient(value, supernet.alpha[0].value)
    np.testing.assert_allclose(gradients[1][1] - gradients[0][1], own, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    "flags, message",
    [
        ({"penalty_parameters": 0.01, "target_mparams": 1.0}, "--target_mparams=1.0 and --penalty_parameters=0.01 price the same"),
        ({"penalty_multiply_adds": 0.01, "target_gmacs": 1.0}, "--target_gmacs=1.0 and --penalty_multiply_adds=0.01 price the same"),
        ({"penalty_multiply_adds": -1.0}, "--penalty_multiply_adds=-1.0 must be a number from 0 up"),
        ({"path_dropout": 1.0}, "--path_dropout=1.0 must be from 0 to below 1"),
    ],
)
def test_penalties_that_cannot_work_are_refused(flags, message):
    with pytest.raises(ConfigError, match=message):
        check_guards(SearchConfig(**flags))


@pytest.mark.parametrize("task", ["nuclei", "liver_ct", "prostate_mr"])
def test_the_baseline_of_a_task_goes_without_the_penalties_of_its_file(task):
    config = parse(SearchConfig, ["search", f"--task={task}", "--preset=light_paper", "--relaxation=uniform"])
    check(config)
    assert config.penalty_parameters and guards.plain_penalty(config, LIGHT) is None
    assert guards.plain_penalty(dataclasses.replace(config, relaxation="softmax"), LIGHT)
    parse(SearchConfig, ["search", f"--task={task}", "--preset=light_paper", "--relaxation=uniform", "--penalty_parameters=0"])
    with pytest.raises(ConfigError, match="--relaxation=uniform learns no alpha, so that --penalty_multiply_adds has no effect; leave one"):
        parse(SearchConfig, ["search", f"--task={task}", "--relaxation=uniform", "--penalty_multiply_adds=0.1"])
    with pytest.raises(ConfigError, match="so that --target_mparams has no effect"):  # rather than that both price the same
        check(dataclasses.replace(config, target_mparams=1.0))


def test_flags_make_the_penalty_of_both_costs():
    assert guards.plain_penalty(SearchConfig(), LIGHT) is None
    check_guards(SearchConfig(penalty_parameters=0.01, target_gmacs=1.0))  # another cost
    alpha, first, second = [tf.zeros((2, 4))], SearchConfig(penalty_parameters=0.015), SearchConfig(penalty_multiply_adds=0.005)
    both = SearchConfig(penalty_parameters=0.015, penalty_multiply_adds=0.005)
    values = [float(guards.plain_penalty(config, LIGHT)(alpha)) for config in (first, second, both)]
    assert values[2] == pytest.approx(values[0] + values[1]) and min(values) > 0


def test_paths_are_dropped_at_the_rate_and_identities_never():
    names = ("conv_3", "identity", "max_pool_3", "zero")
    drawn = Draw(tf.constant([[0, 1], [2, 0]] * 5000), tf.ones((10000, 2)))
    masks = path_masks(drawn, names, 0.3, tf.constant([1, 2])).numpy()
    identity = np.array(drawn.operations) == names.index("identity")
    assert (masks[identity] == 1).all()
    np.testing.assert_allclose(np.unique(masks[~identity]), [0, 1 / 0.7], rtol=1e-6)
    assert abs((masks[~identity] == 0).mean() - 0.3) < 0.012
    np.testing.assert_array_equal(masks, path_masks(drawn, names, 0.3, tf.constant([1, 2])))
    assert (masks != path_masks(drawn, names, 0.3, tf.constant([1, 3])).numpy()).any()


def test_a_mask_is_a_function_of_seed_step_and_edge():
    supernet = Supernet(LIGHT, 2, 3, 8, path_dropout=0.5)
    ((operations, weights),) = random_draws(supernet, 2, 0)
    drawn = [Draw(tf.constant(operations), weights)]
    supernet.draws.assign(7)
    first, again = supernet._masks(drawn), supernet._masks(drawn)
    np.testing.assert_array_equal(first, again)
    assert np.shape(first) == (6, 2, 2)  # cells, edges, drawn
    assert len({np.array(own).tobytes() for own in first}) > 1  # cells that share a row don't share a mask
    supernet.draws.assign(8)
    assert (np.array(supernet._masks(drawn)) != np.array(first)).any()
    assert Supernet(LIGHT, 2, 3, 8)._masks(drawn) is None


def test_a_cell_without_an_edge_of_a_bank_has_no_masks_of_it():
    """Two tables with other candidates, each read by one of the cells."""
    chain = light_chain("chain", 2, 4, TINY.operations, 1)
    few = dataclasses.replace(chain.tables[1], candidates=("separable_conv_3", "identity", "zero"))
    supernet = Supernet(dataclasses.replace(chain, tables=(chain.tables[0], few)), 2, 3, 8, path_dropout=0.5)
    drawn = [Draw(tf.zeros((bank.rows, 2), tf.int32), tf.ones((bank.rows, 2))) for bank in supernet.banks.banks]
    assert np.shape(supernet._masks(drawn)) == (4, 2, 2) and len(drawn) == 2


def test_masks_act_on_outputs_and_gradients():
    """A cell's edge under a mask is the edge with its draw's weights multiplied, there alone."""
    keras.utils.set_random_seed(1)
    supernet = Supernet(LIGHT, 2, 3, 8, path_dropout=0.5)
    ((operations, weights),) = random_draws(supernet, 2, 0)
    images = batch(3)[0][:, 0]
    masks = [[tf.constant(own, tf.float32) for own in np.random.default_rng(c).uniform(0, 2, (2, 2))] for c in range(6)]
    variables = [v.value for v in supernet.weight_variables]

    def ours(learn, targets):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(targets)
            logits = supernet.forward(images, [Draw(tf.constant(operations), weights)], (learn,), masks)
            score = tf.reduce_sum(tf.sin(logits))
        return logits, tape.gradient(score, targets)

    def reference():
        outputs = [stem(images) for stem in supernet.stems]
        for cell, own in zip(supernet.cells, masks):
            joined = [tf.concat([outputs[s] for s in part.sources], -1) for i in cell.placed.inputs for part in i.alignments]
            drawn = [Draw(operations[edge.row].tolist(), weights[edge.row] * mask) for edge, mask in zip(cell.placed.edges, own)]
            outputs.append(cell.call(joined, drawn))
        return supernet.out(outputs[-1])

    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch([*variables, weights])
        expected = reference()
        score = tf.reduce_sum(tf.sin(expected))
    known = tape.gradient(score, [*variables, weights])
    logits, of_weights = ours(WEIGHTS, variables)
    _, (of_shares,) = ours(ALPHA, [weights])
    np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=1e-4)
    for a, b in zip([*of_weights, of_shares], known, strict=True):
        scale = max(np.abs(b).max(), 1e-3)
        np.testing.assert_allclose(a / scale, b / scale, atol=3e-3)


def test_an_operation_that_cannot_have_so_many_channels_is_refused(monkeypatch):
    from scnas_keras.spaces import cost

    known = cost.operation
    monkeypatch.setattr(cost, "operation", lambda name: dataclasses.replace(known(name), divisor=48))
    with pytest.raises(ConfigError, match="32 channels: conv_3 needs a multiple of 48"):
        PlainPenalty(TINY, 0.1, 0.1)
