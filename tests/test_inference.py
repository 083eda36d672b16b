"""From patches to whole scans, model folders, the predict command and SavedModels."""

import dataclasses
import itertools
import json
import tempfile

import keras
import nibabel as nib
import numpy as np
import pytest
from small_task import write_task

from scnas_keras.errors import DataError
from scnas_keras.formats.volumes import read_image, read_label
from scnas_keras.inference.companion import read_companion
from scnas_keras.inference.keras_file import load_network
from scnas_keras.inference.model_folder import SegmentationModel
from scnas_keras.inference.seen import Seen
from scnas_keras.inference.sliding_window import ProbabilityRows, tile_starts, tile_weight
from scnas_keras.machine.scratch import Scratch
from scnas_keras.preprocessing.cropping import crop_to_nonzero
from scnas_keras.preprocessing.plan import Normalization, PreprocessingPlan
from scnas_keras.preprocessing.resampling import resize_rows, strongest
from scnas_keras.preprocessing.scans import preprocess_image
from scnas_keras.tasks.phantoms import write_phantoms


def softmax(logits):
    shifted = np.exp(logits - logits.max(-1, keepdims=True))
    return shifted / shifted.sum(-1, keepdims=True)


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_tiles_of_one_voxel_cover_each_once():
    assert [tile_starts(size, 1) for size in (1, 2, 7)] == [[0], [0, 1], [*range(7)]]


@pytest.mark.parametrize("patch", [2, 8, 40, 64])
def test_tiles_cover_an_axis_and_share_half_a_patch(patch):
    for size in range(1, 5 * patch + 2):
        starts = tile_starts(size, patch)
        if size <= patch:
            assert starts == [0]
            continue
        assert starts[0] == 0 and starts[-1] == size - patch
        assert all(0 < later - start <= patch / 2 for start, later in itertools.pairwise(starts))
        assert len(starts) <= np.ceil((size - patch) / (patch / 2)) + 1


def test_tile_weight_is_a_symmetric_positive_bell():
    weight = tile_weight((8, 16, 7))
    assert weight.shape == (8, 16, 7) and weight.dtype == np.float32
    np.testing.assert_array_equal(weight, np.flip(weight))
    assert weight.max() == 1 == weight[3, 7, 3] and weight.min() > 0
    assert weight[3, 5, 3] == pytest.approx(np.exp(-0.5 * (2.5**2 - 0.5**2) / 2**2))  # sigma 16 / 8


def predict_volume(network, image, patch_size, num_classes, mirror_axes=(), **more):
    """All rows at once, [x, y, z, classes], of a network that gives logits."""

    def by_rows(tiles):
        return np.moveaxis(softmax(network(tiles)), -1, 2)

    rows = ProbabilityRows(by_rows, image, patch_size, num_classes, Scratch(tempfile.gettempdir()), mirror_axes, **more)
    return np.moveaxis(np.stack([np.array(row) for row in rows]), 1, -1)


@pytest.mark.parametrize("size", [(8, 8, 8), (13, 21, 9), (5, 8, 30), (3, 4, 5)])
def test_constant_logits_give_their_softmax_everywhere(size):
    logits = np.array([0.3, -1.0, 2.0])
    seen = []

    def network(patch):
        seen.append(patch.shape)
        return np.broadcast_to(logits, (*patch.shape[:-1], 3))

    result = predict_volume(network, noise(*size, 2), (8, 8, 8), 3)
    assert result.shape == (*size, 3) and result.dtype == np.float32 and set(seen) == {(1, 8, 8, 8, 2)}
    np.testing.assert_allclose(result, np.broadcast_to(softmax(logits), result.shape), atol=1e-6)


def test_a_small_scan_lies_in_the_middle_of_its_patch():
    image, seen = noise(3, 8, 5, 2), []
    predict_volume(lambda patch: seen.append(patch) or patch, image, (8, 8, 8), 2)
    assert len(seen) == 1
    np.testing.assert_array_equal(seen[0][0], np.pad(image, [(2, 3), (0, 0), (1, 2), (0, 0)]))


