"""Imported first by the tools in Python: where the package isn't installed, they go on with this checkout's .venv."""

import importlib.util
import os
import pathlib
import sys

_PYTHON = pathlib.Path(__file__).resolve().parents[1] / ".venv" / "bin" / "python"

if importlib.util.find_spec("scnas_keras") is None or importlib.util.find_spec("absl") is None:
    if not _PYTHON.is_file() or sys.prefix == str(_PYTHON.parents[1]):
        sys.exit(f"error: scnas_keras isn't installed for {sys.executable}. tools/demo installs it into .venv, or: pip install .")
    os.execv(_PYTHON, [str(_PYTHON), *sys.argv])
