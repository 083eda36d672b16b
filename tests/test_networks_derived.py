"""Genotypes as Keras models: graph, gradients, files, backends and cost."""

import importlib.util
import json
import math
import os
import sys

import keras
import numpy as np
import pytest
from processes import PYTHON, ROOT, run
from some_spaces import FLAT, SCNAS, SMALL, genotype_of, sparse_genotype, uniform_genotype

from scnas_keras.networks import from_genotype
from scnas_keras.networks.cost import network_cost
from scnas_keras.networks.parts import Align
from scnas_keras.operations.base import Operation
from scnas_keras.spaces.genotype import Genotype
from scnas_keras.spaces.u_shape import DECODER
from scnas_keras.training.losses import JaccardLoss

DATA = ROOT / "tests" / "data" / "format_1"
"""A genotype of format 1, its network as it was saved then, an image and what the network gave for it."""


def chain_genotype(space=SMALL, source=1):
    """Each node reads the one before it, the first of them one of the cell's inputs; the other input is unused."""
    return genotype_of(space, lambda kind, i, j: "conv_3" if i == (j - 1 if j > 2 else source) else None)


def images(*space, channels=2, seed=0):
    return np.random.default_rng(seed).normal(size=(1, *space, channels)).astype("float32")


GENOTYPES = {
    "all conv": lambda: uniform_genotype("conv_3"),
    "random 0": lambda: sparse_genotype(0),
    "random 1": lambda: sparse_genotype(1),
    "chains from the previous cell": lambda: chain_genotype(SCNAS),
    "chains from two cells back": lambda: chain_genotype(SCNAS, source=0),
    "two axes": lambda: sparse_genotype(2, FLAT),
}


@pytest.mark.parametrize("name", GENOTYPES)
def test_one_model_takes_any_size(name):
    genotype = GENOTYPES[name]()
    model = from_genotype(genotype, 2, 3, stem_channels=4)
    assert model.output_shape == (None, *[None] * genotype.space.rank, 3)
    for size in ((8, 16, 24), (16, 8, 8)):
        logits = model(images(*size[: genotype.space.rank]))
        assert tuple(logits.shape) == (1, *size[: genotype.space.rank], 3)
        assert keras.backend.standardize_dtype(logits.dtype) == "float32" and np.isfinite(logits).all()


@pytest.mark.parametrize("name", GENOTYPES)
def test_only_what_is_used_is_built(name):
    genotype = GENOTYPES[name]()
    model = from_genotype(genotype, 2, 3, stem_channels=4)
    expected, aligned, read = set(), set(), set(genotype.space.head.sources)
    for cell in reversed(genotype.space.placed):
        if cell.number in read:  # else no later cell wants it
            kept = genotype.present(cell.kind)
            inputs = {edge.source for edge in kept if edge.source < 2}
            expected |= {f"{cell.name}_{edge.operation}_from_{edge.source}" for edge in kept}
            aligned |= {f"{cell.name}_input_{i}" for i in inputs}
            read |= {source for i in inputs for source in cell.inputs[i].sources}
    assert {layer.name for layer in model.layers if isinstance(layer, Operation)} == expected
    assert {layer.name for layer in model.layers if isinstance(layer, Align)} == aligned


def test_cells_are_wired_as_the_paper_says():
    """A network of identities, once more by hand around the model's own alignments: R E X D, skips R to X and stem to D."""
    model = from_genotype(uniform_genotype("identity", SMALL), 2, 3, stem_channels=8)
    x = images(8, 8, 8)

    def cell(name, back, previous, halve=lambda x: x):
        first, second = (halve(model.get_layer(f"{name}_input_{i}")(x)) for i, x in enumerate((back, previous)))
        return np.concatenate([first + second, 2 * (first + second)], axis=-1)  # the second node also reads the first

    stem = model.get_layer("stem")(x)
    reduced = cell("cell_01_reduction", stem, stem, halve=lambda x: np.asarray(x)[:, 1::2, 1::2, 1::2])
    encoded = cell("cell_02_encoder_normal", stem, reduced)
    expanded = cell("cell_03_expansion", reduced, encoded + reduced)
    decoded = cell("cell_04_decoder_normal", encoded, expanded + stem)
    assert [y.shape[1] for y in (reduced, encoded, expanded, decoded)] == [4, 4, 8, 8]
    np.testing.assert_allclose(model(x), model.get_layer("logits")(decoded), rtol=1e-4, atol=1e-4)


