"""Milliseconds of networks from planted times of their parts: against the layers of built networks, by hand, and by enumeration."""

import collections
import dataclasses
import itertools
import math

import keras
import numpy as np
import pytest
from planted_times import planted
from some_spaces import DENSE, OPERATIONS, PATHS, SCNAS, SMALL, TINY, U, genotype_of, sparse_genotype, tables, uniform_genotype

from scnas_keras.errors import ConfigError
from scnas_keras.networks import from_genotype
from scnas_keras.networks.derived import has_own_layer
from scnas_keras.networks.parts import Align, Doubled, OutCell, Stem
from scnas_keras.operations.base import Operation
from scnas_keras.operations.registry import known_operations
from scnas_keras.spaces.catalog import nas_unet
from scnas_keras.spaces.derive import derive
from scnas_keras.spaces.description import ARGMAX, STRONGEST_TWO
from scnas_keras.spaces.known import find_space
from scnas_keras.spaces.milliseconds import ADD, ALIGN, CONCAT, HEAD, OPERATION, STEM, UPDATE, Part
from scnas_keras.spaces.presence import derived_shares
from scnas_keras.spaces.random_genotypes import random_genotype
from scnas_keras.spaces.time_tables import Timed
from scnas_keras.spaces.u_shape import REDUCTION, u_shaped

BATCH, CHANNELS, CLASSES = 2, 3, 4
SETTING = (BATCH, CHANNELS, CLASSES)


def planted_tables(space, width=8, patch=(8, 8, 8), time=planted):
    return Timed(space, width, patch[: space.rank], *SETTING, has_own_layer).tables(time)


def built_parts(genotype, width, patch):
    """Part -> how many of it a built network has, with the additions that TensorFlow makes of it and of its gradient."""
    model = from_genotype(genotype, CHANNELS, CLASSES, width)
    fixed = keras.models.clone_model(model, input_tensors=keras.Input((*patch, CHANNELS), batch_size=BATCH))
    found, readers, tensors = collections.Counter(), collections.Counter(), {}

    def addition(tensor):
        return Part(ADD, BATCH, tuple(tensor.shape[1:-1]), tensor.shape[-1], tensor.shape[-1])

    for layer in fixed.layers[2:]:  # without the input and its check
        read = layer.input if isinstance(layer.input, list) else [layer.input]
        gives = layer.output[0] if isinstance(layer.output, list) else layer.output
        shape = (BATCH, tuple(read[0].shape[1:-1]), sum(tensor.shape[-1] for tensor in read), gives.shape[-1])
        if not isinstance(layer, Stem):  # nobody asks for the image's gradient
            readers.update(map(id, read))
            tensors |= {id(tensor): tensor for tensor in read}
        if isinstance(layer, Stem):
            found[Part(STEM, *shape, shift=layer.stride - 1)] += 1
        elif isinstance(layer, OutCell):
            found[Part(HEAD, *shape, shift=genotype.space.levels[genotype.space.head.sources[0]])] += 1
        elif isinstance(layer, Align):
            found[Part(ALIGN, *shape, name=layer.bridge, shift=layer.shift)] += 1
        elif isinstance(layer, Doubled):
            pass  # a part of the head
        elif isinstance(layer, keras.layers.Add):
            found[addition(gives)] += len(read) - 1
        elif isinstance(layer, keras.layers.Concatenate):
            found[Part(CONCAT, *shape, count=len(read))] += 1
        else:
            assert isinstance(layer, Operation)
            name = max((name for name in known_operations() if f"_{name}_from_" in layer.name), key=len)
            role = "doubling" if layer.doubles else "halving" if layer.stride == 2 else "ordinary"
            found[Part(OPERATION, *shape, name=name, role=role, count=getattr(layer, "branches", 1))] += 1
    for key, count in readers.items():
        found[addition(tensors[key])] += count - 1
    for variable in model.trainable_variables:  # the updates of two variables tell a line, on which those of all others lie
        share = math.prod(variable.shape) / 100_000
        found[Part(UPDATE, 1, (), 1, 1)] += 1 - share
        found[Part(UPDATE, 1, (), 100_000, 100_000)] += share
    return found


@pytest.mark.parametrize(
    "genotype",
    [
        *(uniform_genotype(), uniform_genotype("max_pool_3")),
        *(sparse_genotype(seed) for seed in range(3)),
        sparse_genotype(3, DENSE),
        *(random_genotype(find_space(name, 3), 0, 0) for name in ("light", "light_chain")),
        *(random_genotype(nas_unet.build(2, depth=2), 0, seed) for seed in range(2)),
    ],
    ids=["convolutions", "pools", "sparse-0", "sparse-1", "sparse-2", "dense", "light", "light_chain", "nas_unet-0", "nas_unet-1"],
)
def test_a_network_takes_what_its_layers_take(genotype):
    width, patch = max(12, genotype.space.width_step), (16, 24, 8)[: genotype.space.rank]
    predicted = planted_tables(genotype.space, width, patch).of_genotype(genotype)
    assert predicted == pytest.approx(sum(count * planted(part) for part, count in built_parts(genotype, width, patch).items()), rel=1e-12)


