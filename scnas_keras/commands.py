"""Which commands there are: the packages here with a `__main__.py`. What each is for is read from its description, without importing it."""

import ast
import difflib
import functools
import pathlib
from collections.abc import Iterable, Mapping

_PACKAGE = pathlib.Path(__file__).resolve().parent
WHOLE_WAY = ("verify", "select", "predict")
STEPS = ("plan", "search", "assess", "retrain", "crossval", "evaluate", "export", "package")


@functools.cache
def commands() -> Mapping[str, str]:
    """Name -> the first sentence of what it says about itself; in the order in which a person needs them, others after those."""
    names = sorted(path.parent.name for path in _PACKAGE.glob("*/__main__.py"))
    first = [name for name in WHOLE_WAY + STEPS if name in names]
    ordered = first + [name for name in names if name not in first]
    return {name: _summary((_PACKAGE / name / "__init__.py").read_text(encoding="utf-8")) for name in ordered}


def nearest(word: str, known: Iterable[str]) -> str:
    """` Did you mean NAME?` if one of the known is nearly the word, else nothing."""
    found = difflib.get_close_matches(word, list(known), 1, 0.6)
    return f" Did you mean {found[0]}?" if found else ""


def _summary(source: str) -> str:
    _, _, description = (ast.get_docstring(ast.parse(source)) or "").partition("\n\n")
    return " ".join(description.split()).partition(". ")[0].rstrip(".:") + "."
