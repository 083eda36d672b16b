"""The hand-made networks, and searched ones with deep supervision: shapes, files, parameters, gradients and heads."""

import functools
import importlib.util
import math
import os
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from processes import PYTHON, ROOT, run
from some_spaces import OPERATIONS, uniform_genotype

from scnas_keras.architectures.attention_unet import AttentionUNet
from scnas_keras.architectures.auto_deeplab import AutoDeepLab
from scnas_keras.architectures.fcn8s import FCN8s
from scnas_keras.architectures.nnunet import NNUNet
from scnas_keras.architectures.r2_unet import R2UNet
from scnas_keras.architectures.resenc import ResidualEncoderUNet
from scnas_keras.architectures.searched import DerivedNetwork
from scnas_keras.architectures.u_resnet import UResNet
from scnas_keras.architectures.unet import UNet
from scnas_keras.architectures.unet2d import UNet2D
from scnas_keras.architectures.unet_plus_plus import UNetPlusPlus
from scnas_keras.networks import from_genotype
from scnas_keras.networks.cost import network_cost
from scnas_keras.networks.heads import at_full_resolution
from scnas_keras.planning.topology import Topology, fixed_topology, unet_topology
from scnas_keras.spaces.genotype import Genotype
from scnas_keras.spaces.known import find_space
from scnas_keras.spaces.random_genotypes import random_genotype
from scnas_keras.spaces.u_shape import DECODER, ENCODER, EXPANSION, REDUCTION, u_shaped

CHANNELS, CLASSES = 2, 3
SEARCHED = {  # SCNAS with two nodes a cell
    rank: u_shaped("small", rank, OPERATIONS, 2, (REDUCTION, ENCODER) * 3 + (EXPANSION, DECODER) * 3) for rank in (2, 3)
}
# Strides and kernels of nnU-Net for patches of 16^rank and for 8 x 32 x 32 at a spacing of 3, 1, 1.
EQUAL = {rank: Topology((16,) * rank, ((1,) * rank, (2,) * rank, (2,) * rank), ((3,) * rank,) * 3) for rank in (2, 3)}
THICK = Topology((8, 32, 32), ((1, 1, 1), (1, 2, 2), (2, 2, 2), (1, 2, 2)), ((1, 3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3)))
EIGHTHS = {rank: fixed_topology((16,) * rank, 3) for rank in (2, 3)}
SIXTEENTHS = {rank: fixed_topology((32,) * rank, 4) for rank in (2, 3)}
THIRTY_SECONDS = {rank: fixed_topology((64,) * rank, 5) for rank in (2, 3)}
CASES = {
    "u_resnet 3d": (UResNet(4), EIGHTHS[3]),
    "u_resnet 2d": (UResNet(4), EIGHTHS[2]),
    "nnunet 3d": (NNUNet(4), EQUAL[3]),
    "nnunet 2d": (NNUNet(4), EQUAL[2]),
    "nnunet thick": (NNUNet(4), THICK),
    "resenc_m 3d": (ResidualEncoderUNet("m", 4), EQUAL[3]),
    "resenc_m 2d": (ResidualEncoderUNet("m", 4), EQUAL[2]),
    "resenc_m thick": (ResidualEncoderUNet("m", 4), THICK),
    "unet 3d": (UNet(4), EIGHTHS[3]),
    "unet 2d": (UNet(4), EIGHTHS[2]),
    "unet2d 2d": (UNet2D(4), SIXTEENTHS[2]),
    "attention_unet 2d": (AttentionUNet(4), SIXTEENTHS[2]),
    "unet_plus_plus 2d": (UNetPlusPlus(4), SIXTEENTHS[2]),
    "r2_unet 2d": (R2UNet(4), SIXTEENTHS[2]),
    "fcn8s 2d": (FCN8s(4), THIRTY_SECONDS[2]),
    "auto_deeplab 2d": (AutoDeepLab(4), THIRTY_SECONDS[2]),
    "attention_unet 3d": (AttentionUNet(4), SIXTEENTHS[3]),
    "unet_plus_plus 3d": (UNetPlusPlus(4), SIXTEENTHS[3]),
    "r2_unet 3d": (R2UNet(4), SIXTEENTHS[3]),
    "fcn8s 3d": (FCN8s(4), THIRTY_SECONDS[3]),
    "auto_deeplab 3d": (AutoDeepLab(4), THIRTY_SECONDS[3]),
    "derived 3d": (DerivedNetwork(SEARCHED[3], 8, uniform_genotype("conv_3", SEARCHED[3])), EIGHTHS[3]),
    "derived 2d": (DerivedNetwork(SEARCHED[2], 8, uniform_genotype("conv_3", SEARCHED[2])), EIGHTHS[2]),
}
OF_TABLES = ("unet2d", "attention_unet", "unet_plus_plus", "r2_unet", "fcn8s", "auto_deeplab")
"""Of Zhang et al. 2022; their sizes: test_networks_of_tables."""