def test_half_precision_networks_still_give_float32_logits():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = from_genotype(chain_genotype(), 2, 3, stem_channels=4)
    finally:
        keras.config.set_dtype_policy("float32")
    assert model.get_layer("stem").compute_dtype == "float16"
    assert keras.backend.standardize_dtype(model(images(4, 4, 4)).dtype) == "float32"


@pytest.mark.parametrize(
    "genotype",
    [uniform_genotype("conv_3", SMALL), uniform_genotype("dilated_conv_3_rate_2", SMALL), sparse_genotype(3, SMALL)],
    ids=["conv", "dilated", "random"],
)
def test_gradient_reaches_every_weight(genotype):
    import tensorflow as tf

    model = from_genotype(genotype, 2, 3, stem_channels=8)
    x, weight = images(8, 8, 8), images(8, 8, 8, channels=3, seed=1)
    with tf.GradientTape() as tape:
        score = tf.reduce_sum(model(x, training=True) * weight)
    gradients = tape.gradient(score, [variable.value for variable in model.trainable_variables])
    for variable, gradient in zip(model.trainable_variables, gradients):
        assert gradient is not None and np.abs(gradient).max() > 1e-5, variable.path


def test_parameters_by_formula():
    """Stem 27 c s + 2 s; a cell's two alignments c w + 2 w; each of 14 edges 27 w^2 + 2 w; output s k + k."""
    channels, classes, stem = 2, 3, 8
    levels = [0, 1, 1, 2, 2, 3, 3, 2, 2, 1, 1, 0, 0]  # of the stem and the 12 cells
    expected = 27 * channels * stem + 2 * stem + stem * classes + classes
    for cell in range(1, 13):
        width = stem * 2 ** levels[cell] // 4
        for source in (max(cell - 2, 0), cell - 1):
            expected += stem * 2 ** levels[source] * width + 2 * width
        expected += 14 * (27 * width**2 + 2 * width)
    model = from_genotype(uniform_genotype("conv_3"), channels, classes, stem)
    assert model.count_params() == expected == network_cost(model, (8, 8, 8)).parameters


RELOAD = """
import sys
import keras, numpy as np
before = set(sys.modules)
import scnas_keras.networks
brought = {name.partition(".")[0] for name in set(sys.modules) - before}
assert "tensorflow" not in brought, brought
for name, module in list(sys.modules.items()):
    if name.startswith("scnas_keras"):
        held = [value for value in vars(module).values() if getattr(value, "__name__", "").startswith("tensorflow")]
        assert not held, (name, held)
model = keras.models.load_model(sys.argv[1], safe_mode=True)
with np.load(sys.argv[2]) as file:
    np.savez(sys.argv[3], *[keras.ops.convert_to_numpy(model(file[name])) for name in file.files])
print(keras.backend.backend(), "tensorflow" in sys.modules)
"""


def reload(backend, model, folder):
    """Runs a saved model on the folder's inputs.npz in a process of its own, which writes outputs.npz."""
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} isn't installed")
    environment = {**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])}
    arguments = [model, folder / "inputs.npz", folder / "outputs.npz"]
    done = run(PYTHON, "-c", RELOAD, *arguments, env=environment, cwd=folder)
    assert done.stdout.split()[-2:] == [backend, str(backend == "tensorflow")]


@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
@pytest.mark.parametrize("name", [pytest.param("scnas", marks=pytest.mark.nightly), "small"])
def test_a_network_of_format_1_gives_what_it_gave(name, backend, tmp_path):
    """In a process that imports nothing but `scnas_keras.networks`."""
    with np.load(DATA / f"{name}.npz") as pinned:
        np.savez(tmp_path / "inputs.npz", pinned["image"])
        reload(backend, DATA / f"{name}.keras", tmp_path)
        with np.load(tmp_path / "outputs.npz") as outputs:
            np.testing.assert_allclose(outputs["arr_0"], pinned["logits"], rtol=1e-4, atol=1e-3 if backend == "jax" else 1e-4)


