"""The cost tables against the networks themselves, and expectations against enumeration."""

import dataclasses
import itertools

import numpy as np
import pytest
from some_spaces import OPERATIONS, SCNAS, SMALL, U, genotype_of, kinds, pairs, tables

from scnas_keras.errors import ConfigError
from scnas_keras.networks import from_genotype
from scnas_keras.networks.cost import network_cost
from scnas_keras.spaces.cost import cost_tables
from scnas_keras.spaces.derive import derive
from scnas_keras.spaces.description import ARGMAX, STRONGEST_TWO, Cell, CellEdge, Head, Input, Place, Table
from scnas_keras.spaces.presence import derived_shares
from scnas_keras.spaces.random_genotypes import random_genotype
from scnas_keras.spaces.space import SearchSpace
from scnas_keras.spaces.u_shape import u_shaped

PATCH = (16, 24, 8)
TINY = u_shaped("tiny", 2, ("conv_3", "identity", "zero"), 1, U)
DECIDED = 1e3
"""Of logits: the most probable candidate has a probability of 1, the others of 0."""


def genotype(space, choose):
    """Operations by `choose(kind, i, j)`; where a node would be left without input, its last edge becomes a convolution."""
    names = {(kind, *pair): choose(kind, *pair) for kind in kinds(space) for pair in pairs(space, kind)}
    for kind, _, node in list(names):
        if all(name is None for (own, _, target), name in names.items() if (own, target) == (kind, node)):
            names[kind, node - 1, node] = "conv_3"
    return genotype_of(space, lambda *edge: names[edge], 1.0)


def some_genotype(space, seed, absent=0.3):
    rng = np.random.default_rng(seed)
    there = [name for name in space.operations if name != "zero"]
    return genotype(space, lambda *_: None if rng.random() < absent else str(rng.choice(there)))


def built_cost(found, stem_channels, patch_size, channels, classes):
    cost = network_cost(from_genotype(found, channels, classes, stem_channels), patch_size)
    return cost.parameters, cost.multiply_adds


@pytest.mark.parametrize("seed, absent", [(0, 0.0), (1, 0.3), (2, 0.7)])
def test_random_networks_cost_what_they_cost_when_built(seed, absent):
    found = some_genotype(SCNAS, seed, absent)
    assert dataclasses.astuple(cost_tables(SCNAS, 12, PATCH, 3, 4).of_genotype(found)) == built_cost(found, 12, PATCH, 3, 4)


def test_a_cell_that_no_other_reads_costs_nothing():
    """Every cell reads only what is two back, or its own nodes: the next to last cell and others are never built."""
    found = genotype(SMALL, lambda kind, i, j: None if i == 1 else "dilated_conv_3_rate_2")
    costs = cost_tables(SMALL, 8, (8, 8, 8), 1, 2)
    cost = costs.of_genotype(found)
    assert dataclasses.astuple(cost) == built_cost(found, 8, (8, 8, 8), 1, 2)
    assert cost.parameters < costs.expected(decided(found)).parameters


def test_hand_computed():
    """Four cells of one convolution each, in a row: 2D, 4 stem channels, 8 x 8."""
    found = genotype(TINY, lambda kind, i, j: "conv_3" if i == 1 else None)
    cost = cost_tables(TINY, 4, (8, 8), 1, 2).of_genotype(found)
    stem, out = 9 * 4, 4 * 2
    inputs = {"reduction": 4 * 8, "encoder": 8 * 8, "expansion": 8 * 4, "decoder": 4 * 4}
    wide, narrow = 9 * 8 * 8, 9 * 4 * 4
    norms = 2 * (4 + 2 * (8 + 8) + 2 * (4 + 4))
    assert cost.parameters == stem + sum(inputs.values()) + 2 * wide + 2 * narrow + out + 2 + norms
    # the reduction's input is aligned before its edges halve the resolution, the expansion's before it is upsampled
    fine = stem + inputs["reduction"] + inputs["decoder"] + 2 * narrow + out
    coarse = inputs["encoder"] + inputs["expansion"] + 2 * wide
    assert cost.multiply_adds == 64 * fine + 16 * coarse


def decided(found):
    """Logits that leave no doubt of a genotype."""
    rows = [
        [[(edge.operation or "zero") == name for name in found.space.operations] for edge in found.cells[kind]]
        for kind in kinds(found.space)
    ]
    return tables(found.space, DECIDED * np.array(rows))


