"""Searches with several seeds, and commands that take the folder of all."""

import json
import pathlib
import types

import pytest

from scnas_keras.errors import ConfigError
from scnas_keras.options import parse
from scnas_keras.runs.seeds import expand_seeds
from scnas_keras.search import seeds as module
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

    monkeypatch.setattr(module, "run_child", run_child)
    monkeypatch.setattr(module, "check_before", lambda config, network: None)
    return types.SimpleNamespace(ran=ran, codes=codes)


def config(folder, seeds="2,0,11"):
    return parse(SearchConfig, ["search", "--task=phantom", f"--workdir={folder}", f"--seed={seeds}"])


def test_one_seed_is_a_number_and_several_are_several():
    assert parse(SearchConfig, ["search", "--seed=3"]).seed == 3
    assert parse(SearchConfig, ["search", "--seed=3,5"]).seed == (3, 5)


def test_each_seed_has_its_folder_and_what_is_finished_isnt_repeated(children, tmp_path):
    assert run_seeds(config(tmp_path / "run")) == tmp_path / "run"
    assert children.ran == [("search", seed, f"seed_{seed}") for seed in (2, 0, 11)]
    run_seeds(config(tmp_path / "run", "0,5"))
    assert children.ran[3:] == [("search", 5, "seed_5")]
    assert [pathlib.Path(name).name for name in expand_seeds(str(tmp_path / "run"))] == ["seed_0", "seed_2", "seed_5", "seed_11"]


def test_a_search_that_fails_ends_all_and_is_named(children, tmp_path, capsys):
    children.codes[0] = 2
    with pytest.raises(SystemExit) as caught:
        run_seeds(config(tmp_path / "run"))
    assert caught.value.code == 2 and "--seed=0 ended with code 2" in capsys.readouterr().err
    assert [seed for _, seed, _ in children.ran] == [2, 0]


@pytest.mark.parametrize("seeds, message", [("1,1", "a seed twice"), ("1,2", "holds other files")])
def test_what_cant_be_is_refused_before_any_search(seeds, message, children, tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ConfigError, match=message):
        run_seeds(config(tmp_path, seeds))
    assert not children.ran


def test_a_runs_own_folder_stands_for_itself(tmp_path):
    (tmp_path / "seed_1").mkdir()
    (tmp_path / "flags.cfg").write_text(json.dumps({}))
    assert expand_seeds(str(tmp_path)) == [str(tmp_path)] and expand_seeds("gone") == ["gone"]
