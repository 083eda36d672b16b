"""The export command: what it writes runs where this package isn't, and computes what the model does."""

import http.client
import importlib.util
import json
import os
import pathlib
import re
import subprocess
import sys

import keras
import nibabel as nib
import numpy as np
import pytest
import tensorflow as tf
from processes import PYTHON, run
from serving_cases import PLANS, THREE, plan, pointwise, scan
from some_spaces import SMALL, sparse_genotype, uniform_genotype
from test_networks_derived import chain_genotype

from scnas_keras.architectures.registry import footprint
from scnas_keras.export import ExportConfig, export, runner
from scnas_keras.formats.volumes import PROBABILITY_ONE, read_image, volume_of
from scnas_keras.inference.companion import Companion
from scnas_keras.inference.keras_file import load_network
from scnas_keras.inference.model_folder import SegmentationModel
from scnas_keras.inference.segmenting import segment_by
from scnas_keras.networks import from_genotype
from scnas_keras.preprocessing.plan import PreprocessingPlan
from scnas_keras.preprocessing.scans import preprocess_image
from scnas_keras.serving import agreement, onnx, saved_model
from scnas_keras.serving.names import FORMATS
from scnas_keras.serving.whole_scan import WholeScan
from scnas_keras.tasks.phantoms import write_phantoms

DATA = pathlib.Path(__file__).parents[2] / "shared" / "data"


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def softmax(logits):
    shifted = np.exp(logits - logits.max(-1, keepdims=True))
    return shifted / shifted.sum(-1, keepdims=True)


def traced(network, companion):
    """The functions that are exported, without writing them."""
    whole = WholeScan(network, companion)
    return [tf.function(function, input_signature=whole.signature) for function in (whole.segment, whole.segment_probabilities)]


SERVE = """
import sys
import numpy as np, tensorflow as tf
served = tf.saved_model.load(sys.argv[1])
outputs = []
with np.load(sys.argv[2]) as file:
    for name in file.files:
        dataset = tf.data.Dataset.from_tensor_slices(file[name]).batch(1).map(served.serve)
        assert dataset.element_spec["probabilities"].shape[-1] == 3, dataset.element_spec
        outputs.append(np.concatenate([found["probabilities"] for found in dataset.as_numpy_iterator()]))
np.savez(sys.argv[3], *outputs)
assert "scnas_keras" not in sys.modules
assert "image" in served.signatures["serving_default"].structured_input_signature[1]
assert not hasattr(served, "segment")
"""


def test_patches_of_any_size_are_served_without_this_package(tmp_path):
    network = from_genotype(sparse_genotype(6, SMALL), 2, 3, stem_channels=8)
    saved_model.write(network, None, tmp_path / "export")
    images = [noise(2, 8, 16, 8, 2), noise(1, 9, 14, 5, 2, seed=1)]
    np.savez(tmp_path / "inputs.npz", *images)
    arguments = [tmp_path / name for name in ("export", "inputs.npz", "outputs.npz")]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    run(PYTHON, "-c", SERVE, *arguments, env=environment, cwd=tmp_path)
    with np.load(tmp_path / "outputs.npz") as outputs:
        first, second = (outputs[name] for name in outputs.files)
    padded = np.pad(images[1], [(0, 0), (0, 1), (0, 0), (0, 1), (0, 0)])  # to 10 x 14 x 6: the network halves once
    np.testing.assert_allclose(first, softmax(np.asarray(network(images[0]))), atol=1e-5)
    np.testing.assert_allclose(second, softmax(np.asarray(network(padded)))[:, :-1, :, :-1], atol=1e-5)
    assert second.shape == (1, 9, 14, 5, 3)
    for probabilities in (first, second):
        np.testing.assert_allclose(probabilities.sum(-1), 1, atol=1e-5)


SPACING = tuple(map(float, np.float32((1.1, 1.0, 0.7))))
OFTEN = ("masked", "slices", "coarse", "turned")


