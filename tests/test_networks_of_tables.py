"""The hand-made networks of Auto-LW-MISN's tables (Zhang et al. 2022): their sizes, and a recurrent convolution by hand."""

import math

import keras
import numpy as np
import pytest
from processes import PYTHON, run, with_package

from scnas_keras.architectures.registry import footprint
from scnas_keras.architectures.searched import DerivedNetwork
from scnas_keras.errors import ConfigError
from scnas_keras.networks import blocks
from scnas_keras.networks.cost import network_cost
from scnas_keras.networks.divisors import divisors
from scnas_keras.networks.parts import RecurrentConv
from scnas_keras.operations.base import InstanceNorm
from scnas_keras.planning.checks import check_patch
from scnas_keras.spaces.catalog import nas_unet
from scnas_keras.spaces.random_genotypes import random_genotype
from scnas_keras.training.learner import output_strides
from scnas_keras.training.losses import DeepSupervision

PUBLISHED = {
    "unet2d": (9.81, 20.17),
    "fcn8s": (18.64, 25.50),
    "attention_unet": (34.88, 66.23),
    "unet_plus_plus": (9.16, 35.00),
    "r2_unet": (39.09, 153.18),
}
"""Million parameters and G multiply-adds at 256 x 256: Table 2."""
COMMON = {"attention_unet": 34_878_573, "unet_plus_plus": 9_163_329, "r2_unet": 39_091_393}
"""Parameters of the implementations that are used most, for three channels and one output: LeeJunHyun/Image_Segmentation,
4uiiurz1/pytorch-nested-unet (width 32). They have a bias for each channel of a normalisation."""
SIZE = (256, 256)


def model_of(name, monkeypatch):
    monkeypatch.setattr(blocks, "start_values", keras.initializers.Zeros)  # no time for random numbers
    network = footprint(name)
    topology = network.topology((1.0, 1.0), SIZE)
    return network.build(topology, network.features(topology), 3, 1)


def at_outputs(model):
    """Multiply-adds that transposed convolutions have more where they are counted at their outputs, as the paper does."""
    fixed = keras.models.clone_model(model, input_tensors=keras.Input((*SIZE, 3), batch_size=1))
    ups = [layer for layer in fixed.layers if isinstance(layer, keras.layers.Conv2DTranspose)]
    return sum(math.prod(up.kernel.shape) * (math.prod(up.output.shape[1:-1]) - math.prod(up.input.shape[1:-1])) for up in ups)


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_sizes(name, monkeypatch):
    model = model_of(name, monkeypatch)
    cost, (parameters, multiply_adds) = network_cost(model, SIZE), PUBLISHED[name]
    assert cost.parameters == pytest.approx(parameters * 1e6, rel=0.005)
    assert cost.multiply_adds + at_outputs(model) == pytest.approx(multiply_adds * 1e9, rel=0.015)
    if name in COMMON:
        norms = [norm for layer in model.layers for norm in (layer, getattr(layer, "norm", None)) if isinstance(norm, InstanceNorm)]
        assert cost.parameters + sum(norm.scale.shape[0] for norm in norms) == COMMON[name]


@pytest.mark.parametrize(
    "width, parameters, multiply_adds, within",
    [
        (20, 10.14, 333.25e9 / 32, 0.07),
        pytest.param(26, 15.28, 11.3e9, 0.01, marks=pytest.mark.nightly),
        pytest.param(32, 21.62, 13.2e9, 0.01, marks=pytest.mark.nightly),
    ],
)
def test_auto_deeplab_is_as_large_as_its_authors_say(width, parameters, multiply_adds, within, monkeypatch):
    """10.15 and 21.62 M parameters with F = 20 and 32, 333.25 G multiply-adds at 1024 x 2048 (Liu et al., Table 3), without the decoder's
    last steps; 15.43 M and 36.18 G are what Zhang et al. print, and no width has both."""
    monkeypatch.setattr(blocks, "start_values", keras.initializers.Zeros)
    network = footprint("auto_deeplab", width)
    topology = network.topology((1.0, 1.0), SIZE)
    found = network_cost(network.build(topology, network.features(topology), 3, 1), SIZE)
    assert round(found.parameters / 1e6, 2) == parameters and found.multiply_adds == pytest.approx(multiply_adds, rel=within)