@pytest.mark.parametrize("mirror", [(), (0,), (0, 1, 2)])
@pytest.mark.parametrize("size", [(16, 8, 24), (13, 21, 9), (5, 8, 30), (3, 4, 5)])
def test_a_pointwise_network_sees_every_voxel_in_its_place(size, mirror):
    image = noise(*size, 3)
    np.testing.assert_allclose(predict_volume(lambda patch: patch, image, (8, 8, 8), 3, mirror), softmax(image), atol=1e-5)


def test_mirroring_averages_over_all_flips():
    ramp = noise(8, 8, 8, 2, seed=1)  # a network that knows where in its patch it is
    image = noise(8, 8, 8, 2)

    def network(patch):
        return patch * ramp

    def predict(image):
        return predict_volume(network, image, (8, 8, 8), 2, (0, 1, 2))

    flips = [axes for n in range(4) for axes in itertools.combinations(range(3), n)]
    expected = np.mean([np.flip(softmax(np.flip(image, axes) * ramp), axes) for axes in flips], axis=0)
    np.testing.assert_allclose(predict(image), expected, atol=1e-6)
    for axes in flips:
        np.testing.assert_allclose(predict(np.flip(image, axes)), np.flip(predict(image), axes), atol=1e-6)


class Ramp(keras.layers.Layer):
    """A network that knows where in its patch it is."""

    def __init__(self, ramp):
        super().__init__()
        self.ramp = ramp

    def call(self, patch):
        return patch * self.ramp


def test_a_network_of_slices_mirrors_the_axes_of_its_patch():
    """Axis 0 of the patch is axis 1 of the scan; the slices keep their order."""
    ramp, image = noise(8, 6, 2, seed=1), noise(3, 8, 6, 2)
    plan = PreprocessingPlan((None, 1.0, 1.0), (Normalization("T1", "zscore"),) * 2, {0: "background", 1: "a"})
    network = keras.Sequential([keras.Input((8, 6, 2)), Ramp(ramp)])
    rows = SegmentationModel(network, plan, (8, 6), (0,)).probability_rows(image, mirror=True)
    found = np.stack([np.moveaxis(row, 0, -1).copy() for row in rows])
    expected = (softmax(image * ramp) + np.flip(softmax(np.flip(image, 1) * ramp), 1)) / 2
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_progress_counts_tiles():
    calls = []
    predict_volume(lambda patch: patch, noise(16, 8, 8, 2), (8, 8, 8), 2, progress=lambda *call: calls.append(call))
    assert calls == [(1, 3), (2, 3), (3, 3)]


KERNEL = np.array([[0.0, 1.0, -0.5], [0.0, -0.7, 1.0]], np.float32)  # class 1 is bright in T1, class 2 in T2


def pointwise_model():
    """A model whose answer is known at every voxel."""
    network = keras.Sequential([keras.Input((None, None, None, 2)), keras.layers.Dense(3, use_bias=False)])
    network.set_weights([KERNEL])
    plan = PreprocessingPlan(
        (1.0, 1.0, 1.0), (Normalization("T1", "zscore"), Normalization("T2", "zscore")), {0: "background", 1: "a", 2: "b"}
    )
    return SegmentationModel(network, plan, (16, 16, 16), mirror_axes=(0, 1, 2))


def expected_segmentation(volume):
    """Of `pointwise_model` for a scan of 1 mm voxels, which no step resamples."""
    image, crop, _ = preprocess_image(volume, pointwise_model().plan)
    result = np.zeros(volume.array.shape[:3], np.uint8)
    result[crop.slices] = (image @ KERNEL).argmax(-1)
    return result


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory):
    return write_phantoms(tmp_path_factory.mktemp("phantoms"), num_cases=3, size=24) / "imagesTr"


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    pointwise_model().save(folder)
    return folder


