"""Searches with several seeds, one after the other, each a process and a run folder of its own."""

import dataclasses
import pathlib
import sys

from absl import logging

from scnas_keras.errors import ConfigError, Finished
from scnas_keras.files import user_path
from scnas_keras.runs.before import check_before
from scnas_keras.runs.child import cause, run_child
from scnas_keras.runs.seeds import is_seed, seed_folder
from scnas_keras.search.checks import check, footprint
from scnas_keras.search.config import SearchConfig


def run_seeds(config: SearchConfig) -> pathlib.Path:
    """Searches with each of `config.seed` in RUN/seed_K; returns RUN. Finished ones aren't repeated, an interrupted one goes on.

    Raises:
        ConfigError, DataError: before any search.
        SystemExit: a search failed, or a signal came and the search at work is saved.
    """
    searches = _searches(config)
    for number, (one, finished) in enumerate(searches, start=1):
        if finished:
            logging.info("search %d of %d: seed %d was finished before", number, len(searches), one.seed)
            continue
        logging.info("search %d of %d: seed %d, in %s", number, len(searches), one.seed, one.workdir)
        if code := run_child("search", one):
            print(f"error: the search with --seed={one.seed} {cause(code)}; see above. Finished ones are kept.", file=sys.stderr)
            sys.exit(code if code > 0 else 128 - code)
    return user_path(config.workdir)


def _searches(config: SearchConfig) -> list[tuple[SearchConfig, bool]]:
    """The search of each seed, and whether it has finished; all are checked before the first begins."""
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
            found.append((one, False))
        except Finished:
            found.append((one, True))
    return found
