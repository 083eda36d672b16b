"""The operations by name, found by listing the folders of this package."""

import functools
import importlib
import pkgutil

import scnas_keras.operations as package
from scnas_keras.errors import ConfigError
from scnas_keras.operations.facts import Facts


def known_operations() -> dict[str, Facts]:
    """Name -> facts of every operation, by folder."""
    return {name: facts for name, (_, facts) in _found(tuple(package.__path__)).items()}


def operation(name: str) -> Facts:
    """The facts of an operation.

    Raises:
        ConfigError: this version has no operation of that name.
    """
    return _entry(name)[1]


def folder_of(name: str) -> str:
    """The package that holds an operation's `facts` and `layer`."""
    return _entry(name)[0]


def _entry(name: str) -> tuple[str, Facts]:
    found = _found(tuple(package.__path__))
    if name not in found:
        raise ConfigError(f"Operation {name!r} is not known to this version, which has {', '.join(found)}.")
    return found[name]


@functools.cache
def _found(paths: tuple[str, ...]) -> dict[str, tuple[str, Facts]]:
    folders = [f"{package.__name__}.{module.name}" for module in pkgutil.iter_modules(paths) if module.ispkg]
    found: dict[str, tuple[str, Facts]] = {}
    for folder in folders:
        for facts in importlib.import_module(f"{folder}.facts").OPERATIONS:
            if facts.name in found:
                raise ValueError(f"{folder} declares an operation {facts.name}, and {found[facts.name][0]} has one of that name")
            found[facts.name] = (folder, facts)
    return found