@pytest.mark.parametrize("index", range(3), ids=["RAS", "LPS", "SRA"])
def test_a_loaded_model_segments_scans_on_their_grid(index, phantoms, model_folder):
    model = SegmentationModel.load(model_folder)
    assert (model.plan, model.patch_size) == (pointwise_model().plan, (16, 16, 16))
    volume = read_image(phantoms / f"phantom_00{index}.nii.gz")
    segmentation = model.segment(volume)
    assert segmentation.dtype == np.uint8 and segmentation.shape == volume.array.shape[:3]
    np.testing.assert_array_equal(segmentation, expected_segmentation(volume))
    assert set(np.unique(segmentation)) == {0, 1, 2}
    assert not segmentation[~_inside(volume)].any()


def _inside(volume):
    box = np.zeros(volume.array.shape[:3], bool)
    box[crop_to_nonzero(volume.array, volume.spacing).slices] = True
    return box


def test_a_scan_of_other_spacing_keeps_its_own_grid(tmp_path):
    scan = read_image(write_task(tmp_path, num_cases=1, spacing=(1.0, 2.0, 1.5)) / "imagesTr" / "case_0.nii.gz")
    segmentation = pointwise_model().segment(scan)
    assert segmentation.shape == scan.array.shape[:3] == (12, 10, 8) and segmentation.any()
    assert not segmentation[0].any() and not segmentation[:, :, -1].any()


@pytest.mark.parametrize("index", range(3), ids=["RAS", "LPS", "SRA"])
def test_probabilities_are_written_on_the_scans_grid(index, command, phantoms, model_folder, tmp_path):
    scan = phantoms / f"phantom_00{index}.nii.gz"
    command("scnas_keras.predict", model=model_folder, image=scan, output=tmp_path / "s.nii.gz", save_probabilities=True)
    written, own = nib.load(tmp_path / "s_probabilities.nii.gz"), nib.load(scan)
    assert written.shape == (*own.shape[:3], 3) and np.array_equal(written.affine, own.affine)
    found, label = read_image(tmp_path / "s_probabilities.nii.gz").array, read_label(tmp_path / "s.nii.gz")[0]
    np.testing.assert_allclose(found.sum(-1), 1, atol=1e-4)
    assert (found.argmax(-1) == label).mean() > 0.999
    before = (tmp_path / "s_probabilities.nii.gz").stat().st_mtime_ns
    command("scnas_keras.predict", model=model_folder, image=phantoms, output=tmp_path / "all", save_probabilities=True)
    assert len([*(tmp_path / "all").glob("*_probabilities.nii.gz")]) == 3
    assert (tmp_path / "s_probabilities.nii.gz").stat().st_mtime_ns == before


def test_a_model_file_may_be_named_itself(model_folder):
    assert SegmentationModel.load(model_folder / "model.keras").patch_size == (16, 16, 16)


@pytest.mark.parametrize(
    "name, content, words",
    [
        ("model.json", None, "no such file"),
        ("model.keras", None, "no such file"),
        ("model.json", b"{", "found broken JSON"),
        ("model.json", b'{"patch_size": [8, 8, 8]}', 'expected the key "mirror_axes"'),
        ("model.keras", b"PK\x03\x04 cut off", "can't be read as a Keras model"),
        ("model.keras", b"", "can't be read as a Keras model"),
    ],
)
def test_damaged_models_are_named(name, content, words, tmp_path):
    pointwise_model().save(tmp_path)
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=words) as caught:
        SegmentationModel.load(tmp_path)
    assert str(tmp_path / name) in str(caught.value)


def test_a_models_document_is_written_as_it_was_read(tmp_path):
    model = pointwise_model()
    model.save(tmp_path)
    text = (tmp_path / "model.json").read_text()
    found = read_companion(tmp_path / "model.json")
    assert (found.patch_size, found.mirror_axes, found.plan) == (model.patch_size, model.mirror_axes, model.plan)
    assert json.dumps(dataclasses.asdict(found), indent=1) + "\n" == text


