"""From flags to fingerprint.json and plans.json."""

import pathlib

from absl import logging

from scnas_keras.architectures.registry import GENOTYPE, SUPERNET, InEveryRank, footprint
from scnas_keras.errors import ConfigError
from scnas_keras.files import keep_edited, unwritable, user_path
from scnas_keras.plan.config import PlanConfig
from scnas_keras.planning.checks import warn_of_memory
from scnas_keras.planning.footprints import Footprint
from scnas_keras.planning.names import PLANS, SCNAS
from scnas_keras.planning.planner import check_slices, make_plans
from scnas_keras.planning.plans import Plans
from scnas_keras.preprocessing.fingerprint import CANONICAL_AXES, load_fingerprint
from scnas_keras.preprocessing.measure import measure_task
from scnas_keras.preprocessing.names import FINGERPRINT
from scnas_keras.runs.before import check_planning
from scnas_keras.runs.folds import open_task, wishes_of
from scnas_keras.spaces.genotype import Genotype
from scnas_keras.spaces.known import find_space, space_ranks


def run_plan(config: PlanConfig) -> Plans:
    """Makes the plans and writes both files; returns the plans.

    Raises:
        ConfigError, DataError: before anything is written.
    """

    folder = _output_folder(config.output)
    _check_network(config)
    fingerprint = load_fingerprint(config.fingerprint) if config.fingerprint else None
    check_planning(config, fingerprint.axes if fingerprint else CANONICAL_AXES)
    genotype = Genotype.load(config.genotype) if config.genotype else None
    network = _network(config, genotype)  # a width that can't be is told before the scans are measured
    if config.resize:
        check_slices(config.resize, network, config.plan)
    if fingerprint is None:
        fingerprint = measure_task(open_task(config), config.cache_folder, config.processes)
    plans = make_plans(fingerprint, network, config.plan, wishes_of(config))
    if config.plan == SCNAS:
        for configuration in plans.configurations.values():
            warn_of_memory(configuration, network, plans, plans.memory_gb)
    fingerprint.save(folder / FINGERPRINT)
    file = folder / PLANS
    if previous := keep_edited(file, plans.to_json()):
        logging.warning("%s held another plan, which is kept as %s", file, previous.name)
    plans.save(file)
    return plans


def _network(config: PlanConfig, genotype: Genotype | None) -> Footprint:
    """What is planned for; of a search space, in every rank that it has."""
    if genotype or config.network not in (GENOTYPE, SUPERNET):
        return footprint(config.network, config.width, genotype)
    spaces = [find_space(config.space, rank) for rank in space_ranks(config.space)]
    return InEveryRank(tuple(footprint(config.network, config.width, space=space) for space in spaces))


def _output_folder(output: str | None) -> pathlib.Path:
    if not output:
        raise ConfigError("Name the folder for fingerprint.json and plans.json with --output=DIR.")
    folder = user_path(output)
    if closed := unwritable(folder):
        raise ConfigError(f"--output={output}: {closed} is no folder that can be written to; name another.")
    return folder


def _check_network(config: PlanConfig) -> None:
    """Refuses flags that the others leave without effect."""
    if config.fingerprint and config.data_dir:
        raise ConfigError(
            f"--fingerprint={config.fingerprint} plans without the data: leave out --data_dir, or leave out --fingerprint to measure them."
        )
    if config.genotype and config.network != GENOTYPE:
        raise ConfigError(f"--genotype={config.genotype} is for --network={GENOTYPE}, found --network={config.network}.")
