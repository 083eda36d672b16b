"""What networks, losses and metrics refuse rather than read otherwise than it is meant."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from some_spaces import FLAT, SMALL, sparse_genotype, uniform_genotype

from scnas_keras.architectures.nnunet import NNUNet
from scnas_keras.architectures.resenc import ResidualEncoderUNet
from scnas_keras.architectures.u_resnet import UResNet
from scnas_keras.architectures.unet import UNet
from scnas_keras.errors import ConfigError
from scnas_keras.metrics.dice import dice_scores
from scnas_keras.metrics.mean_dice import MeanDice
from scnas_keras.networks import from_genotype
from scnas_keras.planning.topology import fixed_topology
from scnas_keras.serving import saved_model
from scnas_keras.training.losses import LOSSES, make_loss


@pytest.fixture(autouse=True)
def seeded():
    """`fit` shuffles, for which TensorFlow wants a seed once another test made it deterministic."""
    keras.utils.set_random_seed(0)


@pytest.mark.parametrize("given", [2, pytest.param(4, marks=pytest.mark.nightly), pytest.param(8, marks=pytest.mark.nightly)])
@pytest.mark.parametrize("how", ["call", "predict", "fit"])
def test_a_network_takes_its_own_number_of_channels_only(how, given):
    """TensorFlow reads the kernel of one channel as one of groups, for as many channels as divide its outputs."""
    network = from_genotype(sparse_genotype(2, FLAT), 1, 3, stem_channels=8)
    images, labels = np.zeros((1, 8, 8, given), np.float32), np.zeros((1, 8, 8), np.int32)
    network.compile("sgd", make_loss("jaccard"), jit_compile=False)
    run = {"call": network, "predict": lambda x: network.predict(x, verbose=0), "fit": lambda x: network.fit(x, labels, verbose=0)}[how]
    with pytest.raises(ValueError, match="expected axis -1 of input shape to have value 1"):
        run(images)
    assert run(images[..., :1]) is not None


HALVED_THRICE = fixed_topology((8, 8), 3)
NETWORKS = {
    "found": lambda: from_genotype(sparse_genotype(2, FLAT), 1, 3, stem_channels=8),
    **{
        network.name: lambda network=network: network.build(HALVED_THRICE, [8] * 4, 1, 3)
        for network in (NNUNet(8), UResNet(8), UNet(8), ResidualEncoderUNet("m", 8))
    },
}


BY_DAY = (("found", "predict"), ("found", "fit"), ("nnunet", "predict"))


@pytest.fixture
def optimised_graphs():
    """As on GPUs and in Python (`quick_graphs`), where a check may be optimised away."""
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": False})


@pytest.mark.usefixtures("optimised_graphs")
@pytest.mark.parametrize(
    "network, how",
    [
        pytest.param(name, how, marks=() if (name, how) in BY_DAY else pytest.mark.nightly)
        for name in NETWORKS
        for how in ("predict", "fit")
    ],
)
def test_nor_after_it_has_seen_its_own(network, how):
    """Keras then traces a graph that no longer knows how many channels there are."""
    network = NETWORKS[network]()
    images, labels = np.random.default_rng(0).normal(size=(1, 8, 8, 4)).astype(np.float32), np.zeros((1, 8, 8), np.int32)
    network.compile("sgd", make_loss("jaccard"), jit_compile=False)
    run = {"predict": lambda x: network.predict(x, verbose=0), "fit": lambda x: network.fit(x, labels, verbose=0)}[how]
    run(images[..., :1])
    for given in (2, 4, 2):
        with pytest.raises((ValueError, tf.errors.InvalidArgumentError)):
            run(images[..., :given])
    assert run(images[..., :1]) is not None


def test_layers_refuse_other_channels_by_themselves():
    network = from_genotype(uniform_genotype("conv_3", SMALL), 2, 3, stem_channels=8)
    for name in ("stem", "cell_01_reduction_input_0", "cell_01_reduction_conv_3_from_0", "logits"):
        layer = network.get_layer(name)
        channels = layer.input.shape[-1]
        with pytest.raises(ValueError, match=f"expected axis -1 of input shape to have value {channels}"):
            layer(np.zeros((1, 8, 8, 8, 2 * channels), np.float32))


def test_a_saved_model_refuses_other_channels(tmp_path):
    saved_model.write(from_genotype(sparse_genotype(2, FLAT), 1, 3, stem_channels=8), None, tmp_path / "served")
    served = tf.saved_model.load(tmp_path / "served")
    assert served.serve(np.zeros((1, 8, 8, 1), np.float32))["probabilities"].shape == (1, 8, 8, 3)
    with pytest.raises((ValueError, TypeError), match="(?s)8, 8, 2"):
        served.serve(np.zeros((1, 8, 8, 2), np.float32))


@pytest.mark.parametrize("channels, classes", [(0, 2), (1, 1), (1, 0)])
def test_a_network_of_nothing_is_refused(channels, classes):
    with pytest.raises(ConfigError, match=f"{channels} channels and {classes} classes"):
        from_genotype(uniform_genotype("conv_3", FLAT), channels, classes, stem_channels=8)


LOGITS = np.random.default_rng(0).normal(size=(2, 4, 4, 3)).astype(np.float32)
LABELS = np.random.default_rng(1).integers(0, 3, (2, 4, 4))


def measures():
    return {**{name: make_loss(name) for name in LOSSES}, "mean dice": lambda labels, logits: MeanDice(3)(labels, logits)}


@pytest.mark.parametrize("name", measures())
@pytest.mark.parametrize("wrong", [255, -1, 3, 1.4])
def test_labels_that_are_no_class_are_an_error_and_in_a_graph_nan(name, wrong):
    measure, labels = measures()[name], LABELS.astype(np.float32)
    labels[1, 2, 3] = wrong
    with pytest.raises(ValueError, match="whole numbers from 0 to 2"):
        measure(labels, LOGITS)
    if name == "mean dice":
        metric = MeanDice(3)

        @tf.function(autograph=False)
        def compute(labels):
            metric.update_state(labels, LOGITS)
            return metric.result()
    else:
        compute = tf.function(lambda labels: measure(labels, LOGITS), autograph=False)
    assert np.isnan(compute(tf.constant(labels)))


@pytest.mark.parametrize("name", measures())
def test_labels_of_any_type_and_with_an_axis_of_one_are_the_same(name):
    measure = measures()[name]
    expected = float(measure(LABELS, LOGITS))
    for labels in (LABELS.astype(np.uint8), LABELS.astype(np.float64), LABELS[..., None], tf.constant(LABELS, tf.int32)):
        assert float(measure(labels, LOGITS)) == expected and np.isfinite(expected)


@pytest.mark.parametrize("name", measures())
def test_labels_of_another_shape_are_refused(name):
    logits, labels = np.repeat(LOGITS, 2, axis=2), np.repeat(LABELS, 2, axis=2)
    for wrong in (labels.transpose(0, 2, 1), labels.reshape(2, -1), labels[:1], labels[:, :2], labels[..., None, None], np.eye(3)[labels]):
        with pytest.raises(ValueError, match="don't belong to logits"):
            measures()[name](wrong, logits)
    assert np.isfinite(float(measures()[name](labels, logits)))


@pytest.mark.parametrize("classes", [2, 4])
def test_mean_dice_of_another_number_of_classes_is_refused(classes):
    with pytest.raises(ValueError, match=f"logits of {classes} classes, the last axis, found 3"):
        MeanDice(classes).update_state(LABELS, LOGITS)


def test_mean_dice_takes_no_weights():
    with pytest.raises(ValueError, match="takes no sample_weight"):
        MeanDice(3).update_state(LABELS, LOGITS, sample_weight=np.ones(2))


@pytest.mark.parametrize(
    "label, message", [(LABELS[:, :1], "shape"), (np.where(LABELS == 2, 255, LABELS), "0 to 2; found 0 to 255"), (LABELS + 0.5, "whole")]
)
def test_dice_of_maps_that_are_none_is_refused(label, message):
    with pytest.raises(ValueError, match=message):
        dice_scores(label, LABELS, 3)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("weights", [(-1, 1, 1), (0, 0, 0), (1, 0, 0), (float("nan"), 1, 1), (1e308, 1e308, 1e308)])
def test_class_weights_that_weigh_nothing_are_refused(name, weights):
    with pytest.raises(ConfigError, match="--class_weights=.*from 0 up, some but the first above 0"):
        make_loss(name, class_weights=weights)


@pytest.mark.parametrize("name, options", [("focal", {"gamma": -1}), ("jaccard", {"smooth": -1}), ("dice", {"smooth": float("nan")})])
def test_options_of_losses_that_are_negative_are_refused(name, options):
    with pytest.raises(ConfigError, match=f"{next(iter(options))}=.*from 0 up"):
        LOSSES[name](**options)


def test_the_ignore_label_is_no_error():
    labels = LABELS.copy()
    labels[0] = 7
    assert np.isfinite(float(make_loss("dice_ce", ignore_label=7)(labels, LOGITS)))
    assert 0 <= float(MeanDice(3, ignore_label=7)(labels, LOGITS)) <= 1
    with pytest.raises(ValueError, match="or 6 where nobody annotated"):
        make_loss("dice_ce", ignore_label=6)(labels, LOGITS)


def test_fit_shows_nan_rather_than_learning_something_else():
    network = from_genotype(sparse_genotype(2, FLAT), 1, 3, stem_channels=8)
    network.compile(keras.optimizers.SGD(0.0), make_loss("jaccard"), metrics=[MeanDice(3)], jit_compile=False)
    labels = np.full((1, 8, 8), 255)
    history = network.fit(np.zeros((1, 8, 8, 1), np.float32), labels, verbose=0).history
    assert np.isnan(history["loss"][0]) and np.isnan(history["dice"][0])