def in_plan(**changes):
    return lambda content: content["plan"].update(changes)


def in_channel(**changes):
    return lambda content: content["plan"]["channels"][1].update(changes)


CT = {"scheme": "ct", "low": -100, "high": 300, "mean": 50, "std": 80}


@pytest.mark.parametrize(
    "edit, message",
    [
        (lambda content: content.update(patch_size=[]), "patch_size: found [], expected a list of length >= 2."),
        (lambda content: content.update(patch_size=[8, 8, 0]), "patch_size[2]: found 0, expected a whole number >= 1."),
        (lambda content: content.update(patch_size=[8, 8, 10**9]), "patch_size[2]: found 1000000000, expected a whole number <= 10000."),
        (lambda content: content.update(patch_size=["8", 8, 8]), 'patch_size[0]: found "8", expected a whole number.'),
        (lambda content: content.update(mirror_axes=[7]), "mirror_axes[0]: found 7, expected a whole number <= 2."),
        (lambda content: content.update(mirror_axes=[-1]), "mirror_axes[0]: found -1, expected a whole number >= 0."),
        (lambda content: content.update(mirror_axes=[0, 0]), "mirror_axes: found [0, 0], expected each only once."),
        (
            lambda content: content.update(patch_size=[8, 8], mirror_axes=[2]),
            "mirror_axes[0]: found 2, expected an axis of the patch, 0 to 1.",
        ),
        (
            lambda content: content.update(mirror_axis=[0]),
            "mirror_axis: found this key, expected one of patch_size, mirror_axes, plan, seen, dice.",
        ),
        (lambda content: content.update(dice={"liver": 0.5}), 'dice: found ["liver"], expected the plan\'s classes: '),
        (lambda content: content.update(plan=[1]), "plan: found [1], expected an object {...}."),
        (in_plan(version=1), "plan: version 1 can't be read; this release reads version 2. Use the program that trained the model"),
        (in_plan(spacing=[0, 1, 1]), "plan.spacing[0]: found 0, expected a number >= 1e-06."),
        (in_plan(spacing=[1, None, 1]), "plan.spacing[1]: found null, expected a number."),
        (in_plan(spacing=[1, 1]), "plan.spacing: found [1, 1], expected a list of length 3."),
        (in_plan(spacing=[None, 1, 1]), "patch_size: found [16, 16, 16], expected 2 numbers, as plan.spacing keeps the slices"),
        (in_plan(transpose=[0, 1, 3]), "plan.transpose: found [0, 1, 3], expected 0, 1 and 2 in some order."),
        (in_plan(labels={"0": "a", "2": "b"}), 'plan.labels: found {"0": "a", "2": "b"}, expected at least 2 labels, with the'),
        (in_plan(labels={"0": "a", "x": "b"}), 'plan.labels.x: found the key "x", expected a whole number as key.'),
        (in_plan(channels=[]), "plan.channels: found [], expected a list of length >= 1."),
        (in_channel(scheme="pet"), 'plan.channels[1].scheme: found "pet", expected one of "ct", "fixed", '),
        (in_channel(scheme="ct"), 'plan.channels[1].low: found null, expected a number, as the scheme is "ct".'),
        (in_channel(**CT | {"std": 0}), 'plan.channels[1].std: found 0.0, expected a number above 0, as the scheme "ct" divides by it.'),
        (in_channel(**CT | {"high": -200}), "plan.channels[1].high: found -200.0, expected a number of at least low, -100."),
        (
            in_channel(masked=True),
            "plan.channels[1].masked: found this key, expected one of channel, scheme, use_mask, low, high, mean, std.",
        ),
        (in_plan(resampling={"image_order": 2}), "plan.resampling.image_order: found 2, expected one of 0, 1, 3."),
        (in_plan(resampling={"anisotropy": 1}), "plan.resampling.anisotropy: found 1, expected a number > 1.0."),
    ],
)
def test_nonsense_in_a_models_document_is_refused_with_its_place(edit, message, tmp_path):
    pointwise_model().save(tmp_path)
    file = tmp_path / "model.json"
    content = json.loads(file.read_text())
    edit(content)
    file.write_text(json.dumps(content))
    with pytest.raises(DataError) as caught:
        SegmentationModel.load(tmp_path)
    assert str(caught.value).startswith(f"{file}: {message}") and "\n" not in str(caught.value)


