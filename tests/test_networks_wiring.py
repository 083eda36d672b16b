"""Which layers of the networks of Auto-LW-MISN's tables read which others: their sizes don't tell."""

import functools

import keras
import pytest

from scnas_keras.architectures.registry import footprint

OPERATIONS = (
    "conv_5_rate_2",
    *["separable_conv_3"] * 2,
    "conv_3_rate_2",
    *["separable_conv_3"] * 2,
    *["separable_conv_5"] * 3,
    "conv_5_rate_2",
)
SOURCES = (1, 0, 1, 0, 3, 1, 4, 2, 3, 5)
"""Of Auto-DeepLab's cell, as tensorflow/models, research/deeplab/core/nas_network.py lists them; 0 is the nearer of its inputs."""


@functools.cache
def model(name):
    network = footprint(name, 4)
    topology = network.topology((1.0, 1.0), (64, 64))
    return network.build(topology, network.features(topology), 1, 2)


def layer(name, of):
    return model(of).get_layer(name)


def read(name, of):
    """The names of the layers that a layer reads."""
    return [tensor._keras_history.operation.name for tensor in keras.tree.flatten(layer(name, of).input)]


def test_fcn8s_adds_what_is_pooled_to_a_sixteenth_and_to_an_eighth():
    for level in (4, 3):
        name = f"decoder_{level}_sum"
        assert isinstance(layer(name, "fcn8s"), keras.layers.Add)
        assert read(name, "fcn8s") == [f"decoder_{level}_activation", f"encoder_{level - 1}_pool"]
        assert read(f"decoder_{level - 1}_up", "fcn8s") == [name]
    assert read("decoder_4_up", "fcn8s") == ["encoder_4_pool"] and read("logits", "fcn8s") == ["decoder_0_activation"]
    assert sorted(one.name for one in model("fcn8s").layers if isinstance(one, keras.layers.Add)) == ["decoder_3_sum", "decoder_4_sum"]


@pytest.mark.parametrize("level", range(4))
def test_an_attention_gate_weighs_the_skip(level):
    here, of = f"decoder_{level}", "attention_unet"
    skip = f"encoder_{level}_conv_1_activation"
    assert read(f"{here}_gate_skip", of) == [skip] and read(f"{here}_gate_gating", of) == [f"{here}_up_activation"]
    assert read(f"{here}_gate_sum", of) == [f"{here}_gate_skip_norm", f"{here}_gate_gating_norm"]
    assert read(f"{here}_gate_activation", of) == [f"{here}_gate_sum"] and read(f"{here}_gate_psi", of) == [f"{here}_gate_activation"]
    coefficients = layer(f"{here}_gate_coefficients", of)
    assert coefficients.activation is keras.activations.sigmoid and coefficients.output.shape[-1] == 1
    assert read(coefficients.name, of) == [f"{here}_gate_psi_norm"]
    assert isinstance(layer(f"{here}_gate", of), keras.layers.Multiply) and read(f"{here}_gate", of) == [skip, coefficients.name]
    assert read(f"{here}_concat", of) == [f"{here}_gate", f"{here}_up_activation"]


def test_a_recurrent_block_keeps_what_it_reads():
    of, blocks = "r2_unet", [*(f"encoder_{level}" for level in range(5)), *(f"decoder_{level}" for level in range(4))]
    for block in blocks:
        assert read(f"{block}_recurrent_0", of) == [f"{block}_projection"] and read(f"{block}_recurrent_1", of) == [f"{block}_recurrent_0"]
        assert read(f"{block}_sum", of) == [f"{block}_projection", f"{block}_recurrent_1"]
    for level in range(4):
        assert read(f"decoder_{level}_concat", of) == [f"encoder_{level}_sum", f"decoder_{level}_up_activation"]
        assert read(f"decoder_{level}_projection", of) == [f"decoder_{level}_concat"]
        assert read(f"encoder_{level + 1}_projection", of) == [f"encoder_{level}_pool"]


def test_unet2d_reads_its_skips():
    for level in range(4):
        assert read(f"decoder_{level}_concat", "unet2d") == [f"decoder_{level}_up", f"encoder_{level}_conv_1_activation"]
        below = f"encoder_{level + 1}_conv_1" if level == 3 else f"decoder_{level + 1}_conv_1"
        assert read(f"decoder_{level}_up", "unet2d") == [f"{below}_activation"]


def test_a_nested_node_reads_all_before_it_and_the_one_below():
    of = "unet_plus_plus"
    for level in range(4):
        for column in range(1, 5 - level):
            here = f"node_{level}_{column}"
            before = [f"node_{level}_{other}_conv_1_activation" for other in range(column)]
            assert read(f"{here}_concat", of) == [*before, f"{here}_up"]
            assert read(f"{here}_up", of) == [f"node_{level + 1}_{column - 1}_conv_1_activation"]
    assert read("logits", of) == ["node_0_4_conv_1_activation"]


@pytest.mark.parametrize("number", range(12))
def test_auto_deeplabs_cells_are_the_published_one(number):
    of, here = "auto_deeplab", f"cell_{number:02d}"
    before = ["stem_1_norm", "stem_2_norm", *(f"cell_{other:02d}_output" for other in range(12))]
    inputs = []
    for index in (0, 1):
        name = f"{here}_input_{index}"
        assert read(name, of) == [before[number + 1 - index]]
        up = [one.name for one in model(of).layers if one.name == f"{name}_up"]
        assert [read(one, of) for one in up] == [[name]] * len(up)
        inputs.append(up[0] if up else name)
    nodes = [*inputs, *(f"{here}_node_{node}" for node in range(2, 7))]
    for node in range(2, 7):
        terms = read(nodes[node], of)
        two = slice(2 * node - 4, 2 * node - 2)
        assert [read(term, of) for term in terms] == [[nodes[source]] for source in SOURCES[two]]
        assert [operation in term for operation, term in zip(OPERATIONS[two], terms)] == [True, True]
    assert read(f"{here}_output", of) == nodes[2:]


def test_auto_deeplabs_pyramid_and_decoder():
    of = "auto_deeplab"
    assert read("cells_activation", of) == ["cell_11_output"] and read("decoder_skip", of) == ["cell_02_output"]
    branches = ("pyramid_1", "pyramid_rate_6", "pyramid_rate_12", "pyramid_rate_18")
    assert read("pyramid_concat", of) == [f"{branch}_activation" for branch in branches]
    assert {read(branch, of)[0] for branch in (*branches, "pyramid_mean")} == {"cells_activation"}
    assert [layer(branch, of).dilation_rate for branch in branches] == [(1, 1), (6, 6), (12, 12), (18, 18)]
    assert [layer(branch, of).kernel_size for branch in branches] == [(1, 1), (3, 3), (3, 3), (3, 3)]
    assert read("pyramid_sum", of) == ["pyramid_joined_norm", "pyramid_join_mean"]
    assert read("decoder_concat", of) == ["decoder_up", "decoder_skip_activation"]