def test_expectation_of_a_certain_choice_is_its_cost():
    found = some_genotype(SCNAS, 5)
    costs = cost_tables(SCNAS, 12, PATCH, 3, 4)
    assert costs.expected(decided(found)) == costs.of_genotype(found) == costs.of_shares(derived_shares(SCNAS, decided(found)))


def test_expectation_is_the_mean_over_all_networks():
    """All 6561 choices for two edges of four kinds, weighted by their probability."""
    probabilities = np.random.default_rng(0).dirichlet(np.ones(3), size=(4, 2))
    costs = cost_tables(TINY, 4, (8, 8), 1, 2)
    mean = np.zeros(2)
    for choice in itertools.product(range(3), repeat=8):
        table = np.eye(3)[np.array(choice).reshape(4, 2)]
        mean += np.prod(probabilities[table > 0]) * np.array(dataclasses.astuple(costs.expected(tables(TINY, DECIDED * table))))
    np.testing.assert_allclose(dataclasses.astuple(costs.expected(tables(TINY, np.log(probabilities)))), mean, rtol=1e-12)


def test_a_space_without_zero_reads_all_inputs():
    space = u_shaped("full", 2, ("conv_3", "identity"), 1, U)
    costs = cost_tables(space, 4, (8, 8), 1, 2)
    found = genotype(space, lambda *_: "identity")
    assert costs.expected(decided(found)) == costs.of_genotype(found)


STRONGEST = {
    with_zero: dataclasses.replace(u_shaped("strongest", 2, OPERATIONS if with_zero else OPERATIONS[:-1], 3, U), derivation=STRONGEST_TWO)
    for with_zero in (True, False)
}
"""Two edges a node are kept, of two to four."""


def strongest_two(space, alpha):
    """(kind, source, target) -> operation of the edges that are kept: of all pairs of edges into a node, the most probable."""
    kept = {}
    for kind in kinds(space):
        best = {}
        for (i, j), row in zip(pairs(space, kind), alpha[kind]):
            named = {name: np.exp(value) / np.exp(row).sum() for name, value in zip(space.operations, row) if name != "zero"}
            best[i, j] = max(named.items(), key=lambda item: item[1])
        for node in {j for _, j in best}:
            edges = [pair for pair in best if pair[1] == node]
            chosen = max(itertools.combinations(edges, 2), key=lambda two: sum(best[pair][1] for pair in two))
            kept |= {(kind, *pair): best[pair][0] for pair in chosen}
    return kept


@pytest.mark.parametrize("with_zero", [True, False])
@pytest.mark.parametrize("seed", range(5))
def test_each_node_keeps_its_strongest_two_edges(with_zero, seed):
    space, rng = STRONGEST[with_zero], np.random.default_rng(seed)
    alpha = tables(space, rng.normal(size=(4, 9, len(space.operations))))
    found = derive(space, alpha)
    there = {(kind, edge.source, edge.target): edge.operation for kind in kinds(space) for edge in found.present(kind)}
    assert there == strongest_two(space, alpha) and len(there) == 4 * 3 * 2 and not found.notes


@pytest.mark.parametrize("with_zero", [True, False])
def test_random_genotypes_of_the_strongest_two_are_uniform(with_zero):
    space = STRONGEST[with_zero]
    drawn = [random_genotype(space, 0, index) for index in range(60)]
    assert all(
        len([edge for edge in one.present(kind) if edge.target == node]) == 2
        for one in drawn
        for kind in kinds(space)
        for node in (2, 3, 4)
    )
    names = [edge.operation for one in drawn for kind in kinds(space) for edge in one.present(kind)]
    counts = np.array([names.count(name) for name in OPERATIONS[:-1]])
    assert names and np.abs(counts / len(names) - 1 / 7).max() < 0.04  # 1440 draws: 4.3 standard deviations
    sources = [edge.source for one in drawn for kind in kinds(space) for edge in one.present(kind) if edge.target == 4]
    assert np.abs(np.bincount(sources) / len(sources) - 1 / 4).max() < 0.08  # 480 draws: 4 standard deviations


@pytest.mark.parametrize("with_zero", [True, False])
@pytest.mark.parametrize("seed", range(2))
def test_what_a_decided_alpha_of_the_strongest_two_costs_is_what_its_network_costs(with_zero, seed):
    """The edges' probabilities are 1 but for a hundred-millionth or less, which is enough for an order."""
    space, rng = STRONGEST[with_zero], np.random.default_rng(seed)
    chosen = np.eye(len(space.operations))[rng.integers(0, 7 if with_zero else len(space.operations), (4, 9))]
    alpha = tables(space, rng.uniform(20, 30, (4, 9, 1)) * chosen)
    costs, found = cost_tables(space, 12, (8, 8), 1, 2), derive(space, alpha)
    cost = dataclasses.astuple(costs.of_genotype(found))
    assert cost == built_cost(found, 12, (8, 8), 1, 2)
    np.testing.assert_allclose(dataclasses.astuple(costs.expected(alpha)), cost, rtol=1e-6)
    assert dataclasses.astuple(costs.of_shares(derived_shares(space, alpha))) == cost


