"""What the tools that read the code say of it: the order of the rooms, lint and format."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    "words",
    [
        ("lint-imports", "--no-cache"),
        ("ruff", "check", "--no-cache", "."),
        ("ruff", "format", "--check", "--no-cache", "."),
    ],
    ids=["layers", "lint", "format"],
)
def test_the_code_keeps_its_own_rules(words):
    program = Path(sys.executable).with_name(words[0])
    assert program.is_file(), f"{program} is missing: pip install '.[test]'"
    done = subprocess.run(
        [program, *words[1:]],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    assert done.returncode == 0, done.stdout + done.stderr