def some(names):
    """Names of cases as parameters; large ones in 3D are of the night."""
    return [pytest.param(name, marks=pytest.mark.nightly) if name.endswith("3d") and name.startswith(OF_TABLES) else name for name in names]


HANDMADE = [name for name in CASES if "derived" not in name]
WITH_HEADS = [name for name, (network, _) in CASES.items() if network.several_outputs]
DEEPEST = {"nnunet 3d": 1, "nnunet 2d": 1, "resenc_m 3d": 1, "resenc_m 2d": 1}  # heads are one fewer than decoder levels; 2 for the others
DEEPEST |= {"attention_unet 2d": 3, "attention_unet 3d": 3, "unet_plus_plus 2d": 4, "unet_plus_plus 3d": 4}


@functools.cache
def built(name, deep_supervision=False):
    """The network of a case; tests share it, so they don't change it."""
    keras.utils.set_random_seed(0)
    network, topology = CASES[name]
    return network.build(topology, network.features(topology), CHANNELS, CLASSES, deep_supervision)


def images(*space, batch=1, channels=CHANNELS, seed=0):
    return np.random.default_rng(seed).normal(size=(batch, *space, channels)).astype("float32")


def as_list(outputs):
    return list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]


@pytest.mark.parametrize("name", some(CASES))
def test_one_model_takes_any_size_that_its_strides_divide(name):
    model, divisors = built(name), CASES[name][1].divisors
    rank = len(divisors)
    assert model.name == CASES[name][0].name
    assert model.input_shape == (None, *[None] * rank, CHANNELS) and model.output_shape == (None, *[None] * rank, CLASSES)
    for factors in ((1, 2, 3), (2, 1, 1)):
        size = [divisor * factor for divisor, factor in zip(divisors, factors)]
        logits = model(images(*size, batch=2))
        assert tuple(logits.shape) == (2, *size, CLASSES)
        assert keras.backend.standardize_dtype(logits.dtype) == "float32" and np.isfinite(logits).all() and np.std(logits) > 0.01


@pytest.mark.parametrize("name", [name for name in HANDMADE if "2d" in name])
def test_what_becomes_of_logits_is_never_in_half_precision(name):
    """Nor are the sums of those of several levels."""
    network, topology = CASES[name]
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = network.build(topology, network.features(topology), CHANNELS, CLASSES, False)
    finally:
        keras.config.set_dtype_policy("float32")
    assert model.layers[1].compute_dtype == "bfloat16"
    behind = {layer.name for layer in model.layers if "logits" in layer.name}
    for layer in model.layers[1:]:  # in the order of the graph
        if any(tensor._keras_history.operation.name in behind for tensor in keras.tree.flatten(layer.input)):
            behind.add(layer.name)
        assert layer.name not in behind or layer.compute_dtype == "float32", layer.name
    assert behind


def test_the_explicit_topologies_are_those_of_the_planner():
    assert unet_topology((3, 1, 1), (8, 32, 32)) == THICK
    assert all(unet_topology((1,) * rank, (16,) * rank) == EQUAL[rank] for rank in (2, 3))


RELOAD = """
import pathlib, sys
import keras, numpy as np
import scnas_keras.networks
for file in sorted(pathlib.Path(sys.argv[1]).glob("*.keras")):
    model = keras.models.load_model(file, safe_mode=True)
    outputs = model(np.load(file.with_suffix(".npy")))
    outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
    np.savez(file.with_suffix(".npz"), *[keras.ops.convert_to_numpy(output) for output in outputs])
print(keras.backend.backend())
"""


