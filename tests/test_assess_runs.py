"""A small search, assessed from its folder: data moved, other data."""

import csv
import dataclasses
import json
import shutil

import keras
import pytest
from small_task import change, write_json, write_task
from some_spaces import TINY

from scnas_keras.assess import AssessConfig, assess
from scnas_keras.assess.finished import load_search
from scnas_keras.errors import ConfigError, DataError
from scnas_keras.search import SearchConfig
from scnas_keras.search import checks as search_checks
from scnas_keras.search import runner as search_runner


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished search in the small space, with a cost target; its data have moved from data/ to moved/ since."""
    folder = tmp_path_factory.mktemp("search")
    write_task(folder / "data", num_cases=5, shape=(16, 12, 12))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search_checks, "find_space", lambda name, rank: TINY)
        places = {"data_dir": folder / "data", "cache_dir": folder / "cache", "workdir": folder / "run"}
        sizes = {"patch_size": (8, 8, 8), "batch_size": 1, "stem_channels": 4, "width": 4, "target_mparams": 1.0}
        length = {"epochs": 2, "steps_per_epoch": 2, "validation_steps": 1, "processes": 1}
        places = {name: str(path) for name, path in places.items()}
        search_runner.run_search(SearchConfig(task="custom", **places, **sizes, **length))
        (folder / "data").rename(folder / "moved")
        yield folder / "run"


@pytest.fixture
def config(run):
    return AssessConfig(workdir=str(run), random=19, patches=2, data_dir=str(run.parent / "moved"))


def test_a_search_is_assessed(run, config):
    report = assess(config).reports[0]
    folder = run / "assessment"
    document = json.loads((folder / "assessment.json").read_text(encoding="utf-8"))
    rows = list(csv.DictReader((folder / "networks.csv").open()))
    assert [row["name"] for row in rows] == ["found", *(f"random_0_{i}" for i in range(19)), *(f"sampled_{i}" for i in range(19))]
    assert document["verdict"] in (folder / "assessment.txt").read_text(encoding="utf-8")
    assert report.seconds > 0 and report.epochs == 2
    inherited = keras.saving.load_model(folder / "inherited.keras")
    assert inherited.count_params() == int(rows[0]["parameters"])
    assert assess(config).reports[0] == report  # the same command says the same


def test_data_that_moved_have_to_be_named(config):
    with pytest.raises((ConfigError, DataError), match="(?s)data.*have moved.*--data_dir"):
        assess(dataclasses.replace(config, data_dir=None))


def test_other_data_are_refused(run, tmp_path):
    search = load_search(str(run))
    fewer = write_task(tmp_path / "fewer", num_cases=4, shape=(16, 12, 12))
    with pytest.raises(DataError, match="splits.json.*case_4"):
        search.open_fold(str(fewer))
    other = write_task(tmp_path / "other", num_cases=5, shape=(16, 12, 12))
    write_json(other, [f"case_{i}" for i in range(5)], name="Another")
    with pytest.raises(DataError, match="(?s)Another.*searched on.*Small"):
        search.open_fold(str(other))


def test_scans_that_changed_since_are_refused(run, tmp_path):
    shutil.copytree(run.parent / "moved", tmp_path / "data")
    change(tmp_path / "data" / "imagesTr" / "case_2.nii.gz", lambda array: array.__setitem__(slice(5, 9), 1))
    with pytest.raises(DataError, match="data.json: this run was begun with other data: imagesTr/case_2.nii.gz has changed"):
        load_search(str(run)).open_fold(str(tmp_path / "data"))


def test_the_saved_plan_is_the_searchs_own(run):
    search = load_search(str(run))
    fold = search.open_fold(str(run.parent / "moved"))
    assert fold.patch_size == (8, 8, 8) and list(fold.split.validation) == search.result["cases"]["validation"] == search.judged_cases
    assert search.result["judged_on"] == search.config.judge_on == "validation"