def test_by_hand():
    """A cell's three edges from one node: two equal convolutions are one layer of two branches, a pool is computed once."""
    space = u_shaped("four", 2, ("conv_3", "max_pool_3", "zero"), 4, U)
    names = {2: "conv_3", 3: "conv_3", 4: "max_pool_3", 5: "max_pool_3"}
    genotype = genotype_of(space, lambda kind, i, j: names[j] if i == 1 else None)
    times = {OPERATION: 100.0, ALIGN: 10.0, STEM: 7.0, HEAD: 5.0, ADD: 0.0, CONCAT: 1.0, UPDATE: 0.0}
    found = planted_tables(space, 16, (8, 8), lambda part: times[part.kind] * part.count if part.kind == OPERATION else times[part.kind])
    # four cells, each with a layer of two branches, a pool, the alignment of one input, and a concatenation
    assert found.of_genotype(genotype) == 4 * (200 + 100 + 10 + 1) + 7 + 5
    # and additions only: two of gradients a cell of what both layers read and what both pools gave, and at the two joins with the encoder
    adds = planted_tables(space, 16, (8, 8), lambda part: float(part.kind == ADD))
    assert (
        adds.of_genotype(genotype) == 4 * 2 + 2 + 2 == sum(n for part, n in built_parts(genotype, 16, (8, 8)).items() if part.kind == ADD)
    )


def test_every_part_is_asked_for_once():
    parts = Timed(SCNAS, 16, (16, 16, 16), *SETTING).parts()
    assert len(parts) == len(set(parts)) < 250
    assert {part.count for part in parts if part.kind == OPERATION and part.name == "conv_3"} == {1, 2, 3, 4}
    assert {part.count for part in parts if part.kind == OPERATION and part.name == "max_pool_3"} == {1}
    own = Timed(SCNAS, 16, (16, 16, 16), *SETTING, lambda name: True).parts()
    assert {part.count for part in own if part.kind == OPERATION} == {1}


def certain(found):
    rows = [[[(edge.operation or "zero") == name for name in found.space.operations] for edge in edges] for edges in found.cells.values()]
    return tables(found.space, 1e3 * np.array(rows))


@pytest.mark.parametrize("seed", range(3))
def test_expectation_of_a_certain_choice_is_its_time(seed):
    found, times = sparse_genotype(seed, SMALL), planted_tables(SMALL)
    alpha = certain(found)
    assert times.expected(alpha) == pytest.approx(times.of_genotype(found), rel=1e-12)
    assert times.of_shares(derived_shares(SMALL, alpha)) == pytest.approx(times.of_genotype(derive(SMALL, alpha)), rel=1e-12)


def test_expectation_is_the_mean_over_all_networks():
    """Equal operations of a node's two readers are one layer, so that the mean over choices isn't a sum of edges."""
    space = u_shaped("pairs", 2, ("conv_3", "max_pool_3", "zero"), 2, U)
    times = planted_tables(space, 8, (8, 8))
    rng = np.random.default_rng(0)
    decided = tables(space, 1e3 * np.eye(3)[rng.integers(0, 3, (4, 5))])
    probabilities, mean = rng.dirichlet(np.ones(3), size=5), 0.0
    for choice in itertools.product(range(3), repeat=5):
        weight = np.prod(probabilities[np.arange(5), choice])
        mean += weight * times.expected(decided | {REDUCTION: 1e3 * np.eye(3)[list(choice)]})
    assert times.expected(decided | {REDUCTION: np.log(probabilities)}) == pytest.approx(mean, rel=1e-12)


@pytest.mark.parametrize("derivation", [ARGMAX, STRONGEST_TWO])
@pytest.mark.parametrize("space", [TINY, SMALL], ids=["tiny", "small"])
def test_no_network_takes_less_than_the_least(space, derivation):
    space = dataclasses.replace(space, derivation=derivation)
    times = planted_tables(space)
    shape = (len(space.tables), space.tables[0].rows, len(space.operations))
    alphas = np.random.default_rng(0).normal(0, 3, (100, *shape))
    found = [times.of_genotype(derive(space, tables(space, alpha))) for alpha in alphas]
    assert 0 < times.least() <= min(found)
    if space.name == "tiny" and derivation == ARGMAX:
        assert times.least() > 0.6 * min(found)


def test_of_two_axes_and_unequal_readers():
    """Two edges a node are kept of up to four, where zero is no candidate."""
    space = dataclasses.replace(u_shaped("strong", 2, OPERATIONS[:-1], 3, U), derivation=STRONGEST_TWO)
    alpha = tables(space, np.random.default_rng(1).normal(size=(4, 9, 7)))
    times = planted_tables(space, 12, (8, 16))
    assert times.of_shares(derived_shares(space, alpha)) == pytest.approx(times.of_genotype(derive(space, alpha)), rel=1e-12)


def test_patches_and_widths_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match="each divisible by 8"):
        planted_tables(SCNAS, 16, (16, 16, 12))
    with pytest.raises(ConfigError, match="can't be divided among"):
        planted_tables(SCNAS, 10, (16, 16, 16))
    with pytest.raises(ConfigError, match="needs 2 axes"):
        Timed(PATHS, 12, (8, 8, 8), *SETTING)


def test_a_layer_an_edge_reads_for_itself():
    """As in `test_by_hand`, with convolutions that don't merge: one more gradient a cell."""
    space = u_shaped("four", 2, ("conv_3", "max_pool_3", "zero"), 4, U)
    names = {2: "conv_3", 3: "conv_3", 4: "max_pool_3", 5: "max_pool_3"}
    genotype = genotype_of(space, lambda kind, i, j: names[j] if i == 1 else None)
    adds = Timed(space, 16, (8, 8), 2, 3, 4, lambda name: name == "conv_3").tables(lambda part: float(part.kind == ADD))
    assert adds.of_genotype(genotype) == 4 * 3 + 2 + 2