@pytest.mark.parametrize("name", [name if name in OFTEN else pytest.param(name, marks=pytest.mark.nightly) for name in PLANS])
def test_whole_scans_are_segmented_as_by_prediction(name):
    """Scans larger and smaller than the patch, odd in all axes."""
    own, spacing = PLANS[name]
    spacing = tuple(map(float, np.float32(spacing)))
    patch = (8, 12, 10)[: 2 if own.spacing[0] is None else 3]
    middle = np.median(preprocess_image(volume_of(scan((17, 31, 14), len(own.channels)), spacing), own).image[..., 0])
    network = pointwise(len(own.channels), rank=len(patch))
    kernel = np.zeros((len(own.channels), 2), np.float32)
    kernel[0, 0] = 1
    network.set_weights([kernel, np.float32([0, middle])])  # class 1 where channel 0 is low
    segment, segment_probabilities = traced(network, Companion(patch, (), own))
    model = SegmentationModel(network, own, patch)
    for shape in ((17, 31, 14), (9, 7, 23)):
        image = scan(shape, len(own.channels))
        expected = model.segment(volume_of(image, spacing))
        inputs = {"image": image, "spacing": np.float32(spacing)}
        segmentation = segment(inputs)["segmentation"].numpy()
        assert segmentation.dtype == np.uint8 and segmentation.shape == image.shape[:3] and set(np.unique(expected)) == {0, 1}
        assert (segmentation == expected).mean() >= 0.999
        probabilities, keep = segment_probabilities(inputs)["probabilities"].numpy(), np.empty((2, *image.shape[:3]), np.uint16)
        segment_by((model,), volume_of(image, spacing), keep=keep)
        np.testing.assert_allclose(np.moveaxis(probabilities, -1, 0), keep / PROBABILITY_ONE, atol=1e-3)
        np.testing.assert_allclose(probabilities.sum(-1), 1, atol=1e-5)
        np.testing.assert_array_equal(probabilities.argmax(-1), segmentation)
        if not own.slice_size:  # pictures of one size are taken whole
            assert (probabilities[0] == [1, 0]).all()


REAL = {
    "Task01_BrainTumour": (plan((1.0, 1.0, 1.0), ("zscore", "zscore"), masked=True), (64, 64, 64)),
    "Task06_Lung": (plan((2.0, 0.8, 0.8), ("ct",), transpose=(2, 0, 1)), (32, 64, 64)),
}


@pytest.mark.nightly
@pytest.mark.parametrize("task", REAL)
def test_real_scans_are_segmented_as_by_prediction(task):
    """By nnU-Net's U-Net of width 8 with random weights."""
    folder = DATA / task / "imagesTr"
    if not folder.is_dir():
        pytest.skip(f"no real data in {folder}")
    own, patch = REAL[task]
    declared = footprint("nnunet", 8)
    topology = declared.topology((1.0,) * 3, patch)
    network = declared.build(topology, declared.features(topology), len(own.channels), len(own.labels), False)
    segment, _ = traced(network, Companion(patch, (), own))
    volume = read_image(sorted(folder.glob("*.nii.gz"))[0])
    expected = SegmentationModel(network, own, patch).segment(volume)
    found = segment({"image": volume.array, "spacing": np.float32(volume.spacing)})["segmentation"].numpy()
    print(f"{task}: {(found == expected).mean():.5%} of the voxels have the same class")
    assert (found == expected).mean() >= 0.999 and len(np.unique(expected)) == len(own.labels)


def test_tiles_are_weighted_and_cut_as_by_prediction():
    """A network that knows where in its patch it is."""
    kernel = keras.initializers.RandomNormal(seed=1)
    layers = [keras.layers.ZeroPadding3D(2), keras.layers.Conv3D(3, 5, kernel_initializer=kernel)]  # zeros tell where the border is
    ramp = keras.Sequential([keras.Input((None, None, None, 1)), *layers])
    own = PreprocessingPlan((1.0, 1.5, 1.0), plan().channels, THREE)
    (segment, _), model = traced(ramp, Companion((8, 8, 8), (), own)), SegmentationModel(ramp, own, (8, 8, 8))
    for shape in ((21, 13, 29), (5, 30, 9)):
        image = scan(shape, 1)
        expected = model.segment(volume_of(image, (1.0, 1.0, 1.0)))
        segmentation = segment({"image": image, "spacing": np.ones(3, np.float32)})["segmentation"].numpy()
        assert (segmentation == expected).mean() >= 0.999 and len(np.unique(expected)) == 3