@pytest.mark.parametrize("name, channels, width", [("scnas", 2, 4), ("small", 1, 8)])
def test_a_genotype_of_format_1_is_the_network_that_it_was(name, channels, width):
    saved = keras.models.load_model(DATA / f"{name}.keras", safe_mode=True)
    model = from_genotype(Genotype.load(DATA / f"{name}.json"), channels, 3, stem_channels=width)
    assert [layer.name for layer in model.layers if layer.weights] == [layer.name for layer in saved.layers if layer.weights]
    model.set_weights(saved.get_weights())
    with np.load(DATA / f"{name}.npz") as pinned:
        np.testing.assert_allclose(model(pinned["image"]), pinned["logits"], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_a_saved_model_gives_the_same_in_a_fresh_process(backend, tmp_path):
    model = from_genotype(sparse_genotype(4, SMALL), 2, 3, stem_channels=8)
    model.save(tmp_path / "model.keras")
    inputs = [images(8, 8, 8), images(6, 8, 10, seed=1)]
    np.savez(tmp_path / "inputs.npz", *inputs)
    reload(backend, tmp_path / "model.keras", tmp_path)
    with np.load(tmp_path / "outputs.npz") as outputs:
        for x, name in zip(inputs, outputs.files, strict=True):
            np.testing.assert_allclose(outputs[name], model(x), rtol=1e-4, atol=1e-4 if backend == "jax" else 1e-5)


def test_keras_trains_it():
    keras.utils.set_random_seed(0)
    model = from_genotype(chain_genotype(), 2, 3, stem_channels=8)
    model.compile(keras.optimizers.Adam(0.01), JaccardLoss(), jit_compile=False)
    x = images(8, 8, 8)
    labels = (x[..., 0] > 0).astype("uint8") + (x[..., 0] > 1)
    before = float(JaccardLoss()(labels, model(x)))
    losses = model.fit(x, labels, epochs=4, verbose=0).history["loss"]
    assert losses[0] == pytest.approx(before, rel=1e-4)
    assert losses[-1] < before


def test_cost_by_hand(tmp_path):
    """A stem of 8 and two nodes a cell: widths are 4 at full resolution (512 voxels) and 8 at half (64 voxels)."""
    model = from_genotype(chain_genotype(), channels=2, num_classes=3, stem_channels=8)
    stem, out = 512 * 27 * 2 * 8, 512 * 8 * 3
    conv_4, conv_8 = 512 * 27 * 4 * 4, 64 * 27 * 8 * 8
    reduction = 512 * 8 * 8 + 2 * conv_8  # aligned at full resolution; the strided convolution gives 64 voxels
    encoder = 64 * 16 * 8 + 2 * conv_8
    expansion = 64 * 16 * 4 + 2 * conv_4  # aligned before it is upsampled
    decoder = 512 * 8 * 4 + 2 * conv_4
    cost = network_cost(model, (8, 8, 8))
    assert cost.multiply_adds == stem + reduction + encoder + expansion + decoder + out
    assert cost.parameters == model.count_params()
    assert network_cost(model, (16, 8, 24)).multiply_adds == 6 * cost.multiply_adds


def test_a_separable_convolution_counts_as_its_two_parts():
    def cost(operation):
        genotype = genotype_of(SMALL, lambda kind, *edge: operation if (kind, *edge) == (DECODER, 1, 2) else "identity")
        return network_cost(from_genotype(genotype, 2, 3, stem_channels=8), (8, 8, 8))

    plain = cost("identity")
    for operation, weights in (("conv_3", 27 * 4 * 4), ("dilated_conv_3_rate_3", 27 * 4 + 4 * 4), ("max_pool_3", 0)):
        assert cost(operation).multiply_adds - plain.multiply_adds == 512 * weights
        assert cost(operation).parameters - plain.parameters == weights + (2 * 4 if weights else 0)


def test_the_cost_command_writes_its_figures(tmp_path, capsys, command):
    chain_genotype().save(tmp_path / "genotype.json")
    output = tmp_path / "cost.json"
    flags = {"patch_size": "8,16,8", "channels": 2, "classes": 3, "width": 8, "json": output}
    command("scnas_keras.cost", network=tmp_path / "genotype.json", **flags)
    expected = network_cost(from_genotype(chain_genotype(), 2, 3, 8), (8, 16, 8))
    row = json.loads(output.read_text())
    assert row["patch_size"] == [8, 16, 8] and row["name"].endswith("genotype.json")
    assert (row["parameters"], row["multiply_adds"]) == (expected.parameters, expected.multiply_adds)
    assert math.isclose(float(capsys.readouterr().out.split()[1]) * 1e6, expected.parameters, abs_tol=500)


def test_the_derive_command_writes_the_same_model_for_the_same_seed(tmp_path, command):
    chain_genotype().save(tmp_path / "genotype.json")
    models = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        output = tmp_path / f"{name}.keras"
        command("scnas_keras.derive", genotype=tmp_path / "genotype.json", channels=2, classes=3, width=8, seed=seed, output=output)
        models.append(keras.models.load_model(output, safe_mode=True))
    x = images(8, 8, 8)
    first, second, third = (np.asarray(model(x)) for model in models)
    np.testing.assert_array_equal(first, second)
    assert np.abs(first - third).max() > 1e-3