def test_a_model_file_that_holds_code_is_refused(tmp_path):
    network = keras.Sequential([keras.Input((2,)), keras.layers.Lambda(lambda x: x + 1)])
    network.save(tmp_path / "model.keras")
    with pytest.raises(DataError, match="can't be read as a Keras model"):
        load_network(tmp_path / "model.keras")


def test_predict_writes_onto_the_scans_grid(command, phantoms, model_folder, tmp_path, capsys):
    scan, output = phantoms / "phantom_002.nii.gz", tmp_path / "out" / "segmentation.nii.gz"
    command("scnas_keras.predict", model=model_folder, image=scan, output=output)
    assert capsys.readouterr().out == f"{output}\n"
    again = tmp_path / "again" / output.name
    command("scnas_keras.predict", model=model_folder, image=scan, output=again)
    assert again.read_bytes() == output.read_bytes() and output.read_bytes()[4:8] == bytes(4), "gzip's time"
    original, written = nib.load(scan), nib.load(output)
    np.testing.assert_array_equal(written.affine, original.affine)
    assert written.shape == original.shape[:3] and written.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(read_label(output)[0], expected_segmentation(read_image(scan)))


SEEN = Seen(((1, 1),) * 3, ((20, 30),) * 3, ((0, 1000), (0, 1000)), (1, 1))


@pytest.mark.parametrize(
    "changes, told",
    [
        ({"dice": {"a": 0.0, "b": 0.0625}}, "found next to nothing in its own validation (Dice: a 0.000, b 0.062): train it longer"),
        ({"dice": {"a": 0.05, "b": None}}, "found next to nothing in its own validation (Dice: a 0.050): train it longer"),
        ({"dice": None}, "holds no Dice: its validation didn't come to its end, or it is of an older version"),
        ({"dice": {"a": 0.0, "b": 0.1}}, None),
        ({"dice": {"a": None, "b": None}}, None),
        ({"dice": {}}, None),
        ({"seen": None}, "is of an older version"),
    ],
)
def test_a_model_that_was_hardly_trained_is_told(changes, told, command, phantoms, tmp_path, caplog):
    dataclasses.replace(pointwise_model(), **{"seen": SEEN, **changes}).save(tmp_path)
    command("scnas_keras.predict", model=tmp_path, image=phantoms / "phantom_000.nii.gz", output=tmp_path / "a.nii.gz")
    lines = [line for line in caplog.messages if line.startswith(f"{tmp_path} ")]
    assert [told in line for line in lines] == [True] if told else not lines


