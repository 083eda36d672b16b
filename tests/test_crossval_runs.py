"""Training runs, folds and transfers as a person runs them, on generated scans."""

import csv
import json
import types
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_task import change, write_json, write_task
from small_training import FLAGS, retrain
from some_spaces import FLAT, U, sparse_genotype, uniform_genotype

from scnas_keras.architectures.registry import footprint
from scnas_keras.inference.keras_file import load_network
from scnas_keras.networks.divisors import divisors
from scnas_keras.retrain.config import RetrainConfig
from scnas_keras.retrain.validation import validate
from scnas_keras.runs.data_config import DataConfig
from scnas_keras.runs.folds import open_fold
from scnas_keras.runs.run_folder import RunFolder
from scnas_keras.spaces.u_shape import DECODER, ENCODER, EXPANSION, REDUCTION, u_shaped
from scnas_keras.tasks.loading import load_label

NAMES = ("conv_3", "max_pool_3", "identity", "zero")
ONE_NODE = u_shaped("one node", 3, NAMES, 1, (REDUCTION, ENCODER) * 3 + (EXPANSION, DECODER) * 3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    uniform_genotype("conv_3").save(folder / "conv.json")
    uniform_genotype("conv_3", FLAT).save(folder / "flat.json")
    uniform_genotype("conv_3", u_shaped("small", 3, NAMES, 2, U)).save(folder / "narrow.json")
    sparse_genotype(5, ONE_NODE).save(folder / "found.json")
    return folder


@pytest.mark.nightly
def test_a_network_that_finds_nothing_starts_again_with_a_tenth_of_the_rate(folder, caplog):
    """Background that counts a million times as much as a structure makes a network of background."""
    flags = (
        "--network=nnunet",
        "--width=4",
        "--preset=nnunet",
        "--class_weights=1,1e-6,1e-6",
        "--learning_rate=0.05",
        "--epochs=10",
        "--ema=0.9",
    )
    retrain(folder, *flags, "--steps_per_epoch=10", "--on_collapse=restart", "--workdir=nothing")
    assert caplog.text.count("The network finds no foreground") == 2 and caplog.text.count("starting again with other start values") == 1
    with open(folder / "nothing" / "history.csv", encoding="utf-8") as stream:
        rates = [float(row["learning_rate"]) for row in csv.DictReader(stream)]
    starts = [rate / (1 - epoch / 10) ** 0.9 for epoch, rate in enumerate(rates)]
    before = sum(start > 0.02 for start in starts)
    assert 2 <= before <= 8
    np.testing.assert_allclose(starts, [0.05] * before + [0.005] * (10 - before), rtol=1e-3)
    assert np.all([np.isfinite(weight).all() for weight in load_network(folder / "nothing" / "model.keras").get_weights()])


@pytest.fixture(scope="module")
def source(folder):
    """A trained network to transfer."""
    return retrain(folder, "--genotype=found.json", "--width=4", "--epochs=1", "--workdir=source")


@pytest.mark.nightly
def test_transfer_with_weights_says_what_it_did_not_take(folder, source, caplog):
    flags = ("--transfer_from=source", "--init=weights", "--width=4", "--epochs=1", "--learning_rate=1e-9", "--preset=nnunet", "--ema=0.5")
    retrain(folder, *flags, "--workdir=target")
    assert "weights taken from source/model.keras; new ones for 2:" in caplog.text and "logits_1, kernel" in caplog.text
    left = json.loads((folder / "target" / "transfer.json").read_text())
    assert left["taken"] == len(source.model.network.weights) and [line.split(",")[0] for line in left["not_taken"]] == [
        "logits_1",
        "logits_1",
    ]
    trained, target = source.model.network, load_network(folder / "target" / "model.keras")
    for before, after in zip(trained.get_weights(), target.get_weights(), strict=True):
        np.testing.assert_allclose(after, before, atol=1e-4)  # a rate of nearly 0 leaves them as they were
    assert (folder / "target" / "genotype.json").read_bytes() == (folder / "source" / "genotype.json").read_bytes()


@pytest.mark.nightly
def test_transfer_to_another_task_leaves_out_stem_and_output(folder, source):
    """From two channels and three classes to one and two, whose unannotated voxels don't count."""
    task = write_task(folder / "other", 5, channels=("T1",))
    for index in range(5):
        change(task / "labelsTr" / f"case_{index}.nii.gz", lambda label: label.__setitem__(label == 2, 1))
        change(task / "labelsTr" / f"case_{index}.nii.gz", lambda label: label.__setitem__(slice(0, 2), 2))
    write_json(task, [f"case_{index}" for index in range(5)], ("T1",), labels={"0": "background", "1": "organ", "2": "ignore"})
    other = ("--task=custom", "--data_dir=other", "--patch_size=8,8,8", "--epochs=1", "--width=4")
    retrain(folder, *other, "--transfer_from=source", "--init=weights", "--workdir=moved")
    left = json.loads((folder / "moved" / "transfer.json").read_text())["not_taken"]
    assert [line.partition(":")[0] for line in left] == ["stem, kernel", "logits, kernel", "logits, bias"]
    assert "3x3x3x1x4 here, 3x3x3x2x4 there" in left[0] and "4x2 here, 4x3 there" in left[1]
    assert load_network(folder / "moved" / "model.keras").output_shape[-1] == 2


def test_voxels_that_nobody_annotated_count_in_no_dice(tmp_path):
    task = write_task(tmp_path / "task", 3)
    for index in range(3):
        change(task / "labelsTr" / f"case_{index}.nii.gz", lambda label: label.__setitem__(slice(0, 2), 3))
    write_json(task, [f"case_{index}" for index in range(3)], labels={"0": "background", "1": "left", "2": "right", "3": "ignore"})
    config = DataConfig(task="custom", data_dir=str(task), cache_dir=str(tmp_path / "cache"), processes=1, num_folds=3)
    fold = open_fold(config, footprint("nnunet", 4))
    (name,) = fold.split.validation
    label = load_label(fold.task, next(case for case in fold.task.cases if case.name == name))
    wrong_where_ignored = types.SimpleNamespace(segment=lambda volume, mirror, scratch: np.where(label == 3, 1, label).astype(np.uint8))
    assert (label == 3).any()
    assert validate(RetrainConfig(), fold, wrong_where_ignored, RunFolder(tmp_path, "", 0.0)).dice == {name: [1.0, 1.0]}


@pytest.mark.nightly
def test_all_cases_can_be_trained_on_with_the_width_that_costs_as_much_as_u_resnet(folder, caplog):
    flags = ("--genotype=narrow.json", "--width=match:u_resnet:8", "--epochs=1", "--fold=all", "--patch_size=8,8,8", "--workdir=everything")
    trained = retrain(folder, *flags)
    assert "Trained on all 5 cases" in trained.table and "--width=match:u_resnet:8:" in caplog.text
    result = json.loads((folder / "everything" / "summary.json").read_text())["result"]
    model = keras.saving.load_model(folder / "everything" / "model.keras")
    assert result["parameters"] == model.count_params() and result["width"] % 2 == 0 and result["dice"] == {}


@pytest.mark.nightly
def test_slices_train_segment_and_export(folder, command):
    """nnU-Net's configuration 2d: slices of 3D scans, and a network whose axes are halved twice, by 4."""
    write_task(folder / "thin", 5)
    flags = ("--network=nnunet", "--configuration=2d", "--patch_size=16,16", "--width=4", "--epochs=1", "--mirror", "--workdir=slices")
    trained = retrain(folder, "--task=custom", "--data_dir=thin", *flags)
    assert "mean" in trained.table
    network = load_network(folder / "slices" / "model.keras")
    assert len(network.input_shape) == 4 and divisors(network) == (4, 4)
    command("scnas_keras.export", model=folder / "slices" / "model.keras", output=folder / "served")
    assert (folder / "served" / "model.json").read_bytes() == (folder / "slices" / "model.json").read_bytes()
    image = np.random.default_rng(0).normal(size=(1, 10, 21, 2)).astype(np.float32)  # padded to 12 x 24, and cut again
    served = tf.saved_model.load(folder / "served")
    probabilities = served.serve(image)["probabilities"]
    assert probabilities.shape == (1, 10, 21, 3)
    whole = np.pad(image, ((0, 0), (1, 1), (1, 2), (0, 0)))
    expected = tf.nn.softmax(network(whole))[:, 1:11, 1:22]
    np.testing.assert_allclose(probabilities, expected, atol=1e-5)


@pytest.mark.parametrize(
    "flags, message",
    [
        (("--network=nnunet", "--genotype=conv.json"), "--genotype=conv.json names an architecture"),
        (("--network=nnunet", "--transfer_from=conv.json"), "take its weights with --init=weights"),
        (("--genotype=conv.json", "--transfer_from=conv.json"), "both name an architecture"),
        (("--genotype=conv.json", "--init=weights"), "--transfer_from=RUN"),
        (("--transfer_from=conv.json", "--init=weights"), "a trained network, isn't there"),
        (("--genotype=conv.json", "--width=match:vnet"), "--width=match:vnet: expected match: and one of attention_unet, "),
        (("--network=u_resnet", "--width=match:unet"), "match: is for --network=genotype"),
        (("--genotype=conv.json", "--width=10"), "8 or 12"),
        (("--genotype=flat.json",), "--configuration=3d_fullres has 3D patches, and this genotype network takes 2D ones."),
        (("--genotype=conv.json", "--configuration=2d"), "--configuration=2d has 2D patches, and this genotype network takes 3D ones."),
        (("--network=nnunet", "--fold=first"), "--fold=first: expected a fold's number, from 0, or all"),
        (("--network=u_resnet", "--width=4", "--deep_supervision=true"), "has no outputs at coarser levels"),
        (("--network=nnunet", "--width=4", "--class_weights=1,2"), "expected 3 numbers"),
        (("--network=nnunet", "--ema=1"), "--ema=1.0 must be from 0"),
    ],
)
def test_flags_that_do_not_go_together_are_refused(flags, message, folder, command, capsys, monkeypatch):
    monkeypatch.setenv("SCNAS_CACHE_DIR", str(folder / "cache"))
    for name in ("conv.json", "flat.json"):
        Path(name).write_text((folder / name).read_text())
    settings = dict(flag.lstrip("-").split("=", 1) for flag in (*FLAGS, *flags))
    with pytest.raises(SystemExit) as caught:
        command("scnas_keras.retrain", **settings, workdir="refused")
    assert caught.value.code == 2 and message in capsys.readouterr().err and not Path("refused").exists()
