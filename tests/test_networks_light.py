"""The connections that light networks add: alignments over levels, and heads at coarser ones; and these networks as a whole."""

import keras
import numpy as np
import pytest
import scipy
import tensorflow as tf
from test_networks import instance_normalized, leaky_relu

from scnas_keras.architectures.searched import DerivedNetwork
from scnas_keras.networks import from_genotype
from scnas_keras.networks.cost import network_cost
from scnas_keras.networks.parts import MAX_POOL, TRANSPOSED, Align, Doubled, spread
from scnas_keras.spaces.cost import cost_tables
from scnas_keras.spaces.derive import derive
from scnas_keras.spaces.description import STRONGEST_TWO
from scnas_keras.spaces.known import find_space
from scnas_keras.spaces.random_genotypes import random_genotype

LIGHT = ("light", "light_8", "light_9", "light_chain")


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def built(layer, x):
    """With random weights."""
    layer.build(x.shape)
    layer.set_weights([normal(*weight.shape, seed=seed) for seed, weight in enumerate(layer.get_weights())])
    return layer


@pytest.mark.parametrize("times", [2, 4])
@pytest.mark.parametrize("rank", [2, 3])
def test_a_pointwise_convolution_spread_over_blocks_is_a_transposed_one(rank, times):
    x, kernel = normal(2, *(3, 2, 4)[:rank], 5), normal(*[times] * rank, 6, 5, seed=1)
    transposed = {2: tf.nn.conv2d_transpose, 3: tf.nn.conv3d_transpose}[rank]
    shape = (2, *(size * times for size in x.shape[1:-1]), 6)
    expected = transposed(np.float32(x), np.float32(kernel), shape, times, padding="VALID")
    flat = np.moveaxis(kernel, -1, 0).reshape(5, -1)
    np.testing.assert_allclose(spread(tf.constant(x @ flat), times), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shift", [1, 2])
@pytest.mark.parametrize("rank", [2, 3])
def test_an_alignment_by_a_transposed_convolution(rank, shift):
    x, times = normal(2, *(3, 2, 4)[:rank], 5), 2**shift
    layer = built(Align(3, shift, bridge=TRANSPOSED, dtype="float64"), x)
    kernel, scale, offset = (weight.numpy() for weight in (layer.kernel, layer.norm.scale, layer.norm.offset))
    values = leaky_relu(x) @ kernel
    expected = np.zeros((2, *(size * times for size in x.shape[1:-1]), 3))
    for place in np.ndindex(*[times] * rank):  # each voxel of a block has a kernel of its own
        number = np.ravel_multi_index(place, [times] * rank)
        expected[(slice(None), *(slice(first, None, times) for first in place))] = values[..., 3 * number : 3 * (number + 1)]
    expected = instance_normalized(expected) * scale + offset
    np.testing.assert_allclose(layer(x), expected, atol=1e-9)
    assert layer.compute_output_shape(x.shape) == expected.shape


@pytest.mark.parametrize("shift", [-1, -2])
@pytest.mark.parametrize("rank", [2, 3])
def test_an_alignment_by_a_max_pool(rank, shift):
    x, times = normal(2, *(4, 8, 4)[:rank], 5), 2**-shift
    layer = built(Align(3, shift, bridge=MAX_POOL, dtype="float64"), x)
    highest = x
    for axis in range(1, rank + 1):
        shape = highest.shape
        highest = highest.reshape(*shape[:axis], shape[axis] // times, times, *shape[axis + 1 :]).max(axis + 1)
    expected = instance_normalized(leaky_relu(highest) @ layer.kernel.numpy()) * layer.norm.scale.numpy() + layer.norm.offset.numpy()
    np.testing.assert_allclose(layer(x), expected, atol=1e-9)
    assert layer.compute_output_shape(x.shape) == expected.shape


@pytest.mark.parametrize("rank", [2, 3])
def test_logits_are_doubled_between_voxel_centres(rank):
    x = normal(1, *(4, 3, 5)[:rank], 2)
    expected = x
    for axis in range(1, rank + 1):
        size = x.shape[axis]
        at = np.clip((np.arange(2 * size) + 0.5) / 2 - 0.5, 0, size - 1)
        expected = scipy.interpolate.interp1d(np.arange(size), expected, axis=axis)(at)
    np.testing.assert_allclose(Doubled(1, smooth=True, dtype="float64")(x), expected, atol=1e-12)
    twice = Doubled(2, smooth=True, dtype="float64")
    np.testing.assert_allclose(twice(x), Doubled(1, smooth=True, dtype="float64")(expected), atol=1e-12)
    assert twice.compute_output_shape(x.shape) == tuple(twice(x).shape)
    np.testing.assert_array_equal(Doubled(2, smooth=False, dtype="float64")(x), np.kron(x, np.ones((1, *[4] * rank, 1))))


def test_a_light_u_reads_what_the_paper_says():
    """Section 2.2: two encoder cells, three in the middle, two decoder cells, each with the encoder's output at its level."""
    space = find_space("light", 2)
    assert space.levels[1:] == (0, 1, 2, 2, 2, 1, 0)
    assert [[own.sources for own in cell.inputs] for cell in space.placed] == [
        [(0,), (0,)],  # the stem twice
        [(0,), (1,)],
        [(1,), (2,)],
        [(2,), (3,)],
        [(3,), (4,)],
        [(4,), (5, 2)],
        [(5,), (6, 1)],
    ]
    assert [part.bridge for own in space.placed[6].inputs for part in own.alignments] == [TRANSPOSED, TRANSPOSED, ""]
    assert [part.shift for own in space.placed[2].inputs for part in own.alignments] == [-2, -1]
    assert len(space.placed[0].edges) == 14 and space.derivation == STRONGEST_TWO
    assert {cell.kind for name in LIGHT[:3] for cell in find_space(name, 2).placed} == {"shared"}
    assert [len(find_space(name, 2).placed) for name in LIGHT] == [7, 8, 9, 7]


def test_of_equal_edges_the_first_two_stay_and_of_equal_operations_the_first():
    """The deriving rule where alpha ties: as it begins, and where one node's edges are equal but for zero, which is no choice."""
    space = find_space("light", 2)
    ((name, alpha),) = ((table.name, np.zeros((table.rows, len(table.candidates)))) for table in space.tables)
    first = derive(space, {name: alpha}).present("shared")
    assert [(edge.source, edge.target) for edge in first] == [(source, node) for node in (2, 3, 4, 5) for source in (0, 1)]
    assert {edge.operation for edge in first} == {"identity"}
    alpha[:, space.tables[0].candidates.index("zero")] = 9.0
    ghost = space.tables[0].candidates.index("ghost_conv")
    alpha[9:, ghost] = 1.0  # the last node's edges, from the two inputs and three nodes
    alpha[9:, ghost + 1] = 1.0
    last = [edge for edge in derive(space, {name: alpha}).present("shared") if edge.target == 5]
    assert [(edge.source, edge.operation) for edge in last] == [(0, "ghost_conv"), (1, "ghost_conv")]


def test_the_chain_halves_at_a_third_and_at_two_thirds():
    space = find_space("light_chain", 2)
    assert [cell.kind for cell in space.placed] == ["normal", "normal", "reduction", "normal", "reduction", "normal", "normal"]
    assert space.levels[1:] == (0, 0, 1, 1, 2, 2, 2)
    halving = [{edge.source for edge in cell.edges if edge.role == "halving"} for cell in space.placed]
    assert [bool(own) for own in halving] == [cell.kind == "reduction" for cell in space.placed] and halving[2] == {0, 1}


@pytest.mark.parametrize(
    "name, rank",
    [
        pytest.param(name, rank, marks=() if (name, rank) in (("light", 2), ("light_chain", 3)) else pytest.mark.nightly)
        for name in LIGHT
        for rank in (2, 3)
    ],
)
def test_a_light_network_is_as_large_as_was_counted(name, rank):
    space, patch = find_space(name, rank), (16, 24, 8)[:rank]
    genotype = random_genotype(space, 0, 1)
    model = from_genotype(genotype, 2, 3, stem_channels=64)
    found, expected = network_cost(model, patch), cost_tables(space, 64, patch, 2, 3).of_genotype(genotype)
    assert (found.parameters, found.multiply_adds) == (expected.parameters, expected.multiply_adds)
    planned = DerivedNetwork(space, 64, genotype)
    assert planned.elements(planned.topology((1.0,) * rank, patch), 2, 3) == found.elements
    for size in (patch, tuple(2 * n for n in patch)):
        logits = model(np.zeros((1, *size, 2), np.float32))
        assert tuple(logits.shape) == (1, *size, 3) and np.isfinite(logits).all()


@pytest.mark.parametrize("name, width", [("scnas", 64), ("light", 64), ("light_chain", 64)])
def test_the_width_of_nodes_of_16_channels(name, width):
    """A node of SCNAS has one channel at its smallest width, one of a light space 16."""
    space = find_space(name, 2)
    assert space.width_of_nodes(16) == width and {space.node_channels(width, cell) % 16 for cell in space.placed} == {0}
    assert space.width_of_nodes(32) == 2 * width


@pytest.mark.parametrize("name", ["light", "light_chain"])
def test_a_light_network_comes_back_from_its_file(name, tmp_path):
    genotype = random_genotype(find_space(name, 2), 0, 2)
    model = from_genotype(genotype, 1, 2, stem_channels=64)
    model.save(tmp_path / "model.keras")
    image = np.float32(normal(1, 16, 8, 1))
    np.testing.assert_allclose(keras.saving.load_model(tmp_path / "model.keras")(image), model(image), atol=1e-5)


def test_every_weight_of_a_light_network_learns():
    model = from_genotype(random_genotype(find_space("light", 2), 0, 3), 1, 2, stem_channels=64, deep_supervision=True)
    with tf.GradientTape() as tape:
        logits = model(np.float32(normal(2, 16, 16, 1)))
        assert [tuple(own.shape) for own in logits] == [(2, 16, 16, 2), (2, 8, 8, 2)]
        score = sum(tf.reduce_sum(tf.sin(own)) for own in logits)
    for variable, gradient in zip(model.trainable_variables, tape.gradient(score, [v.value for v in model.trainable_variables])):
        assert gradient is not None and np.abs(gradient).max() > 0, variable.path