def test_a_saved_model_is_a_layer_and_part_of_a_pipeline(trained, exported):
    spacing, images = SPACING, [scan((11, 12, 13), 2, seed) for seed in range(2)]
    expected = [trained[1].segment(volume_of(image, spacing)) for image in images]
    layer = keras.layers.TFSMLayer(str(exported[0]), call_endpoint="segment")
    again = layer({"image": tf.constant(images[0]), "spacing": tf.constant(spacing)})["segmentation"]
    assert (again.numpy() == expected[0]).mean() >= 0.999
    loaded = tf.saved_model.load(str(exported[0]))
    dataset = tf.data.Dataset.from_tensor_slices({"image": np.stack(images), "spacing": np.float32([spacing] * 2)}).map(loaded.segment)
    for found, wanted in zip(dataset.as_numpy_iterator(), expected, strict=True):
        assert (found["segmentation"] == wanted).mean() >= 0.999


def test_the_export_command_leaves_folders_with_content_alone(command, tmp_path, capsys, caplog):
    from_genotype(chain_genotype(), 2, 3, stem_channels=4).save(tmp_path / "model.keras")
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "letter.txt").write_text("Dear")
    for output in (taken, taken / "letter.txt"):
        with pytest.raises(SystemExit) as caught:
            command("scnas_keras.export", model=tmp_path / "model.keras", output=output)
        assert caught.value.code == 2 and "not an empty folder" in capsys.readouterr().err
    assert [path.name for path in taken.iterdir()] == ["letter.txt"] and (taken / "letter.txt").read_text() == "Dear"
    (tmp_path / "empty").mkdir()
    command("scnas_keras.export", model=tmp_path / "model.keras", output=tmp_path / "empty")
    assert (tmp_path / "empty" / "saved_model.pb").is_file()
    description = json.loads((tmp_path / "empty" / "export.json").read_text())
    assert [*description["functions"]] == ["serve"] and description["check"]["difference"] < 1e-4
    assert "only the function of prepared patches is exported" in caplog.text


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a model, and the model."""
    folder = tmp_path_factory.mktemp("trained")
    own = PreprocessingPlan((1.0, 1.0, 1.2), plan(schemes=("zscore", "ct")).channels, THREE)
    model = SegmentationModel(from_genotype(sparse_genotype(6, SMALL), 2, 3, stem_channels=8), own, (16, 16, 16))
    model.save(folder)
    return folder, model


def test_an_export_is_checked_and_told(exported):
    folder, told = exported
    assert "checked in a process without this package: largest difference of probabilities" in told and "have the same class" in told
    description = json.loads((folder / "export.json").read_text())
    assert [*description["functions"]] == ["serve", "segment", "segment_probabilities"]
    assert description["classes"] == {"0": "background", "1": "a", "2": "b"}
    assert description["check"]["equal"] >= 0.999 and description["check"]["scan_difference"] < 1e-3
    names = ["assets", "export.json", "fingerprint.pb", "model.json", "saved_model.pb", "variables"]
    assert sorted(path.name for path in folder.iterdir()) == names and [path.name for path in folder.parent.iterdir()] == ["served"]
    umask = os.umask(0)
    os.umask(umask)
    assert folder.stat().st_mode & 0o777 == 0o777 & ~umask


WRONG = {
    "serve/1": lambda own: own + 0.002,
    "segment/0": lambda own: np.where(np.arange(own.size).reshape(own.shape) % 100 == 0, 1 - own.clip(0, 1), own),
    "segment_probabilities/1": lambda own: own * np.float32(0.95),
    "serve/0": lambda own: own * np.nan,
    "segment/1": lambda own: own[1:],
}


FOUND = {}  # what the other process gives, which is run once


@pytest.mark.parametrize("name", WRONG)
def test_an_export_that_computes_something_else_is_removed(name, command, trained, exported, tmp_path, capsys, monkeypatch):
    """What comes out of the other process is changed on the way."""

    def outside(wanted, folder, inputs):
        if not FOUND:
            FOUND.update(run_outside(wanted, exported[0], inputs))
        return FOUND | {name: WRONG[name](FOUND[name])}

    run_outside = agreement._run_outside
    monkeypatch.setattr(agreement, "_run_outside", outside)
    monkeypatch.setattr(saved_model, "write", lambda network, companion, folder: (folder / "saved_model.pb").touch())
    with pytest.raises(SystemExit) as caught:
        command("scnas_keras.export", model=trained[0], output=tmp_path / "served")
    assert caught.value.code == 74 and "doesn't compute what the model does" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_companion_of_another_network_is_refused(command, trained, tmp_path, capsys):
    (tmp_path / "model.keras").write_bytes((trained[0] / "model.keras").read_bytes())
    text = (trained[0] / "model.json").read_text()
    (tmp_path / "model.json").write_text(text.replace('"2": "b"', '"2": "b", "3": "c"'))
    with pytest.raises(SystemExit) as caught:
        command("scnas_keras.export", model=tmp_path, output=tmp_path / "served")
    assert caught.value.code == 2 and "is of another network" in capsys.readouterr().err and not (tmp_path / "served").exists()


def test_an_empty_folder_that_is_a_link_is_filled(command, trained, exported, tmp_path, monkeypatch):
    def write(network, companion, folder):
        (folder / "saved_model.pb").touch()

    monkeypatch.setattr(saved_model, "write", write)
    monkeypatch.setattr(agreement, "check", lambda *arguments: agreement.Agreement(0.0))
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    command("scnas_keras.export", model=trained[0], output=tmp_path / "link")
    assert sorted(path.name for path in (tmp_path / "real").iterdir()) == ["export.json", "model.json", "saved_model.pb"]


@pytest.mark.parametrize("kind", [name for name, one in FORMATS.items() if one.needs])
def test_a_format_whose_packages_are_absent_says_how_to_have_them(kind, command, trained, tmp_path, capsys, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in FORMATS[kind].needs else found(name))
    with pytest.raises(SystemExit) as caught:
        command("scnas_keras.export", model=trained[0], output=tmp_path / "served", format=kind)
    told = capsys.readouterr().err
    assert caught.value.code == 2 and f"pip install '.[{FORMATS[kind].extra}]'" in told and not list(tmp_path.iterdir())


def test_onnx_runs_in_onnxruntime(command, trained, tmp_path, capsys):
    for package in FORMATS["onnx"].needs:
        pytest.importorskip(package, reason="no ONNX packages: pip install '.[onnx]'")
    import onnxruntime

    folder, model = trained
    command("scnas_keras.export", model=folder, output=tmp_path / "out", format="onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "out" / "model.onnx"), providers=["CPUExecutionProvider"])
    for shape in ((1, 8, 16, 12), (2, 16, 16, 16)):
        patch = noise(*shape, 2)
        (found,) = session.run(["probabilities"], {"image": patch})
        np.testing.assert_allclose(found, softmax(np.asarray(model.network(patch))), atol=1e-4)
    assert (tmp_path / "out" / "model.json").is_file() and "multiples of [2, 2, 2]" in (tmp_path / "out" / "export.json").read_text()


def test_litert_runs_or_says_what_it_lacks(command, trained, tmp_path, capsys):
    """Of dilated convolutions LiteRT has none in 3D; a network without is written and checked."""
    network = from_genotype(chain_genotype(), 2, 3, stem_channels=4)
    SegmentationModel(network, trained[1].plan, (8, 8, 8)).save(tmp_path / "plain")
    command("scnas_keras.export", model=tmp_path / "plain", output=tmp_path / "out", format="litert")
    assert (tmp_path / "out" / "model.tflite").stat().st_size > 1000
    assert json.loads((tmp_path / "out" / "export.json").read_text())["check"]["difference"] < 1e-4
    dilated = from_genotype(uniform_genotype("dilated_conv_3_rate_2", SMALL), 2, 3, 8)
    SegmentationModel(dilated, trained[1].plan, (8, 8, 8)).save(tmp_path / "dilated")
    with pytest.raises(SystemExit) as caught:
        command("scnas_keras.export", model=tmp_path / "dilated", output=tmp_path / "no", format="litert")
    told = capsys.readouterr().err
    assert caught.value.code == 74 and "LiteRT" in told and not (tmp_path / "no").exists()


@pytest.fixture(scope="module")
def exported(trained, tmp_path_factory):
    """The folder of its SavedModel, as the command writes it, and what the command told."""
    folder, lines = tmp_path_factory.mktemp("exported") / "served", []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner.logging, "info", lambda text, *words: lines.append(text % words))
        export(ExportConfig(str(trained[0]), str(folder)))
    return folder, "\n".join(lines)


@pytest.mark.parametrize("index", range(3), ids=["RAS", "LPS", "SRA"])
def test_the_docs_way_from_file_to_file_is_that_of_predict(index, command, trained, exported, tmp_path, monkeypatch):
    """The first program of docs/serving.md, with scans of several orders of axes."""
    folder, _ = trained
    (tmp_path / "served").symlink_to(exported[0])
    scans = write_phantoms(tmp_path / "phantoms", num_cases=3, size=24) / "imagesTr"
    (tmp_path / "scan.nii.gz").write_bytes((scans / f"phantom_00{index}.nii.gz").read_bytes())
    command("scnas_keras.predict", model=folder, image=tmp_path / "scan.nii.gz", output=tmp_path / "expected.nii.gz")
    monkeypatch.chdir(tmp_path)
    page = (pathlib.Path(__file__).parents[1] / "docs" / "serving.md").read_text()
    exec(re.search(r"```python\n(.*?)```", page, re.DOTALL)[1], {})
    found, expected = (nib.load(tmp_path / name) for name in ("segmentation.nii.gz", "expected.nii.gz"))
    np.testing.assert_allclose(found.affine, expected.affine)
    assert (np.asarray(found.dataobj) == np.asarray(expected.dataobj)).mean() >= 0.999


def test_the_docs_way_with_onnxruntime_is_that_of_predict(command, trained, tmp_path, monkeypatch):
    for package in FORMATS["onnx"].needs:
        pytest.importorskip(package, reason="no ONNX packages: pip install '.[onnx]'")
    onnx.write(load_network(trained[0] / "model.keras"), None, tmp_path)
    (tmp_path / "onnx_model").mkdir()
    for file in (tmp_path / "model.onnx", trained[0] / "model.json"):
        (tmp_path / "onnx_model" / file.name).write_bytes(file.read_bytes())
    scans = write_phantoms(tmp_path / "phantoms", num_cases=2, size=24) / "imagesTr"
    (tmp_path / "scan.nii.gz").write_bytes((scans / "phantom_001.nii.gz").read_bytes())
    command("scnas_keras.predict", model=trained[0], image=tmp_path / "scan.nii.gz", output=tmp_path / "expected.nii.gz")
    monkeypatch.chdir(tmp_path)
    page = (pathlib.Path(__file__).parents[1] / "docs" / "serving.md").read_text()
    exec(re.search(r"```python\n([^`]*onnxruntime.*?)```", page, re.DOTALL)[1], {})
    found, expected = (np.asarray(nib.load(tmp_path / name).dataobj) for name in ("segmentation.nii.gz", "expected.nii.gz"))
    assert (found == expected).mean() >= 0.999


def test_the_requests_of_the_docs_are_answered(trained, exported):
    """TF Serving itself isn't in package registries: a small process answers as its REST interface does."""
    _, model = trained
    program = os.path.join(os.path.dirname(__file__), "rest_server.py")
    with subprocess.Popen([sys.executable, program, exported[0]], stdout=subprocess.PIPE, text=True) as server:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", int(server.stdout.readline()), timeout=120)
            image = scan((13, 17, 11), 2)
            request = {"signature_name": "segment", "inputs": {"image": image.tolist(), "spacing": [1.0, 0.9, 1.0]}}
            connection.request("POST", "/v1/models/served:predict", json.dumps(request))
            answer = connection.getresponse()
            assert answer.status == 200
            found = np.array(json.load(answer)["outputs"])
            assert (found == model.segment(volume_of(image, (1.0, 0.9, 1.0)))).mean() >= 0.999
            request["inputs"]["image"] = np.zeros((4, 4, 4, 2)).tolist()
            connection.request("POST", "/v1/models/served:predict", json.dumps(request))
            answer = connection.getresponse()
            assert answer.status == 400 and "every voxel is 0" in json.load(answer)["error"]
        finally:
            server.kill()
