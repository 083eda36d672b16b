"""Edges that training leaves out: which, how often, for which items, and that nothing is left of it afterwards."""

import dataclasses
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_run import STEPS, SmallRun
from small_training import retrain
from some_spaces import LEVEL, MANY, SMALL, genotype_of, sparse_genotype, uniform_genotype
from test_training_loop import At, Killed, assert_equal, kill

from scnas_keras.crossval.config import CrossvalConfig
from scnas_keras.crossval.trainings import all_trainings
from scnas_keras.errors import ConfigError
from scnas_keras.inference.keras_file import load_network
from scnas_keras.networks import from_genotype
from scnas_keras.networks.cost import network_cost
from scnas_keras.networks.path_dropout import PathDropout, path_names, scaled_paths
from scnas_keras.retrain.architecture import choose
from scnas_keras.retrain.config import RetrainConfig
from scnas_keras.runs.checkpoint_files import CHECKPOINT, LAST, CheckpointFolder
from scnas_keras.training.learner import Learner
from scnas_keras.training.losses import JaccardLoss
from scnas_keras.training.path_dropout import path_factors

CONV = "cell_01_encoder_normal_conv_3_from_0_to_2_dropout"


def two_edges(encoder=("conv_3", "max_pool_3")):
    """Of `LEVEL`: the encoder's operations on its two inputs; the decoder has an identity and a convolution."""
    return genotype_of(LEVEL, lambda kind, i, j: encoder[i] if kind.startswith("encoder") else ("identity", "conv_3")[i])


def network(genotype=None, path_dropout=True, channels=1):
    keras.utils.set_random_seed(4)
    return from_genotype(genotype or two_edges(), channels, 2, 4, path_dropout=path_dropout)


def images(count=2, channels=1, seed=0):
    return np.random.default_rng(seed).normal(size=(count, 4, 4, 4, channels)).astype("float32")


def test_factors_are_0_with_the_probability_and_have_mean_1():
    found = path_factors(0.3, 5, 1, tf.constant(7), 4000).numpy()
    assert found.shape == (4000, 5) and found.dtype == np.float32
    np.testing.assert_allclose(np.unique(found), [0, 1 / 0.7])
    error = np.sqrt(0.3 / 0.7 / 4000)
    assert np.abs(found.mean(axis=0) - 1).max() < 5 * error  # each path by itself, for each item by itself
    assert np.abs(np.corrcoef(found.T) - np.eye(5)).max() < 5 / np.sqrt(4000)


def test_factors_are_a_function_of_seed_step_and_item():
    def drawn(seed, step, share=200):
        return path_factors(0.5, 3, seed, tf.constant(step), share).numpy()

    np.testing.assert_array_equal(drawn(1, 2), drawn(1, 2))
    for other in (drawn(2, 1), drawn(1, 3), drawn(3, 2)):
        assert 0.3 < (drawn(1, 2) != other).mean() < 0.7


def test_the_mean_over_many_masks_is_the_whole():
    layer, x = PathDropout(name="path"), images(1, 3)
    factors = path_factors(0.4, 1, 0, tf.constant(0), 20000)
    with scaled_paths({"path": factors[:, 0]}):
        found = layer(np.repeat(x, 20000, axis=0)).numpy()
    assert np.abs(found.mean(axis=0) - x[0]).max() < 5 * np.sqrt(0.4 / 0.6 / 20000) * np.abs(x).max()
    np.testing.assert_array_equal(layer(x), x)


@pytest.mark.parametrize(
    "genotype", [two_edges(), sparse_genotype(3, SMALL), sparse_genotype(8, MANY), uniform_genotype("identity", SMALL)]
)
def test_every_edge_but_identities_is_a_path(genotype):
    model = from_genotype(genotype, 1, 2, 12, path_dropout=True)
    built = {layer.name.partition("_input_")[0] for layer in model.layers if "_input_" in layer.name}
    expected = {
        f"{cell.name}_{edge.operation}_from_{edge.source}_to_{edge.target}_dropout"
        for cell in genotype.space.placed
        for edge in genotype.present(cell.kind)
        if edge.operation != "identity" and cell.name in built
    }
    assert set(path_names(model)) == expected and not path_names(from_genotype(genotype, 1, 2, 12))


def test_a_path_is_left_out_of_one_item_and_the_other_is_scaled_whole():
    """Without its convolution, an item is what a network without that edge makes of it."""
    model, x = network(), images()
    without = network(two_edges((None, "max_pool_3")), path_dropout=False)
    for layer in without.layers:
        layer.set_weights(model.get_layer(layer.name).get_weights())
    whole = model(x).numpy()
    with scaled_paths({CONV: tf.constant([0.0, 1.0])}):
        found = model(x, training=True).numpy()
    np.testing.assert_allclose(found[0], without(x)[0], atol=1e-6)
    np.testing.assert_allclose(found[1], whole[1], atol=1e-6)
    assert np.abs(found[0] - whole[0]).max() > 1e-2


