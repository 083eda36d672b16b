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
    if name not in space_names():
        raise ConfigError(f"--space={name}: there is no such search space; known: {', '.join(space_names())}.")
    module: types.ModuleType = importlib.import_module(f"{catalog.__name__}.{name}")
    if rank not in module.RANKS:
        raise ConfigError(f"--space={name} is for {' and '.join(f'{own}D' for own in module.RANKS)} images, found {rank}D ones.")
    return module.build(rank)
