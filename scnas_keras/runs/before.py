"""What flags and folders tell before a framework is loaded, so that a wrong one is refused in the first second."""

import math
import pathlib
from collections.abc import Sequence

from scnas_keras.errors import ConfigError
from scnas_keras.machine.hosts import hosts_of_run
from scnas_keras.planning.checks import check_patch, planned_topology
from scnas_keras.planning.footprints import Footprint
from scnas_keras.planning.names import RULES, rank_named
from scnas_keras.planning.plans import Plans, load_plans
from scnas_keras.preprocessing.cache_folder import open_folder
from scnas_keras.preprocessing.fingerprint import CANONICAL_AXES
from scnas_keras.preprocessing.plan import check_denoising, parse_spacing
from scnas_keras.runs.config import RunConfig
from scnas_keras.runs.data_config import DataConfig, PlanningConfig, TaskConfig
from scnas_keras.runs.run_folder import check_folder
from scnas_keras.tasks.sides import mirror_axes

_SMALLEST = 8
"""Pixels along an axis of slices, below which every network has fewer than it halves."""


def check_before(config: RunConfig, network: Footprint, begins: bool = True) -> None:
    """Refuses some of what a run would refuse later: by flags, by the run's folder, and by the data's.

    Args:
        config: of the run.
        network: that it trains.
        begins: whether this process begins the run, or goes on with it, and doesn't join another.

    Raises:
        Finished: the run is.
        ConfigError, DataError: with the remedy.
    """
    if begins and len(hosts_of_run()[0]) < 2:  # of several the first looks
        check_folder(config.workdir, config)
    check_flags(config, network)
    task_folder(config)


def check_flags(config: DataConfig, network: Footprint) -> Plans | None:
    """The plan that `--plan` names; None where rules plan.

    Raises:
        ConfigError: flags that no plan could follow, or patches that the network can't take.
        DataError: the plan's file is damaged.
    """
    check_planning(config)
    plans = None if config.plan in RULES else load_plans(config.plan)
    if plans and plans.configuration(config.configuration).denoising:
        check_denoising(f"--plan={config.plan}")
    _check_rank(config.configuration, plans, network)
    if config.patch_size is not None:
        check_patch(config.patch_size, network)
    elif plans:
        planned = plans.configuration(config.configuration)
        planned_topology(config.plan, plans, planned, planned.patch_size, network)
    return plans


def task_folder(config: TaskConfig) -> pathlib.Path:
    """The folder of the task that flags name, in which phantoms are written if it is theirs: before a framework is loaded.

    Raises:
        ConfigError, DataError: with the remedy.
    """
    if config.task is None:
        raise ConfigError("Name a task: --task=custom for your own scans, --task=phantom to try the program without any; see --help.")
    from scnas_keras.tasks.loading import find_task  # with the readers of all formats, when flags are known to be right
    from scnas_keras.tasks.phantoms import write_phantoms

    if config.task == "phantom" and not config.data_dir:
        folder = config.cache_folder / f"Phantom-{config.num_phantoms}"
        open_folder(config.cache_folder, folder)
        return write_phantoms(folder, num_cases=config.num_phantoms)
    return find_task(config.task, config.data_dir)


def check_planning(config: PlanningConfig, axes: Sequence[str] = CANONICAL_AXES) -> None:
    """Raises ConfigError for flags that no plan could follow; `axes` are the fingerprint's."""
    if config.memory_gb is not None and not 0 < config.memory_gb < math.inf:
        raise ConfigError(f"--memory_gb={config.memory_gb:g} must be a number above 0.")
    if config.spacing is not None:
        parse_spacing(config.spacing)
    if config.resize is not None:
        _check_resize(config)
    if config.denoise:
        check_denoising("--denoise")
    mirror_axes((), axes, config.mirror_axes)


def _check_resize(config: PlanningConfig) -> None:
    """Raises ConfigError unless slices can be brought to the size that flags name."""
    text = f"--resize={','.join(map(str, config.resize or ()))}"
    if len(config.resize or ()) != 2:
        raise ConfigError(f"{text}: expected two sizes in pixels, like --resize=256,256.")
    if min(config.resize or ()) < _SMALLEST:
        raise ConfigError(f"{text}: expected two sizes of at least {_SMALLEST} pixels, like --resize=256,256.")
    if config.spacing is not None:
        raise ConfigError(f"{text} and --spacing both say how large pixels become. Leave out one.")
    if isinstance(config, DataConfig) and config.plan in RULES and rank_named(config.configuration) == 3:
        raise ConfigError(f"{text} is for pictures and slices, and --configuration={config.configuration} has volumes: use 2d.")


def _check_rank(name: str, plans: Plans | None, network: Footprint) -> None:
    """Raises ConfigError if a configuration's patches have other axes than the network; where it is yet to be planned, its name says so."""
    rank = len(plans.configuration(name).spacing) if plans else rank_named(name)
    if rank is not None and rank not in network.ranks:
        other = " or ".join(f"{own}D" for own in network.ranks)
        of_plan = [own for own, found in plans.configurations.items() if len(found.spacing) in network.ranks] if plans else None
        there = ["2d" if 2 in network.ranks else "3d_fullres"] if of_plan is None else of_plan
        remedy = f"Name such a configuration: --configuration={' or '.join(there)}" if there else "The plan has none; make another"
        raise ConfigError(f"--configuration={name} has {rank}D patches, and this {network.name} network takes {other} ones. {remedy}.")
