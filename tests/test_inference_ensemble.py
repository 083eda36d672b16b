"""Several networks whose probabilities are averaged on the scan's grid."""

import dataclasses
import types
from pathlib import Path

import keras
import numpy as np
import pytest

from scnas_keras.errors import DataError
from scnas_keras.formats.geometry import Volume
from scnas_keras.formats.volumes import PROBABILITY_ONE, read_label
from scnas_keras.inference.companion import Companion, check_alike, find_models
from scnas_keras.inference.ensemble import Ensemble
from scnas_keras.inference.model_folder import SegmentationModel
from scnas_keras.inference.segmenting import _keeping
from scnas_keras.machine.scratch import Scratch
from scnas_keras.preprocessing.plan import Normalization, PreprocessingPlan
from scnas_keras.preprocessing.resampling import resize
from scnas_keras.preprocessing.scans import preprocess_image
from scnas_keras.tasks.phantoms import write_phantoms

LABELS = {0: "background", 1: "a", 2: "b"}


def model(seed, spacing=(1.0, 1.0, 1.0), **changes):
    """A network that looks at each voxel alone."""
    kernel = np.random.default_rng(seed).normal(size=(2, 3)).astype(np.float32)
    network = keras.Sequential([keras.Input((None, None, None, 2)), keras.layers.Dense(3, use_bias=False)])
    network.set_weights([kernel])
    plan = PreprocessingPlan(spacing, (Normalization("T1", "zscore"), Normalization("T2", "zscore")), LABELS)
    return SegmentationModel(network, dataclasses.replace(plan, **changes), (8, 8, 8), (0, 1))


def volume(shape=(20, 17, 13), seed=0):
    array = np.random.default_rng(seed).normal(100, 20, (*shape, 2)).astype(np.float32)
    return Volume(array, (1.0, 1.2, 2.0), types.SimpleNamespace(path="scan"))


def expected(members, scan):
    """The mean of whole arrays of probabilities."""
    total = 0.0
    for member in members:
        image, crop, _ = preprocess_image(scan, member.plan)
        logits = image @ np.asarray(member.network.weights[0])
        values = np.exp(logits - logits.max(-1, keepdims=True))
        values /= values.sum(-1, keepdims=True)
        total = total + np.stack([resize(values[..., k], crop.size, (1, 1, 1)) for k in range(3)], -1)
    return total.argmax(-1)


@pytest.mark.parametrize("members", [(model(1),), (model(1), model(2)), (model(1), model(2, (1.3, 1.2, 3.0)), model(3, (2.0, 2.0, 2.0)))])
def test_the_mean_of_all_decides_on_the_scans_grid(members, tmp_path):
    scan = volume()
    found = Ensemble(members).segment(scan, scratch=Scratch(tmp_path))
    assert (found == expected(members, scan)).mean() > 0.999
    if len(members) == 1:
        np.testing.assert_array_equal(members[0].segment(scan), found)


@pytest.mark.parametrize("transpose", [(0, 1, 2), (2, 0, 1)])
@pytest.mark.parametrize("count", [1, 2])
def test_probabilities_are_kept_on_the_scans_grid(count, transpose, tmp_path):
    scan = volume()
    scan.array[:2] = scan.array[:, :, -3:] = 0
    members = [model(seed, transpose=transpose) for seed in range(1, 1 + count)]
    keep = Scratch(tmp_path).array((3, *scan.array.shape[:3]), np.uint16)
    found = Ensemble(tuple(members)).segment(scan, keep=keep)
    share = keep / np.float64(PROBABILITY_ONE)
    np.testing.assert_allclose(share.sum(axis=0), 1, atol=3 / PROBABILITY_ONE)
    assert (share.argmax(axis=0) == found).mean() > 0.999 and len(np.unique(found)) == 3
    assert (share[0, :2] == 1).all() and (share[0, :, :, -3:] == 1).all() and 0.2 < share[1, 2:, :, :-3].mean() < 0.8


def test_kept_probabilities_stay_within_0_and_1():
    """Cubic splines overshoot, and 16 bits would begin anew."""
    kept = np.ones((2, 4), np.uint16)
    maps = [np.float32([2.1, -0.2, 1.0, 2.0]), np.float32([-0.1, 2.2, 1.0, 0.0])]
    passed = [*_keeping(iter(maps), kept, 2)]
    np.testing.assert_array_equal(kept, [[PROBABILITY_ONE, 0, 32768, PROBABILITY_ONE], [0, PROBABILITY_ONE, 32768, 0]])
    assert passed[0] is maps[0] and passed[1] is maps[1]


def test_a_scan_is_prepared_once_for_equal_plans(monkeypatch):
    prepared = []
    original = preprocess_image

    def count(*arguments):
        prepared.append(arguments)
        return original(*arguments)

    monkeypatch.setattr("scnas_keras.inference.segmenting.preprocess_image", count)
    Ensemble((model(1), model(2), model(3, (2.0, 2.0, 2.0)))).segment(volume())
    assert len(prepared) == 2


def saved(folder, *models):
    for number, own in enumerate(models):
        own.save(folder / f"fold_{number}")
    return folder


def test_models_are_several_names_or_the_folds_of_a_network(tmp_path, caplog):
    folder = saved(tmp_path / "nnunet", model(1), model(2))
    by_name = find_models(f"{folder / 'fold_0'},{folder / 'fold_1' / 'model.keras'}")
    assert [path.parent.name for path, _ in by_name] == [path.parent.name for path, _ in find_models(str(folder))] == ["fold_0", "fold_1"]
    (folder / "fold_2").mkdir()
    assert len(find_models(str(folder))) == 2 and "2 of 3 folds are trained" in caplog.text
    with pytest.raises(DataError, match="nowhere: no such file"):
        find_models(f"{folder},nowhere")


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"labels": {0: "background", 1: "a", 2: "c"}}, "the classes background, a, c, and .* has background, a, b"),
        ({"channels": (Normalization("T1", "zscore"), Normalization("CT", "zscore"))}, "the channels T1, CT, and"),
        ({"transpose": (2, 0, 1)}, "the order of axes z, x, y, and"),
    ],
)
def test_networks_of_other_tasks_are_refused(changes, message, tmp_path):
    folder = saved(tmp_path / "nnunet", model(1), model(2, **changes))
    with pytest.raises(DataError, match=message):
        find_models(str(folder))


def test_networks_of_slices_of_one_size_are_not_averaged_with_others():
    """The former see whole slices, the others what isn't 0 of them; different sizes have the same grid."""
    plan = model(1, (None, 1.0, 1.0)).plan
    own, sized, larger = (
        (Path(name), Companion((8, 8), (), dataclasses.replace(plan, slice_size=size)))
        for name, size in (("own", None), ("sized", (16, 16)), ("larger", (32, 24)))
    )
    check_alike([sized, larger])
    with pytest.raises(DataError, match="sized has the grid of slices of one size, and own has by a spacing"):
        check_alike([own, sized])


def test_predict_takes_the_folds_of_a_cross_validation(tmp_path, command, caplog):
    members = model(1), model(2)
    scans = write_phantoms(tmp_path / "data", num_cases=1, size=24) / "imagesTr"
    command("scnas_keras.predict", model=saved(tmp_path / "nnunet", *members), image=scans, output=tmp_path / "found")
    assert "the mean of 2 networks' probabilities decides" in caplog.text
    (file,) = (tmp_path / "found").glob("*.gz")
    assert set(np.unique(read_label(file)[0])) <= {0, 1, 2}
