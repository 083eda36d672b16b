"""What the networks cost: by hand, searched ones by footprint and trace, by the paper; and that they are nnU-Net's of a plan."""

import json

import keras
import numpy as np
import pytest
from small_task import REAL_DATA
from some_spaces import sparse_genotype
from test_networks_handmade import CASES, CHANNELS, CLASSES, SEARCHED, THICK, built
from traced_cost import traced_cost

from scnas_keras.architectures.nnunet import NNUNet
from scnas_keras.architectures.registry import footprint
from scnas_keras.architectures.resenc import ResidualEncoderUNet
from scnas_keras.architectures.searched import DerivedNetwork
from scnas_keras.networks import blocks
from scnas_keras.networks.cost import network_cost
from scnas_keras.planning.planner import make_plans
from scnas_keras.planning.topology import Topology, fixed_topology
from scnas_keras.preprocessing.fingerprint import load_fingerprint

GOLDEN = sorted((REAL_DATA.parent / "reference" / "nnunet_plans").glob("Dataset00[45]_*.json"))
DERIVED = [name for name in CASES if "derived" in name]  # the hand-made ones: test_architectures


@pytest.mark.parametrize("name", DERIVED)
def test_multiply_adds_are_those_of_the_traced_graph(name):
    model, divisors = built(name, deep_supervision=True), CASES[name][1].divisors
    patch = [divisor * factor for divisor, factor in zip(divisors, (2, 3, 1))]
    assert network_cost(model, patch).multiply_adds == traced_cost(model, patch).multiply_adds


def test_multiply_adds_of_a_small_unet_by_hand():
    """Widths 4 and 8 on 8^3 and 4^3 voxels; the transposed convolution applies its kernel at each of the 4^3."""
    topology = Topology((8, 8, 8), ((1, 1, 1), (2, 2, 2)), ((3, 3, 3), (3, 3, 3)))
    model = NNUNet(4).build(topology, (4, 8), channels=2, num_classes=3)
    encoder = 512 * 27 * (2 * 4 + 4 * 4) + 64 * 27 * (4 * 8 + 8 * 8)
    decoder = 64 * 8 * (8 * 4) + 512 * 27 * (8 * 4 + 4 * 4)
    assert network_cost(model, (8, 8, 8)).multiply_adds == encoder + decoder + 512 * 4 * 3
    assert network_cost(model, (8, 16, 24)).multiply_adds == 6 * (encoder + decoder + 512 * 4 * 3)


@pytest.mark.parametrize("name", DERIVED)
def test_elements_are_those_of_the_footprint(name):
    network, topology = CASES[name]
    assert network_cost(built(name), topology.patch_size).elements == network.elements(topology, CHANNELS, CLASSES)


@pytest.mark.parametrize("seed", range(3))
def test_elements_of_a_searched_network_are_those_of_its_footprint(seed):
    genotype = sparse_genotype(seed, SEARCHED[3])
    network, topology = DerivedNetwork(SEARCHED[3], 8, genotype), fixed_topology((16, 8, 24), 3)
    model = network.build(topology, (), CHANNELS, CLASSES)
    expected = network.elements(topology, CHANNELS, CLASSES)
    assert network_cost(model, topology.patch_size).elements == expected


def test_the_u_resnet_costs_what_the_paper_says():
    """419.59 G multiply-adds for a patch of 128^3 with four channels; those of its reading here agree within 3.5 %."""
    network, topology = footprint("u_resnet"), fixed_topology((128,) * 3, 3)
    cost = network_cost(network.build(topology, network.features(topology), 4, 4), topology.patch_size)
    assert 405e9 < cost.multiply_adds < 425e9


def encoder_convolutions(model, key, stage):
    """The 3-wide convolutions of an encoder stage, in order."""
    part = f"encoder_{stage}_conv_" if key == "plans" else f"encoder_{stage}_block_"
    return [layer for layer in model.layers if layer.name.startswith(part) and "conv_" in layer.name and hasattr(layer, "filters")]


@pytest.mark.skipif(not GOLDEN, reason="the reference plans of nnU-Net aren't here")
@pytest.mark.parametrize("key, network", [("plans", NNUNet()), ("residual_encoder_M", ResidualEncoderUNet("m"))])
@pytest.mark.parametrize("file", GOLDEN, ids=lambda file: file.stem)
def test_networks_of_real_datasets_are_those_of_nnunet(file, key, network, monkeypatch):
    monkeypatch.setattr(blocks, "start_values", keras.initializers.Zeros)  # no time for random numbers
    plans, reference = make_plans(load_fingerprint(file), network), json.loads(file.read_text())
    channels, classes = len(plans.channel_names), len(plans.labels)
    for name, golden in reference[key].items():
        if "strides" not in golden:
            continue
        configuration = plans.configuration(name)
        model = network.build(configuration.topology, configuration.features_per_stage, channels, classes, deep_supervision=True)
        size, stages = np.array(golden["patch_size"]), []
        for stage, (width, strides, kernel) in enumerate(
            zip(golden["features_per_stage"], golden["strides"], golden["kernel_sizes"], strict=True)
        ):
            layers, size = encoder_convolutions(model, key, stage), size // strides
            assert len(layers) == 2 * (1 if key == "plans" else (1, 3, 4, 6)[min(stage, 3)])
            assert [layer.strides for layer in layers] == [tuple(strides)] + [(1,) * len(strides)] * (len(layers) - 1)
            assert all(layer.filters == width and layer.kernel_size == tuple(kernel) for layer in layers)
            stages.append((1, *size, width))
        ends = keras.Model(model.input, [encoder_convolutions(model, key, stage)[-1].output for stage in range(len(stages))])
        assert ends.compute_output_shape((1, *golden["patch_size"], channels)) == stages
        heads = model.compute_output_shape((1, *golden["patch_size"], channels))
        assert heads == [(*shape[:-1], classes) for shape in stages[:-2]]


def test_a_thick_slice_is_halved_later_in_every_part():
    """Upsampling mirrors the strides: 1, 2, 2 leads back over the axes that were halved, and no other."""
    model = NNUNet(4).build(THICK, NNUNet(4).features(THICK), CHANNELS, CLASSES)
    ups = [model.get_layer(f"decoder_{stage}_up") for stage in range(3)]
    assert [(layer.kernel_size, layer.strides) for layer in ups] == [(strides, strides) for strides in THICK.strides[1:]]


def test_a_layer_whose_weights_are_not_known_is_not_counted_as_free():
    class Scaled(keras.layers.Layer):
        def build(self, input_shape):
            self.w = self.add_weight(name="w", shape=(input_shape[-1],))

        def call(self, x):
            return x * self.w

    image = keras.Input((None, None, 2))
    model = keras.Model(image, Scaled(name="own")(keras.layers.Conv2D(3, 1)(image)))
    with pytest.raises(ValueError, match="'own' .Scaled. has weights 'w'"):
        network_cost(model, (4, 4))