def test_predict_takes_folders_and_draws(command, phantoms, model_folder, tmp_path):
    command("scnas_keras.predict", "--overlay", "--mirror", model=model_folder, image=phantoms, output=tmp_path)
    names = [f"phantom_00{index}" for index in range(3)]
    expected = [name + end for name in names for end in (".nii.gz", ".png")] + ["predictions.json"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(expected)
    for name in names:
        expected = expected_segmentation(read_image(phantoms / f"{name}.nii.gz"))
        np.testing.assert_array_equal(read_label(tmp_path / f"{name}.nii.gz")[0], expected)


@pytest.mark.parametrize("image, output", [("a.nii.gz", "a.nii.gz"), ("a.nii.gz", "."), (".", "."), ("a.nii.gz", "link.nii.gz")])
def test_predict_never_overwrites_a_scan(image, output, command, phantoms, model_folder, tmp_path, capsys):
    scan = tmp_path / "a.nii.gz"
    content = (phantoms / "phantom_000.nii.gz").read_bytes()
    scan.write_bytes(content)
    if output == "link.nii.gz":
        (tmp_path / output).symlink_to(scan)
    files = sorted(tmp_path.iterdir())
    with pytest.raises(SystemExit) as caught:
        command("scnas_keras.predict", model=model_folder, image=tmp_path / image, output=tmp_path / output)
    assert caught.value.code == 2 and "would overwrite the scan" in capsys.readouterr().err
    assert scan.read_bytes() == content and sorted(tmp_path.iterdir()) == files


@pytest.mark.parametrize(
    "flags, words",
    [
        ({"output": None}, "Missing: --output; see --help."),
        ({"image": "absent.nii.gz"}, "neither a file nor a folder"),
        ({"output": "segmentation.png"}, "end in .nii.gz"),
        ({"model": "absent"}, "no such file"),
    ],
)
def test_predict_says_what_is_wrong(flags, words, command, phantoms, model_folder, tmp_path, capsys):
    settings = {"model": model_folder, "image": phantoms / "phantom_000.nii.gz", "output": tmp_path / "s.nii.gz"} | flags
    with pytest.raises(SystemExit) as caught:
        command("scnas_keras.predict", **{name: value for name, value in settings.items() if value is not None})
    assert caught.value.code == 2 and words in capsys.readouterr().err and not list(tmp_path.iterdir())


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("size", [(16, 8, 24), (13, 21, 9), (1, 30, 17), (5, 8, 30), (3, 4, 5)])
def test_rows_equal_the_computation_of_the_whole(size, batch):
    """In float64, with all tiles and all voxels at once."""
    patch, classes = (8, 6, 10), 4
    ramp, image = noise(*patch, classes, seed=1).astype(np.float64), noise(*size, classes)
    found = predict_volume(lambda tiles: tiles * ramp, image, patch, classes, (0, 2), batch=batch)
    padding = [max(0, p - n) for n, p in zip(size, patch)]
    padded = np.pad(image, [*((p // 2, p - p // 2) for p in padding), (0, 0)]).astype(np.float64)
    total, weights = np.zeros_like(padded), np.zeros(padded.shape[:3])
    for start in itertools.product(*(tile_starts(n, p) for n, p in zip(padded.shape, patch))):
        tile = tuple(slice(s, s + p) for s, p in zip(start, patch))
        flips = ((), (0,), (2,), (0, 2))
        mean = np.mean([np.flip(softmax(np.flip(padded[tile], axes) * ramp), axes) for axes in flips], axis=0)
        total[tile] += tile_weight(patch)[..., None] * mean
        weights[tile] += tile_weight(patch)
    inside = tuple(slice(p // 2, p // 2 + n) for p, n in zip(padding, size))
    np.testing.assert_allclose(found, (total / weights[..., None])[inside], atol=1e-5)


def test_no_more_rows_are_held_than_a_band_of_tiles_and_what_resampling_needs():
    """However long the scan is; a row that was given back is used again."""
    taken = {}
    for length in (40, 400):
        rows = ProbabilityRows(
            lambda tiles: np.moveaxis(softmax(tiles), -1, 2), noise(length, 8, 8, 2), (8, 8, 8), 2, Scratch(tempfile.gettempdir())
        )
        lent, most = 0, 0
        for place, maps in resize_rows(rows, (length, 8, 8), (length * 2, 300, 300), (1, 1, 1), rows.release):
            strongest(maps)
            most = max(most, len(rows._lent))
            lent += place.stop - place.start
        taken[length] = most
        assert lent == 2 * length
    assert taken[400] <= taken[40] + 2 < 40
