"""Searches with several seeds, and commands that take the folder of all."""

import json
import pathlib
import types

import pytest

from scnas_keras.errors import ChildError, ConfigError, Finished
from scnas_keras.options import parse, to_run_flagfile
from scnas_keras.runs import in_turn
from scnas_keras.runs.seeds import expand_seeds
from scnas_keras.search import seeds as module
from scnas_keras.search.checks import check
from scnas_keras.search.config import SearchConfig
from scnas_keras.search.seeds import run_seeds


@pytest.fixture
def children(monkeypatch):
    """What would be run as processes; each leaves a summary and ends with its code."""
    ran, codes = [], {}

    def run_child(command, config):
        ran.append((command, config.seed, pathlib.Path(config.workdir).name))
        if config.seed in codes:
            return codes[config.seed]
        pathlib.Path(config.workdir).mkdir(parents=True)
        for name in ("summary.json", "flags.cfg"):
            (pathlib.Path(config.workdir) / name).write_text("{}")
        return 0

    monkeypatch.setattr(in_turn, "run_child", run_child)

    def check_before(config, network):
        if (pathlib.Path(config.workdir) / "summary.json").is_file():
            raise Finished("holds this very run, finished")

    monkeypatch.setattr(module, "check_before", check_before)
    return types.SimpleNamespace(ran=ran, codes=codes)


def config(folder, seeds="2,0,11"):
    return parse(SearchConfig, ["search", "--task=phantom", f"--workdir={folder}", f"--seed={seeds}"])


def test_one_seed_is_a_number_and_several_are_several():
    assert parse(SearchConfig, ["search", "--seed=3"]).seed == 3
    assert parse(SearchConfig, ["search", "--seed=3,5"]).seed == (3, 5)


def test_each_seed_has_its_folder_and_what_is_finished_isnt_repeated(children, tmp_path):
    assert run_seeds(config(tmp_path / "run")) == tmp_path / "run"
    assert children.ran == [("search", seed, f"seed_{seed}") for seed in (2, 0, 11)]
    (tmp_path / "run" / "seed_7").touch()  # no folder
    run_seeds(config(tmp_path / "run", "0,5"))
    assert children.ran[3:] == [("search", 5, "seed_5")]
    assert [pathlib.Path(name).name for name in expand_seeds(str(tmp_path / "run"))] == ["seed_0", "seed_2", "seed_5", "seed_11"]


@pytest.mark.parametrize("code, own", [(2, 2), (70, 70), (74, 74), (-9, 137)])
def test_a_search_that_fails_ends_all_and_is_named(code, own, children, tmp_path):
    children.codes[0] = code
    with pytest.raises(ChildError, match=f"the search of seed 0 ended with code {code}.*; see above. Finished ones are kept") as caught:
        run_seeds(config(tmp_path / "run"))
    assert caught.value.code == own
    assert [seed for _, seed, _ in children.ran] == [2, 0]


@pytest.mark.parametrize("seeds, message", [("1,1", "a seed twice"), ("1,2", "holds other files")])
def test_what_cant_be_is_refused_before_any_search(seeds, message, children, tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ConfigError, match=message):
        run_seeds(config(tmp_path, seeds))
    assert not children.ran


def test_seeds_that_were_searched_with_other_flags_are_refused_before_any_search(children, tmp_path, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(in_turn, "run_child", None)
    run_folder = tmp_path / "run" / "seed_1"
    run_folder.mkdir(parents=True)
    other = parse(SearchConfig, ["search", "--task=phantom", f"--workdir={run_folder}", "--seed=1", "--epochs=7"])
    (run_folder / "flags.cfg").write_text(to_run_flagfile(other))
    (run_folder / "summary.json").write_text('{"result": {"epochs": 7}}')
    with pytest.raises(ConfigError, match="holds another run, which is finished"):
        run_seeds(config(tmp_path / "run", "0,1"))


def test_a_search_itself_has_one_seed(tmp_path):
    with pytest.raises(ConfigError, match="--seed=0,1: a single search has one seed"):
        check(config(tmp_path, "0,1"))


def test_hidden_files_beside_the_seeds_dont_matter(children, tmp_path):
    (tmp_path / ".DS_Store").touch()
    run_seeds(config(tmp_path, "1,2"))
    assert len(children.ran) == 2


def test_a_runs_own_folder_stands_for_itself(tmp_path):
    (tmp_path / "seed_1").mkdir()
    (tmp_path / "flags.cfg").write_text(json.dumps({}))
    assert expand_seeds(str(tmp_path)) == [str(tmp_path)] and expand_seeds("gone") == ["gone"]