@pytest.mark.nightly
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_saved_models_give_the_same_in_a_fresh_process(backend, tmp_path):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} isn't installed")
    names = ("u_resnet 3d", "nnunet thick", "resenc_m 2d", "unet 2d", "derived 3d", *(name for name in CASES if name.startswith(OF_TABLES)))
    models = {name: built(name, deep_supervision=True) for name in names}
    models["cut"] = at_full_resolution(models["nnunet thick"])
    inputs = {name: images(*CASES["nnunet thick" if name == "cut" else name][1].patch_size) for name in models}
    searched = {name: random_genotype(find_space(name, 2), 0, 0) for name in ("light", "light_chain", "darts", "nas_unet")}
    for name, genotype in {**searched, "published": Genotype.load("published:nas_unet")}.items():
        models[name] = from_genotype(genotype, CHANNELS, CLASSES, stem_channels=genotype.space.width_step)
        inputs[name] = images(64, 96)
    for name, model in models.items():
        model.save(tmp_path / f"{name}.keras")
        np.save(tmp_path / f"{name}.npy", inputs[name])
    environment = {**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])}
    done = run(PYTHON, "-c", RELOAD, tmp_path, env=environment, cwd=tmp_path)
    assert done.stdout.split()[-1] == backend
    for name, model in models.items():
        expected = as_list(model(inputs[name]))
        with np.load(tmp_path / f"{name}.npz") as outputs:
            assert len(outputs.files) == len(expected)
            for key, logits in zip(outputs.files, expected):
                other = 1e-2 if name.startswith("auto_deeplab") else 1e-3  # a 1e-7th of the image changes its logits by 4e-3
                np.testing.assert_allclose(outputs[key], logits, rtol=1e-3, atol=other if backend == "jax" else 1e-4, err_msg=name)


def conv_norm(kernel, source, target):
    """Weights of a convolution without a bias, and of the scale and offset behind it."""
    return math.prod(kernel) * source * target + 2 * target


def nnunet_parameters(topology, width, heads):
    """Two convolutions a stage on either side, transposed convolutions with a bias, pointwise heads."""
    kernels, total, source = topology.kernel_sizes, 0, CHANNELS
    for stage, kernel in enumerate(kernels):
        total += conv_norm(kernel, source, width << stage) + conv_norm(kernel, width << stage, width << stage)
        source = width << stage
    return total + decoder_parameters(topology, width, 2, heads)


def decoder_parameters(topology, width, convolutions, heads):
    total = sum((width << stage) * CLASSES + CLASSES for stage in range(heads))
    for stage in range(len(topology.strides) - 1):
        own, below = width << stage, width << stage + 1
        total += math.prod(topology.strides[stage + 1]) * below * own + own + conv_norm(topology.kernel_sizes[stage], 2 * own, own)
        total += (convolutions - 1) * conv_norm(topology.kernel_sizes[stage], own, own)
    return total


def resenc_parameters(topology, width, heads):
    """A stem; 1, 3, 4, 6 blocks of two convolutions, the first of each stage but the first with a pointwise projection."""
    total = conv_norm(topology.kernel_sizes[0], CHANNELS, width)
    for stage, (kernel, count) in enumerate(zip(topology.kernel_sizes, (1, 3, 4, 6))):
        own, source = width << stage, width << max(stage - 1, 0)
        total += conv_norm(kernel, source, own) + (2 * count - 1) * conv_norm(kernel, own, own)
        total += conv_norm([1], source, own) if stage else 0
    return total + decoder_parameters(topology, width, 1, heads)


def u_resnet_parameters(rank, width):
    """Norms stand before their convolutions: 2 for each channel that a convolution reads, but for stem, gates and projections."""
    window, total = 3**rank, 3**rank * CHANNELS * width
    for level in range(4):
        own, source = width << level, width << max(level - 1, 0)
        total += 2 * source + window * source * own + 2 * own + window * own**2 + (source * own if level else 0)
    for level in range(3):
        own, below = width << level, width << level + 1
        gate = own * own // 2 + below * own // 2 + own // 2 + own // 2 + 1
        total += 2**rank * below * own + gate + 2 * (2 * own + window * own**2) + 2 * own + own * CLASSES + CLASSES
    return total


