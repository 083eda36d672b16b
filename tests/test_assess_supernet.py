"""Networks scored with a supernet's weights."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from some_spaces import SCNAS, SMALL, alpha_shape, kinds, num_edges, tables
from test_supernet_network import ODD
from test_supernet_search import batch, small_supernet

from scnas_keras.assess.evaluation import SharedWeights, genotype_draw, sampled_draw
from scnas_keras.errors import ConfigError
from scnas_keras.metrics.mean_dice import MeanDice
from scnas_keras.search.cost import supernet_parameters
from scnas_keras.spaces.cost import cost_tables
from scnas_keras.spaces.derive import derive
from scnas_keras.spaces.random_genotypes import random_genotype
from scnas_keras.supernet.inherit import inherit
from scnas_keras.supernet.supernet import seed_of_bank
from scnas_keras.training.losses import JaccardLoss

PATCHES = [batch(seed) for seed in range(3)]


@pytest.fixture(scope="module")
def supernet():
    """A small supernet with an alpha that prefers something."""
    supernet = small_supernet()
    supernet.set_alpha(tables(SMALL, np.random.default_rng(5).normal(size=alpha_shape(SMALL))))
    supernet.temperature.assign(0.5)
    return supernet


@pytest.fixture(scope="module")
def shared(supernet):
    return SharedWeights(supernet, PATCHES)


def test_derived_network_with_the_supernets_weights_gives_its_output(supernet):
    """The supernet under its strongest operations is the derived network, cell for cell."""
    derived = inherit(supernet, derive(SMALL, supernet.alpha_tables()))
    images, _ = batch(7)
    np.testing.assert_allclose(supernet.predict_on_batch(images.numpy()), derived(images), rtol=1e-3, atol=1e-4)


def test_inherited_networks_can_be_trained_and_saved(supernet, tmp_path):
    derived = inherit(supernet, random_genotype(SMALL, 0, 0))
    scales = [w for w in derived.trainable_weights if w.name == "scale"]
    assert scales and all(np.all(np.array(scale) == 1) for scale in scales)
    derived.save(tmp_path / "inherited.keras")
    images, _ = batch(7)
    np.testing.assert_allclose(keras.saving.load_model(tmp_path / "inherited.keras")(images), derived(images), rtol=1e-5, atol=1e-6)


def test_a_genotype_of_another_space_inherits_nothing(supernet):
    with pytest.raises(ConfigError, match="'scnas'.*'small'"):
        inherit(supernet, random_genotype(SCNAS, 0, 0))


def test_scores_are_those_of_the_inherited_network(supernet, shared):
    for index in range(2):
        genotype = random_genotype(SMALL, 1, index)
        network, dice = inherit(supernet, genotype), MeanDice(3)
        losses = []
        for images, labels in PATCHES:
            dice.update_state(labels, network(images))
            losses.append(float(JaccardLoss()(labels, network(images))))
        score = shared.score(genotype_draw(supernet, genotype))
        assert score.loss == pytest.approx(np.mean(losses), rel=1e-4) and score.dice == pytest.approx(float(dice.result()), rel=1e-3)


def test_scores_do_not_depend_on_what_was_scored_before(supernet, shared):
    draws = [genotype_draw(supernet, random_genotype(SMALL, 2, i)) for i in range(2)] + [sampled_draw(supernet, 0, 0)]
    forwards = [shared.score(draw) for draw in draws]
    assert [shared.score(draw) for draw in reversed(draws)] == forwards[::-1] and len(set(forwards)) == 3


def test_sampled_draws_follow_the_search_without_advancing_it(supernet):
    before = int(supernet.draws)
    (first,), (again,), (other,) = (sampled_draw(supernet, 4, index) for index in (0, 0, 1))
    np.testing.assert_array_equal(first.operations, again.operations)
    assert np.any(first.operations != other.operations) and int(supernet.draws) == before
    assert first.operations.shape == (num_edges(SMALL), 2) == (20, 2)
    np.testing.assert_allclose(tf.reduce_sum(first.weights, -1), 1, atol=1e-6)


def test_a_genotypes_draw_names_its_operations(supernet):
    genotype = random_genotype(SMALL, 0, 3)
    (draw,) = genotype_draw(supernet, genotype)
    names = [SMALL.operations[i] for i in draw.operations[:, 0].numpy()]
    assert names == [edge.operation or "zero" for kind in kinds(SMALL) for edge in genotype.cells[kind]]
    assert np.all(draw.weights == 1)


def test_a_sampled_draw_is_one_that_the_search_makes():
    """Banks of equal alpha draw each for itself."""
    supernet = small_supernet(ODD, seed=7)
    drawn = supernet.draw()
    seeds = [tuple(seed_of_bank(tf.constant([7, 0]), number).numpy()) for number in range(len(drawn))]
    assert len(set(seeds)) == len(drawn) == 2
    for ours, theirs in zip(sampled_draw(supernet, 7, 0), drawn, strict=True):
        np.testing.assert_array_equal(ours.operations, theirs.operations)
        np.testing.assert_array_equal(ours.weights, theirs.weights)


@pytest.mark.parametrize("space", [SMALL, ODD], ids=lambda space: space.name)
def test_the_parameters_of_a_supernet_are_its_weights(space):
    supernet = small_supernet(space)
    built = sum(int(np.prod(variable.shape)) for variable in supernet.weight_variables)
    assert supernet_parameters(cost_tables(space, 8, (8, 8, 8), 2, 3), 8) == built