RELOAD = """
import sys
import keras, numpy as np
import scnas_keras.networks
for file in sys.argv[1:]:
    outputs = keras.models.load_model(file, safe_mode=True)(np.load(f"{file}.npy"))
    np.save(f"{file}.out.npy", keras.ops.convert_to_numpy(outputs))
"""


def test_their_files_are_read_by_a_process_that_has_built_none(tmp_path):
    """Their layers are registered by importing the room of networks."""
    models = {name: footprint(name, 4) for name in ("r2_unet", "unet_plus_plus")}
    models |= {"nas_unet": DerivedNetwork(nas_unet.build(2, depth=1), 48, random_genotype(nas_unet.build(2, depth=1), 0, 0))}
    expected = {}
    for name, network in models.items():
        topology = network.topology((1.0, 1.0), (32, 32))
        model = network.build(topology, network.features(topology), 1, 2)
        assert divisors(model) == topology.divisors
        model.save(tmp_path / f"{name}.keras")
        image = np.random.default_rng(0).normal(size=(1, 32, 32, 1)).astype(np.float32)
        np.save(tmp_path / f"{name}.keras.npy", image)
        expected[name] = model(image)
    run(PYTHON, "-c", RELOAD, *(tmp_path / f"{name}.keras" for name in models), cwd=tmp_path, env=with_package())
    for name, logits in expected.items():
        np.testing.assert_allclose(np.load(tmp_path / f"{name}.keras.out.npy"), logits, atol=1e-4, err_msg=name)


def test_auto_deeplabs_coarsest_stage_has_more_than_a_voxel():
    """All its cells lead through it, and of one voxel a normalisation leaves nothing."""
    network = footprint("auto_deeplab")
    assert network.topology((1.0, 1.0), (20, 32)).patch_size == (64, 64) and network.topology((1.0, 1.0), (20, 33)).patch_size == (32, 64)
    check_patch((32, 64), network)
    for patch in ((32, 32), (32, 32, 32)):
        with pytest.raises(ConfigError, match="of so small a patch a auto_deeplab network keeps a single voxel.*; give 64 or more along"):
            check_patch(patch, network)
    check_patch((32, 32), footprint("fcn8s"))


@pytest.mark.parametrize("deep", ("unet_plus_plus", "attention_unet"))
def test_outputs_at_full_resolution_weigh_alike(deep):
    network = footprint(deep, 4)
    model = network.build(network.topology((1.0, 1.0), (32, 32)), (), 1, 2, deep_supervision=True)
    strides = output_strides(model)
    losses = iter((8.0, 4.0, 2.0, 1.0))
    found = DeepSupervision(lambda labels, logits: next(losses), strides)(np.zeros((1, 32, 32), np.int32), [None] * len(strides))
    assert found == pytest.approx(15 / 4 if deep == "unet_plus_plus" else (8 + 4 / 2 + 2 / 4) / (1 + 1 / 2 + 1 / 4))


@pytest.mark.parametrize("rank", (2, 3))
def test_a_recurrent_convolution_reads_its_own_output_again(rank):
    """Three applications of one kernel, in NumPy."""
    keras.utils.set_random_seed(0)
    layer, x = RecurrentConv(2, dtype="float64"), np.random.default_rng(0).normal(size=(2, *[5] * rank, 3))
    got = layer(x)
    kernel = keras.ops.convert_to_numpy(layer.kernel)

    def applied(x):
        padded = np.pad(x, ((0, 0), *[(1, 1)] * rank, (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3,) * rank, axis=tuple(range(1, rank + 1)))
        taps = "abc"[:rank]
        y = np.einsum(f"...i{taps},{taps}io->...o", windows, kernel)
        axes = tuple(range(1, rank + 1))
        y = (y - y.mean(axes, keepdims=True)) / np.sqrt(y.var(axes, keepdims=True) + 1e-5)
        return np.where(y > 0, y, 0.01 * y)

    expected = applied(x)
    for _ in range(2):
        expected = applied(x + expected)
    np.testing.assert_allclose(got, expected, atol=1e-10)
    assert layer.applications == 3 and layer.count_params() == 3**rank * 9 + 6