def unet_parameters(rank, width, heads):
    """Convolutions c - w - 2 w, 2 w - 2 w - 4 w, ...; up, then 6 w - 2 w - 2 w at the finest level and its like below."""
    kernel, total, source = (3,) * rank, 0, CHANNELS
    for level in range(4):
        total += conv_norm(kernel, source, width << level) + conv_norm(kernel, width << level, width << level + 1)
        source = width << level + 1
    for level in range(3):
        own, below = width << level + 1, width << level + 2
        total += 2**rank * below**2 + below + conv_norm(kernel, own + below, own) + conv_norm(kernel, own, own)
    return total + sum((width << level + 1) * CLASSES + CLASSES for level in range(heads))


@pytest.mark.parametrize(
    "name, deep_supervision",
    [(name, deep) for name in HANDMADE for deep in (False, True) if (name in WITH_HEADS or not deep) and not name.startswith(OF_TABLES)],
)
def test_parameters_by_formula(name, deep_supervision):
    topology, heads = CASES[name][1], DEEPEST.get(name, 2) if deep_supervision else 1
    rank = len(topology.patch_size)
    expected = {
        "u_resnet": lambda: u_resnet_parameters(rank, 4),
        "nnunet": lambda: nnunet_parameters(topology, 4, heads),
        "resenc_m": lambda: resenc_parameters(topology, 4, heads),
        "unet": lambda: unet_parameters(rank, 4, heads),
    }[name.split()[0]]()
    model = built(name, deep_supervision)
    assert model.count_params() == expected == network_cost(model, topology.patch_size).parameters


def test_the_unet_has_the_published_size():
    """Çiçek et al. have 19069955 parameters for three channels and classes: our kernels, and a bias for each convolution's channel."""
    model = UNet(32).build(EIGHTHS[3], (), 3, 3)
    kernels = [layer.kernel.shape for layer in model.layers if hasattr(layer, "kernel")]
    biases = sum(layer.filters for layer in model.layers if type(layer) is keras.layers.Conv3D)
    assert sum(map(math.prod, kernels)) + biases == 19069955


@pytest.mark.parametrize("name", some(CASES))
def test_gradient_reaches_every_weight(name):
    model = built(name, deep_supervision=True)
    x = images(*CASES[name][1].patch_size)
    with tf.GradientTape() as tape:
        outputs = as_list(model(x, training=True))
        score = sum(tf.reduce_sum(y * images(*y.shape[1:-1], channels=CLASSES, seed=i)) for i, y in enumerate(outputs))
    gradients = tape.gradient(score, [variable.value for variable in model.trainable_variables])
    assert len({variable.path for variable in model.weights}) == len(model.weights) == len(gradients)
    reached = {
        v.path for v, gradient in zip(model.trainable_variables, gradients) if gradient is not None and np.abs(gradient).max() > 1e-3
    }
    assert reached == {variable.path for variable in model.trainable_variables}


@pytest.mark.parametrize("name", some(WITH_HEADS))
def test_heads_of_deep_supervision(name):
    """All decoder levels but the coarsest, finest first, each at the resolution of the encoder stage of its number; those of UNet++ are
    all at full resolution."""
    model, topology = built(name, deep_supervision=True), CASES[name][1]
    x = images(*topology.patch_size)
    outputs = as_list(model(x))
    sizes = topology.stage_sizes()[: DEEPEST.get(name, 2)]
    sizes = [sizes[0]] * len(sizes) if "plus" in name else sizes
    assert [tuple(y.shape) for y in outputs] == [(1, *size, CLASSES) for size in sizes]
    assert all(keras.backend.standardize_dtype(y.dtype) == "float32" for y in outputs)


@pytest.mark.parametrize("name", some(WITH_HEADS))
def test_at_full_resolution_shares_the_weights_and_drops_the_heads(name):
    model, topology = built(name, deep_supervision=True), CASES[name][1]
    cut, alone, x = at_full_resolution(model), built(name), images(*topology.patch_size)
    assert cut.name == model.name and len(cut.outputs) == 1
    np.testing.assert_array_equal(cut(x), as_list(model(x))[0])
    assert {id(weight) for weight in cut.weights} <= {id(weight) for weight in model.weights}
    assert [layer.name for layer in cut.layers] == [layer.name for layer in alone.layers]
    dropped = {layer.name for layer in model.layers} - {layer.name for layer in cut.layers}
    assert dropped == {f"logits_{i}" for i in range(1, DEEPEST.get(name, 2))}
