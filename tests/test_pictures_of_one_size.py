"""Pictures of several sizes, gray and in colour, brought to one size: verified, planned, trained on, segmented at their own, exported."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from scnas_keras.errors import ConfigError, DataError
from scnas_keras.evaluate import EvaluateConfig
from scnas_keras.evaluate.runner import run_evaluation
from scnas_keras.export import ExportConfig, export
from scnas_keras.plan import PlanConfig, plan
from scnas_keras.predict import PredictConfig, predict
from scnas_keras.preprocessing.prepared_case import PreparedCase
from scnas_keras.retrain.config import RetrainConfig
from scnas_keras.retrain.runner import run_training
from scnas_keras.verify.dataset import verify_dataset

pytest.importorskip("SimpleITK", reason="needs SimpleITK: pip install 'scnas_keras[dicom]'")

SIZES = (20, 24), (33, 17), (16, 16), (41, 50), (19, 40), (25, 25)
"""Height and width."""


def write_pictures(folder):
    """Bright discs on noise; the second picture is gray, and the third has alpha and a palette mask."""
    random = np.random.default_rng(0)
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    for number, (height, width) in enumerate(SIZES):
        y, x = np.mgrid[:height, :width]
        disc = (y - height // 2) ** 2 + (x - width // 2) ** 2 < 36
        picture = (100 * disc[..., None] + random.integers(0, 100, (height, width, 4))).astype(np.uint8)
        stored = {1: picture[..., 0], 2: picture}.get(number, picture[..., :3])
        Image.fromarray(stored).save(folder / "images" / f"{number}.png")
        mask = Image.fromarray(disc.astype(np.uint8))
        if number == 2:
            mask = mask.convert("P")
            mask.putpalette([0, 0, 0, 255, 0, 0])
        mask.save(folder / "masks" / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The pictures' folder, what trains on them, and a finished training run."""
    folder = tmp_path_factory.mktemp("trained")
    flags = {
        "task": "custom",
        "data_dir": str(write_pictures(folder / "data")),
        "cache_dir": str(folder / "cache"),
        "configuration": "2d",
        "resize": (32, 16),
        "normalization": "fixed",
        "denoise": True,
        "network": "unet",
        "width": "4",
        "epochs": 1,
        "steps_per_epoch": 2,
        "validation_steps": 1,
        "batch_size": 2,
        "processes": 1,
        "num_folds": 3,
    }
    found = run_training(RetrainConfig(**flags, workdir=str(folder / "run")))
    assert re.search(r"NSD at 1 pixels +HD95 pixels", found.table)  # they don't tell the size of theirs
    return folder, flags


def test_they_are_sound_and_planned(trained):
    folder, flags = trained
    report = verify_dataset(folder / "data", processes=1, progress=False)
    assert not [finding for finding in report.findings if finding.kind.severity == "error"]
    same = {name: flags[name] for name in ("data_dir", "cache_dir", "resize", "normalization", "denoise", "processes")}
    plans = plan(PlanConfig(**same, output=str(folder / "plan"), network="unet"))
    assert plans.channel_names == ("red", "green", "blue") and list(plans.configurations) == ["2d"]
    assert plans.configuration("2d").slice_size == (32, 16)


def test_prepared_pictures_have_one_size_and_gray_ones_equal_channels(trained):
    folder, _ = trained
    files = sorted((folder / "cache").glob("*/*/meta.json"))
    cases = {json.loads(file.read_text())["name"]: PreparedCase("", file.parent) for file in files}
    assert {case.image().shape for case in cases.values()} == {(1, 32, 16, 3)} and len(cases) == len(SIZES)
    assert {case.label().shape for case in cases.values()} == {(1, 32, 16)}
    assert (cases["1"].image() == cases["1"].image()[..., :1]).all() and cases["0"].image()[..., 0].std() > 0
    low, high = (np.float16(value) for value in (-0.3667 / 0.3533, 0.6333 / 0.3533))
    assert all(low - 0.01 <= case.image().min() and case.image().max() <= high + 0.01 for case in cases.values())


def test_each_is_segmented_at_its_own_size(trained, caplog):
    caplog.set_level("INFO")
    folder, _ = trained
    written = predict(PredictConfig(str(folder / "run"), str(folder / "data" / "images"), str(folder / "out")))
    assert "which viewers show as black; --overlay draws them" in caplog.text
    sizes = {}
    for path in written:
        with Image.open(path) as image:
            sizes[path.name] = image.size[::-1]
    assert sizes == {f"{number}.png": size for number, size in enumerate(SIZES)}
    told = run_evaluation(EvaluateConfig(str(folder / "out"), str(folder / "data"), str(folder / "told.json"), processes=1))
    assert "NSD at 1 pixels" in told.text and "HD95 pixels  ASSD pixels" in told.text
    document = json.loads((folder / "told.json").read_text())
    assert (
        document["cases"]["0"]["foreground"]["reference_ml"] is None
        and document["length_unit"] == "pixels"
        and "volume_difference_ml" not in document["summary"]["foreground"]
    )


def test_a_graph_that_cannot_denoise_is_not_exported(trained, tmp_path):
    folder, _ = trained
    with pytest.raises(ConfigError, match=r"--format=saved_model takes whole scans.*SimpleITK.*--format=onnx or --format=litert"):
        export(ExportConfig(str(folder / "run"), str(tmp_path / "export")))
    assert not (tmp_path / "export").exists()


@pytest.mark.nightly
def test_a_run_without_denoising_is_exported(trained, tmp_path):
    _, flags = trained
    run_training(RetrainConfig(**flags | {"denoise": False}, workdir=str(tmp_path / "run")))
    assert (export(ExportConfig(str(tmp_path / "run"), str(tmp_path / "export"))) / "saved_model.pb").is_file()


def test_another_size_is_another_run(trained):
    folder, flags = trained
    with pytest.raises((ConfigError, DataError), match="resize"):
        run_training(RetrainConfig(**flags | {"resize": (16, 16), "epochs": 2}, workdir=str(folder / "run")))
