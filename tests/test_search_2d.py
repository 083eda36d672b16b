"""Search in two dimensions, from slices of scans and from pictures: found, trained, and used on a whole scan."""

import csv
import json

import keras
import numpy as np
import pytest
from PIL import Image
from small_task import write_task
from some_spaces import U

from scnas_keras.errors import ConfigError
from scnas_keras.predict import PredictConfig, predict
from scnas_keras.retrain.config import RetrainConfig
from scnas_keras.retrain.runner import run_training
from scnas_keras.search import checks, runner
from scnas_keras.search.config import SearchConfig
from scnas_keras.spaces.genotype import Genotype
from scnas_keras.spaces.u_shape import u_shaped

FLAT = u_shaped("tiny", 2, ("conv_3", "max_pool_3", "identity", "zero"), 1, U)
SHORT = {"task": "custom", "configuration": "2d", "epochs": 1, "steps_per_epoch": 2, "validation_steps": 1, "batch_size": 2, "processes": 1}

DARTS = {
    "augmentation": "cutout",
    "weights_optimizer": "sgd",
    "weights_schedule": "cosine",
    "weights_lr": 0.02,
    "weights_decay": 3e-4,
    "alpha_decay": 1e-3,
    "epochs": 2,
}
"""What a search is updated by in DARTS, on pictures."""


def write_pictures(folder):
    """Six pictures of bright discs on noise, and their masks."""
    rng = np.random.default_rng(0)
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    for number in range(6):
        y, x = np.mgrid[:20, :24]
        disc = (y - 6 - number) ** 2 + (x - 10) ** 2 < 25
        Image.fromarray((100 * disc[..., None] + rng.integers(0, 100, (20, 24, 3))).astype(np.uint8)).save(
            folder / "images" / f"{number}.png"
        )
        Image.fromarray((255 * disc).astype(np.uint8)).save(folder / "masks" / f"{number}.png")
    return folder


@pytest.fixture(scope="module", params=[*(pytest.param(kind, marks=pytest.mark.nightly) for kind in ("slices", "sized")), "pictures"])
def searched(request, tmp_path_factory):
    """Data, flags of every run on them, and a finished search."""
    folder = tmp_path_factory.mktemp(request.param)
    write = (lambda path: write_task(path, num_cases=6, shape=(20, 16, 6))) if request.param == "slices" else write_pictures
    flags = {**SHORT, "data_dir": str(write(folder / "data")), "cache_dir": str(folder / "cache"), "patch_size": (16, 16)}
    flags |= {"resize": (32, 16)} if request.param == "sized" else {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checks, "find_space", lambda name, rank: {2: FLAT}[rank])
        options = DARTS if request.param == "pictures" else {}
        runner.run_search(SearchConfig(**flags | options, workdir=str(folder / "search"), stem_channels=4, width=4))
    return request.param, folder, flags


def test_what_a_search_leaves_is_two_dimensional(searched):
    _, folder, _ = searched
    genotype = Genotype.load(folder / "search" / "genotype.json")
    assert genotype.space == FLAT
    model = keras.saving.load_model(folder / "search" / "model.keras")
    assert len(model.input_shape) == 4
    result = json.loads((folder / "search" / "summary.json").read_text())["result"]
    assert result["patch_size"] == [16, 16] and result["derived"]["multiply_adds"] > 0
    cost = json.loads((folder / "search" / "cost.json").read_text())
    assert 0 < cost["gibibytes"]["low_memory"] < cost["gibibytes"]["fast"] < 4
    assert (folder / "search" / "genotype.png").stat().st_size > 10_000


def test_the_rate_of_the_weights_falls_as_a_cosine(searched):
    kind, folder, _ = searched
    if kind != "pictures":
        pytest.skip("slices are searched with the default")
    with open(folder / "search" / "history.csv", newline="", encoding="utf-8") as stream:
        rates = [float(row["learning_rate"]) for row in csv.DictReader(stream)]
    assert rates == pytest.approx([0.02, 0.01])
    plan = json.loads((folder / "search" / "plans.json").read_text())
    assert plan["configurations"]["2d"]["augmentation"]["transforms"] == [{"name": "cutout", "probability": 1.0, "length": 16}]


@pytest.mark.nightly
def test_the_found_network_is_trained_and_segments_a_whole_image(searched):
    kind, folder, flags = searched
    result = run_training(RetrainConfig(**flags, workdir=str(folder / "trained"), genotype=str(folder / "search"), width="4"))
    assert len(result.dice) == 2
    image, output = ("images/0.png", "out.png") if kind != "slices" else ("imagesTr/case_0.nii.gz", "out.nii.gz")
    (written,) = predict(PredictConfig(str(folder / "trained"), str(folder / "data" / image), str(folder / output)))
    assert written.is_file()


@pytest.mark.nightly
def test_a_training_run_begins_where_the_search_ended(searched):
    """With next to no learning rate its network has the search's weights."""
    _, folder, flags = searched
    begin = {"genotype": str(folder / "search"), "init": "search", "width": "4", "learning_rate": 1e-9}
    run_training(RetrainConfig(**flags, **begin, workdir=str(folder / "begun")))
    ours, theirs = (keras.saving.load_model(path) for path in (folder / "begun" / "model.keras", folder / "search" / "inherited.keras"))
    for one, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    assert json.loads((folder / "begun" / "transfer.json").read_text())["not_taken"] == []
    with pytest.raises(ConfigError, match="inherited.keras is of another width .*Give --width the search's"):
        run_training(RetrainConfig(**flags, **begin | {"width": "8"}, workdir=str(folder / "wider")))


def test_a_genotype_of_another_rank_is_refused(searched):
    kind, folder, flags = searched
    if kind != "slices":
        pytest.skip("pictures have no patches of three axes")
    three = {**flags, "configuration": "3d_fullres", "patch_size": (8, 8, 8)}
    with pytest.raises(ConfigError, match="2D"):
        run_training(RetrainConfig(**three, workdir=str(folder / "refused"), genotype=str(folder / "search"), width="4"))
    assert not (folder / "refused").exists()