def test_patches_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match="12x16x16.*divisible by 8"):
        cost_tables(SCNAS, 12, (12, 16, 16), 1, 2)
    with pytest.raises(ConfigError, match="3 axes"):
        cost_tables(SCNAS, 12, (16, 16), 1, 2)


@pytest.mark.parametrize("derivation", [ARGMAX, STRONGEST_TWO])
def test_the_least_is_that_of_the_cheapest_of_all_networks(derivation):
    """One cell of two nodes; every choice of an operation an edge, and of the edge that the second node drops."""
    edges = [(0, 2), (1, 2), (0, 3), (1, 3), (2, 3)]
    cell = Cell("cell", 2, tuple(CellEdge(i, j, "all", row) for row, (i, j) in enumerate(edges)), (2, 3))
    table = Table("all", ("conv_3", "dilated_conv_3_rate_2", "zero"), 5)
    space = SearchSpace("one", 2, (table,), (cell,), (Place("cell", (Input((0,)), Input((0,))), 0),), Head((1,)), derivation=derivation)
    own, costs = cost_tables(space, 4, (8, 8), 1, 2), []
    for choice in itertools.product(range(3), repeat=5):
        for weak in (2, 3, 4):
            alpha = 9.0 * np.eye(3)[list(choice)]
            alpha[weak] /= 2
            costs.append(dataclasses.astuple(own.of_genotype(derive(space, {"all": alpha}))))
    assert dataclasses.astuple(own.least()) == tuple(np.min(costs, axis=0))


def test_the_least_counts_no_cell_that_may_be_left_out():
    """All edges but those from what is two back are zero: every other cell is never built."""
    costs = cost_tables(SCNAS, 16, (32, 32, 32), 1, 3)
    identity = SCNAS.operations.index("identity")
    alpha = {table.name: np.zeros((table.rows, len(table.candidates))) for table in SCNAS.tables}
    for cell in SCNAS.cells:
        for edge in cell.edges:
            chosen = identity if edge.source == 0 else SCNAS.operations.index("zero")
            alpha[edge.table][edge.row, chosen] = 9
    found, least = costs.of_genotype(derive(SCNAS, alpha)), costs.least()
    assert found.parameters == network_cost(from_genotype(derive(SCNAS, alpha), 1, 3, 16), (32, 32, 32)).parameters
    assert 0 < least.parameters <= found.parameters and 0 < least.multiply_adds <= found.multiply_adds


@pytest.mark.parametrize("with_zero", [True, False])
def test_no_network_is_below_the_least(with_zero):
    for space in (STRONGEST[with_zero], u_shaped("argmax", 2, OPERATIONS if with_zero else OPERATIONS[:-1], 3, U)):
        costs = cost_tables(space, 12, (16, 16), 1, 2)
        least = costs.least()
        for index in range(30):
            cost = costs.of_genotype(random_genotype(space, 0, index))
            assert cost.parameters >= least.parameters and cost.multiply_adds >= least.multiply_adds


@pytest.mark.parametrize("most", [0, 1])
def test_a_capped_identity_of_the_strongest_two_never_becomes_zero(most):
    """The second best operation of most edges is zero here, which the rule has left out."""
    space = dataclasses.replace(u_shaped("capped", 2, ("identity", "conv_3", "zero"), 3, U), derivation=STRONGEST_TWO)
    alpha = {table.name: np.tile([2.0, 0.0, 1.0], (table.rows, 1)) for table in space.tables}
    for found in (derive(space, alpha, most), *(random_genotype(space, 0, index, most) for index in range(20))):
        for edges in found.cells.values():
            kept = [edge.operation for edge in edges if edge.operation]
            assert len(kept) == 6 and "zero" not in kept and kept.count("identity") <= most


def test_costs_beyond_64_bits_are_refused():
    with pytest.raises(ConfigError, match="100000 channels on a patch of 1024x1024x1024: .*64 bits. Choose fewer channels"):
        cost_tables(SCNAS, 10**5, (1024,) * 3, 1, 2)
