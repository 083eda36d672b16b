"""What the tools that read the code say of it: the order of the rooms, lint and format."""

from pathlib import Path

import pytest
from processes import PYTHON, ROOT, run, with_package


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
    program = Path(PYTHON).with_name(words[0])
    assert program.is_file(), f"{program} is missing: pip install '.[test]'"
    run(program, *words[1:], env=with_package(), cwd=ROOT)
