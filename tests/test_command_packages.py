"""The commands as packages: importing one is cheap, and what a summary calls its command can be pasted."""

import ast
import json
import os
import shutil
import sys
import types
from pathlib import Path

import pytest
from processes import PYTHON, run, with_package

import scnas_keras
from scnas_keras.runs.run_folder import command_line

PACKAGE = Path(scnas_keras.__file__).parent
COMMANDS = sorted(path.parent.name for path in PACKAGE.glob("*/__main__.py"))


def test_these_are_the_commands():
    assert COMMANDS == [
        "assess",
        "cache",
        "completion",
        "cost",
        "crossval",
        "derive",
        "doctor",
        "draw",
        "evaluate",
        "export",
        "package",
        "plan",
        "predict",
        "retrain",
        "search",
        "select",
        "verify",
    ]


def test_importing_a_command_loads_no_framework(tmp_path):
    code = f"""
import importlib, sys
for name in {COMMANDS}:
    package = importlib.import_module(f"scnas_keras.{{name}}")
    assert package.main and package.__doc__.startswith(f"scnas {{name}}"), name
    heavy = {{"keras", "tensorflow", "tensorflow_probability", "matplotlib", "scipy"}} & set(sys.modules)
    assert not heavy, (name, heavy)
"""
    run(PYTHON, "-c", code, env=with_package(), cwd=tmp_path)


@pytest.mark.parametrize("name", COMMANDS)
def test_main_defines_nothing(name):
    """Spawned worker processes run it under another name than `__main__`, and don't see what it would define."""
    docstring, *imports, entry = ast.parse((PACKAGE / name / "__main__.py").read_text()).body
    assert isinstance(docstring.value, ast.Constant) and all(isinstance(line, ast.ImportFrom) for line in imports)
    assert isinstance(entry, ast.If) and ast.unparse(entry.test) == "__name__ == '__main__'" and not entry.orelse


def test_a_command_answers_from_any_folder(tmp_path):
    done = run(PYTHON, "-m", "scnas_keras.search", "--help", env=with_package(), cwd=tmp_path)
    assert not done.stderr and done.stdout.startswith("scnas search --task=TASK")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "module, argv, command",
    [
        (
            "scnas_keras.search.__main__",
            ["/x/scnas_keras/search/__main__.py", "--task=a", "--workdir=my run"],
            "cd '/my folder' && scnas search --task=a '--workdir=my run'",
        ),
        ("pytest.__main__", ["/x/pytest/__main__.py", "tests"], None),
        ("scnas_keras.search", ["-m"], None),
        (None, ["tools/benchmark", "train"], None),
        (None, ["/x/pytest/__main__.py"], None),
        (None, [""], None),
    ],
    ids=["command", "another package", "another module", "tool", "zipped program", "shell"],
)
def test_a_command_is_named_only_where_one_was_given(module, argv, command, monkeypatch):
    monkeypatch.setitem(sys.modules, "__main__", types.SimpleNamespace(__spec__=module and types.SimpleNamespace(name=module)))
    monkeypatch.setattr(sys, "argv", argv)
    monkeypatch.setattr(os, "getcwd", lambda: "/my folder")
    assert command_line() == command


@pytest.mark.nightly
@pytest.mark.skipif(not shutil.which("bash"), reason="pastes into bash")
def test_the_command_of_a_summary_can_be_pasted(tmp_path):
    flags = ("--task=phantom", "--num_phantoms=3", "--num_folds=3", "--network=unet", "--width=2", "--patch_size=8,8,8", "--batch_size=1")
    short = ("--epochs=1", "--steps_per_epoch=1", "--validation_steps=1", "--processes=1", f"--cache_dir={tmp_path / 'cache'}")
    run(PYTHON, "-m", "scnas_keras.retrain", *flags, *short, "--workdir=my run", env=with_package(), cwd=tmp_path)
    command = json.loads((tmp_path / "my run" / "summary.json").read_text())["command"]
    path = f"{Path(PYTHON).parent}{os.pathsep}{os.environ['PATH']}"
    again = run("bash", "-c", command, env=with_package(PATH=path), cwd="/")
    assert "--workdir=my run holds this very run, finished" in again.stdout, again.stdout


@pytest.mark.skipif(not shutil.which("bash"), reason="uses bash's pipes")
def test_nobody_reading_on_is_no_failure(tmp_path):
    program = "from scnas_keras import options, predict as p; options.run(p.PredictConfig, p.main, p.__doc__ * 9999)"
    command = f"set -o pipefail; '{PYTHON}' -c '{program}' --help | head -1"
    done = run("bash", "-c", command, code=141, env=with_package(), cwd=tmp_path)
    assert done.stdout.startswith("scnas predict") and done.stderr == ""
