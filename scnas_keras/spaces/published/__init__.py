"""Architectures of papers, a genotype.json each, which --genotype=published:NAME stands for."""

import pathlib

from scnas_keras.errors import ConfigError

PUBLISHED = "published:"
_FOLDER = pathlib.Path(__file__).parent
PUBLISHED_NAMES = tuple(PUBLISHED + path.stem for path in sorted(_FOLDER.glob("*.json")))


def published_file(name: str) -> pathlib.Path:
    """The genotype.json that one of `PUBLISHED_NAMES` stands for.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in PUBLISHED_NAMES:
        raise ConfigError(f"{name}: there is no published architecture of that name; known: {', '.join(PUBLISHED_NAMES)}.")
    return _FOLDER / f"{name.removeprefix(PUBLISHED)}.json"
