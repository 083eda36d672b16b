"""The cost tables against the networks themselves, and expectations against enumeration."""

import dataclasses
import itertools

import numpy as np
import pytest

from scnas_keras.errors import ConfigError
from scnas_keras.networks import from_genotype
from scnas_keras.networks.cost import network_cost
from scnas_keras.spaces.cost import cost_tables
from scnas_keras.spaces.genotype import Edge, Genotype
from scnas_keras.spaces.space import DECODER, ENCODER, EXPANSION, REDUCTION, SCNAS, SearchSpace

PATCH = (16, 24, 8)
TWO_NODES = SearchSpace("two_nodes", 3, SCNAS.operations, 2, (REDUCTION, ENCODER, EXPANSION, DECODER))
TINY = SearchSpace("tiny", 2, ("conv_3", "identity", "zero"), 1, (REDUCTION, ENCODER, EXPANSION, DECODER))


def genotype(space, choose):
    """Operations by `choose(kind, edge)`; where a node would be left without input, its last edge becomes a convolution."""
    cells = {}
    for kind in space.kinds:
        names = {edge: choose(kind, edge) for edge in space.edges}
        for node in {target for _, target in space.edges}:
            if all(names[edge] == "zero" for edge in names if edge[1] == node):
                names[node - 1, node] = "conv_3"
        cells[kind] = tuple(Edge(*edge, name, 1.0) for edge, name in names.items())
    return Genotype(space, cells)


def random_genotype(space, seed, zeros=0.3):
    rng = np.random.default_rng(seed)
    return genotype(space, lambda *_: "zero" if rng.random() < zeros else str(rng.choice(space.operations)))


def built_cost(found, stem_channels, patch_size, channels, classes):
    cost = network_cost(from_genotype(found, channels, classes, stem_channels), patch_size)
    return cost.parameters, cost.multiply_adds


@pytest.mark.parametrize("seed, zeros", [(0, 0.0), (1, 0.3), (2, 0.7)])
def test_random_networks_cost_what_they_cost_when_built(seed, zeros):
    found = random_genotype(SCNAS, seed, zeros)
    tables = cost_tables(SCNAS, 12, PATCH, 3, 4)
    assert dataclasses.astuple(tables.of_genotype(found)) == built_cost(found, 12, PATCH, 3, 4)


def test_a_cell_that_no_other_reads_costs_nothing():
    """Every cell reads only what is two back, or its own nodes: the next to last cell and others are never built."""
    found = genotype(TWO_NODES, lambda kind, edge: "zero" if edge[0] == 1 else "dilated_conv_3_rate_2")
    tables = cost_tables(TWO_NODES, 8, (8, 8, 8), 1, 2)
    cost = tables.of_genotype(found)
    assert dataclasses.astuple(cost) == built_cost(found, 8, (8, 8, 8), 1, 2)
    assert cost.parameters < tables.expected(one_hot(found)).parameters


def test_hand_computed():
    """Four cells of one convolution each, in a row: 2D, 4 stem channels, 8 x 8."""
    found = genotype(TINY, lambda kind, edge: "conv_3" if edge[0] == 1 else "zero")
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


def one_hot(found):
    space = found.space
    rows = [[[float(edge.operation == name) for name in space.operations] for edge in found.cells[kind]] for kind in space.kinds]
    return np.array(rows)


def test_expectation_of_a_certain_choice_is_its_cost():
    found = random_genotype(SCNAS, 5)
    tables = cost_tables(SCNAS, 12, PATCH, 3, 4)
    assert tables.expected(one_hot(found)) == tables.of_genotype(found)


def test_expectation_is_the_mean_over_all_networks():
    """All 6561 choices for two edges of four kinds, weighted by their probability."""
    probabilities = np.random.default_rng(0).dirichlet(np.ones(3), size=(4, 2))
    tables = cost_tables(TINY, 4, (8, 8), 1, 2)
    mean = np.zeros(2)
    for choice in itertools.product(range(3), repeat=8):
        table = np.eye(3)[np.array(choice).reshape(4, 2)]
        mean += np.prod(probabilities[table > 0]) * np.array(dataclasses.astuple(tables.expected(table)))
    np.testing.assert_allclose(dataclasses.astuple(tables.expected(probabilities)), mean, rtol=1e-12)


def test_a_space_without_zero_reads_all_inputs():
    space = dataclasses.replace(TINY, operations=("conv_3", "identity"))
    tables = cost_tables(space, 4, (8, 8), 1, 2)
    found = genotype(space, lambda *_: "identity")
    assert tables.expected(one_hot(found)) == tables.of_genotype(found)


def test_patches_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match="12x16x16.*divisible by 8"):
        cost_tables(SCNAS, 12, (12, 16, 16), 1, 2)
    with pytest.raises(ConfigError, match="3 axes"):
        cost_tables(SCNAS, 12, (16, 16), 1, 2)