@pytest.mark.parametrize("genotype", [two_edges(), sparse_genotype(3, SMALL)])
def test_outside_of_a_training_step_nothing_is_left_out(genotype, tmp_path):
    """The same numbers, the same cost, in a file too."""
    model, plain, x = network(genotype), network(genotype, path_dropout=False), images()
    for training in (False, True):
        np.testing.assert_array_equal(model(x, training=training), plain(x))
    assert network_cost(model, (8, 8, 8)) == network_cost(plain, (8, 8, 8))
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(load_network(tmp_path / "model.keras")(x), plain(x))
    labels = (x[..., 0] > 0).astype("int32")
    losses = []
    for own, rate in ((model, 0.5), (plain, 0.0)):
        learner = Learner(own, 2)
        learner.compile(keras.optimizers.SGD(0.1), JaccardLoss(), path_dropout=rate)
        losses.append(float(learner.test_step((tf.constant(x), tf.constant(labels)))["loss"]))
    assert losses[0] == losses[1]


def test_a_training_step_is_that_of_the_drawn_factors():
    """The loss of a step, with the factors of seed 5 and the updates before it."""
    x = images(4)
    batch = tf.constant(x), tf.constant((x[..., 0] > 0).astype("int32"))
    learner = Learner(network(), 2)
    learner.compile(keras.optimizers.SGD(0.1), JaccardLoss(), path_dropout=0.4, seed=5)
    step = tf.function(learner.train_step, autograph=False)
    for updates in range(3):
        factors = path_factors(0.4, len(learner.paths), 5, tf.constant(updates), 4)
        with scaled_paths(dict(zip(learner.paths, tf.unstack(factors, axis=1)))):
            expected = float(JaccardLoss()(batch[1], learner.network(x)))
        learner.loss_tracker.reset_state()
        assert float(step(batch)["loss"]) == pytest.approx(expected, abs=1e-5)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    run = SmallRun(tmp_path_factory.mktemp("whole"), 2, network=network, path_dropout=0.4, seed=3)
    run.loop.run()
    return run.outcome


@pytest.mark.parametrize("step", [2, pytest.param(STEPS + 2, marks=pytest.mark.nightly)])
def test_a_run_killed_anywhere_leaves_out_what_it_would_have(step, whole, tmp_path):
    with pytest.raises(Killed):
        SmallRun(tmp_path, 2, callbacks=[At(kill, step=step)], network=network, path_dropout=0.4, seed=3).loop.run()
    run = SmallRun(tmp_path, 2, network=network, path_dropout=0.4, seed=3)
    assert run.resumed and run.position.step == (step - 1) % STEPS
    run.loop.run()
    assert_equal(run.outcome, whole)


@pytest.mark.parametrize("update", [{"path_dropout": 0.4, "seed": 4}, {}])
def test_the_seed_and_the_dropout_matter(update, whole, tmp_path):
    run = SmallRun(tmp_path, 2, network=network, **update)
    run.loop.run()
    assert np.abs(run.outcome[0][0] - whole[0][0]).max() > 1e-4


def test_the_preset_light_leaves_a_network_without_it(tmp_path):
    """Of a genotype whose layers Keras orders otherwise with path dropout: each weight is in its layer."""
    genotype = sparse_genotype(8, MANY)
    orders = [
        [layer.name for layer in from_genotype(genotype, 1, 2, 12, path_dropout=own).layers if layer.weights] for own in (False, True)
    ]
    assert orders[0] != orders[1]
    genotype.save(tmp_path / "genotype.json")
    flags = ("--preset=light", "--genotype=genotype.json", "--width=12", "--epochs=1", "--augmentation=cutout", "--nosurfaces")
    retrain(tmp_path, *flags, "--batch_size=2", "--workdir=run")
    saved = load_network(tmp_path / "run" / "model.keras")
    assert not path_names(saved) and [layer.name for layer in saved.layers if layer.weights] == orders[0]
    _, _, arrays = CheckpointFolder(tmp_path / "run" / CHECKPOINT).read(LAST)
    trained = from_genotype(genotype, saved.input_shape[-1], saved.output_shape[-1], 12, path_dropout=True)
    trained.set_weights([arrays[f"model_{i}"] for i in range(len(trained.weights))])
    for layer in saved.layers:
        for ours, theirs in zip(layer.get_weights(), trained.get_layer(layer.name).get_weights(), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    plan = json.loads((tmp_path / "run" / "plans.json").read_text())
    assert "cutout" in json.dumps(plan)


def test_hand_made_networks_have_no_paths(tmp_path):
    config = RetrainConfig(network="unet", path_dropout=0.2)
    message = "--path_dropout=0.2 leaves out edges of a searched network's cells, and a unet network has none. Leave out one of the two"
    with pytest.raises(ConfigError, match=message):
        choose(config)
    assert choose(dataclasses.replace(config, path_dropout=None, preset="light")).network.name == "unet"
    with pytest.raises(ConfigError, match="--path_dropout is for genotype or transfer, of which --networks=unet names none"):
        all_trainings(CrossvalConfig(networks="unet", path_dropout=0.2, workdir=str(tmp_path / "cv")))
