"""The search spaces by name, found by listing the files of `spaces.catalog`."""

import functools
import importlib
import pkgutil
import types

from scnas_keras.errors import ConfigError
from scnas_keras.spaces import catalog
from scnas_keras.spaces.space import SearchSpace

DEFAULT = "scnas"
"""What a run of the time before `--space` searched."""


def space_names() -> tuple[str, ...]:
    """Names of all spaces."""
    return tuple(module.name for module in pkgutil.iter_modules(catalog.__path__))


@functools.cache
def find_space(name: str, rank: int) -> SearchSpace:
    """A space for images of `rank` spatial axes.

    Raises:
        ConfigError: there is no such space, or not for so many axes.
    """
    ranks = space_ranks(name)
    if rank not in ranks:
        raise ConfigError(f"--space={name} is for {' and '.join(f'{own}D' for own in ranks)} images, found {rank}D ones.")
    return _module(name).build(rank)


def space_ranks(name: str) -> tuple[int, ...]:
    """Numbers of spatial axes that a space has, fewest first; ConfigError if there is no such space."""
    if name not in space_names():
        raise ConfigError(f"--space={name}: there is no such search space; known: {', '.join(space_names())}.")
    return tuple(sorted(_module(name).RANKS))


def _module(name: str) -> types.ModuleType:
    return importlib.import_module(f"{catalog.__name__}.{name}")
