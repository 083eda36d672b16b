"""Searches with several seeds, one after the other, each a process and a run folder of its own."""

import dataclasses
import pathlib

from scnas_keras.errors import ConfigError, Finished
from scnas_keras.files import user_path
from scnas_keras.runs.before import check_before
from scnas_keras.runs.in_turn import ChildRun, run_in_turn
from scnas_keras.runs.seeds import is_seed, seed_folder
from scnas_keras.search.checks import check, footprint
from scnas_keras.search.config import SearchConfig


def run_seeds(config: SearchConfig) -> pathlib.Path:
    """Searches with each of `config.seed` in RUN/seed_K; returns RUN. Finished ones aren't repeated, an interrupted one goes on.

    Raises:
        ConfigError, DataError: before any search.
        ChildError: a search failed.
        SystemExit: a signal came and the search at work is saved.
    """
    run_in_turn("search", _searches(config))
    return user_path(config.workdir)


def _searches(config: SearchConfig) -> list[ChildRun]:
    """The search of each seed; all are checked before the first begins."""
    if len(set(config.seed)) < len(config.seed):
        raise ConfigError(f"--seed={','.join(map(str, config.seed))}: a seed twice gives the same search twice. Leave one out.")
    if not config.workdir:
        raise ConfigError("Name the searches' folder with --workdir=DIR; it is made if absent.")
    path = user_path(config.workdir)
    if path.is_dir() and (foreign := sorted(own.name for own in path.iterdir() if not is_seed(own.name) and own.name[0] != ".")):
        raise ConfigError(f"--workdir={path} holds other files than the searches of several seeds: {foreign[0]}. Name another folder.")
    found = []
    for seed in config.seed:
        one = dataclasses.replace(config, seed=seed, workdir=str(seed_folder(path, seed)))
        check(one)
        try:
            check_before(one, footprint(one))
            finished = False
        except Finished:
            finished = True
        found.append(ChildRun(f"seed {seed}", "search", one, lambda finished=finished: finished))
    return found
