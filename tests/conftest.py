"""What several test files use."""

import os
import runpy
import sys
from pathlib import Path

import pytest
from absl import logging

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as `console.load_tensorflow` has it

ROOT = Path(__file__).parents[1]


@pytest.fixture
def command(monkeypatch, tmp_path_factory):
    """Runs a command in this process, in an empty folder: a file under tools/ or a module, with flags as keyword arguments."""
    monkeypatch.chdir(tmp_path_factory.mktemp("current"))

    def call(name, *arguments, **flags):
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments), *(f"--{key}={value}" for key, value in flags.items())])
        try:
            if name.startswith("tools/"):
                runpy.run_path(str(ROOT / name), run_name="__main__")
            else:
                runpy.run_module(f"{name}.__main__", run_name="__main__")
        finally:
            logging.set_verbosity(logging.INFO)  # tools/export has its process say less

    return call
