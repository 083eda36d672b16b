"""Folders of runs that differ by their seed alone: RUN/seed_0, RUN/seed_1, ..."""

import os
import pathlib
import re

from scnas_keras.files import user_path
from scnas_keras.runs.run_folder import FLAGS

_SEED = re.compile(r"seed_(\d+)")


def seed_folder(folder: str | os.PathLike, seed: int) -> pathlib.Path:
    """Where the run of a seed lies."""
    return user_path(folder) / f"seed_{seed}"


def is_seed(name: str) -> bool:
    """Whether a folder of this name is that of a seed."""
    return _SEED.fullmatch(name) is not None


def expand_seeds(folder: str) -> list[str]:
    """The folder, or those of the seeds in it where it is that of several runs."""
    path = user_path(folder)
    if (path / FLAGS).is_file() or not path.is_dir():
        return [folder]
    found = sorted((int(match[1]), str(own)) for own in path.iterdir() if own.is_dir() and (match := _SEED.fullmatch(own.name)))
    return [name for _, name in found] or [folder]
