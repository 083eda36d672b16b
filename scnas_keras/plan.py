"""python -m scnas_keras.plan --task=TASK --data_dir=DIR --output=PLAN
python -m scnas_keras.plan --fingerprint=PLAN/fingerprint.json --output=PLAN2

Looks at all scans (fingerprint.json) and plans from what it finds (plans.json) by nnU-Net's rules: voxel spacing, normalisation,
patch, batch and stages of the network. Both files are for reading; plans.json may be edited and given to --plan of the other commands.
"""

import dataclasses
import os
import pathlib
from typing import Any

from absl import logging

from scnas_keras.data.config import PlanningConfig
from scnas_keras.errors import ConfigError
from scnas_keras.options import option, run
from scnas_keras.planning.names import GENOTYPE, NETWORKS


@dataclasses.dataclass(frozen=True)
class PlanConfig(PlanningConfig):
    """Settings of a plan."""

    task: str | None = option("custom", "Task, which names a flagfile with its settings.", "Data", of_task=True)
    fingerprint: str | None = option(
        None, "A fingerprint.json to plan from, without the data; or nnU-Net's dataset.json and dataset_fingerprint.json put together as "
        "{\"dataset_json\": ..., \"fingerprint\": ...}; --spacing is along the axes of that.", "Data",
    )  # fmt: skip
    output: str | None = option(None, "Folder for fingerprint.json and plans.json; made if absent.", "Plan")
    plan: str = option("nnunet", "Rules: nnU-Net's, or the SCNAS paper's (0.7 mm, 128^3 patches).", "Plan", choices=("nnunet", "scnas"), of_task=True)
    network: str = option(
        "nnunet", "The network that patch and batch are sized for: one that is trained, or the supernet that is searched.", "Network",
        choices=NETWORKS,
    )  # fmt: skip
    width: int | None = option(
        None, "Channels of the network at full resolution. Default: 48 for supernet, 64 for genotype, 32 for the others, as in search and "
        "retrain.", "Network",
    )  # fmt: skip
    genotype: str | None = option(None, "Architecture for --network=genotype. Default: the one that takes most memory.", "Network")


def plan(config: PlanConfig) -> Any:
    """Makes the plans and writes both files; returns the `Plans`.

    Raises:
        ConfigError, DataError: before anything is written.
    """
    from scnas_keras.data.folds import check_planning, open_task
    from scnas_keras.planning.fingerprint import CANONICAL_AXES, load_fingerprint
    from scnas_keras.planning.measure import measure_task
    from scnas_keras.planning.networks import footprint, warn_of_memory
    from scnas_keras.planning.planner import Wishes, make_plans
    from scnas_keras.spaces.genotype import Genotype

    folder = _output_folder(config.output)
    _check_network(config)
    fingerprint = load_fingerprint(config.fingerprint) if config.fingerprint else None
    check_planning(config, fingerprint.axes if fingerprint else CANONICAL_AXES)
    network = footprint(config.network, config.width, Genotype.load(config.genotype) if config.genotype else None)
    if fingerprint is None:
        fingerprint = measure_task(open_task(config), config.cache_folder, config.processes)
    wishes = Wishes(config.memory_gb, config.spacing, config.augmentation, config.mirror_axes)
    plans = make_plans(fingerprint, network, config.plan, wishes)
    if config.plan == "scnas":
        for configuration in plans.configurations.values():
            warn_of_memory(configuration, network, plans, plans.memory_gb)
    fingerprint.save(folder / "fingerprint.json")
    _keep_edited(folder / "plans.json", plans.to_json())
    plans.save(folder / "plans.json")
    return plans


def _output_folder(output: str | None) -> pathlib.Path:
    if not output:
        raise ConfigError("Name the folder for fingerprint.json and plans.json with --output=DIR.")
    folder = pathlib.Path(output).expanduser()
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise ConfigError(f"--output={output}: {existing} is no folder that can be written to; name another.")
    return folder


def _check_network(config: PlanConfig) -> None:
    """Refuses flags that the others leave without effect."""
    if config.fingerprint and config.data_dir:
        raise ConfigError(f"--fingerprint={config.fingerprint} plans without the data: leave out --data_dir, or leave out --fingerprint to "
                          "measure them.")
    if config.genotype and config.network != GENOTYPE:
        raise ConfigError(f"--genotype={config.genotype} is for --network={GENOTYPE}, found --network={config.network}.")


def _keep_edited(file: pathlib.Path, new: str) -> None:
    """Moves a plan that would be overwritten by another aside: it may have been edited."""
    if file.is_file() and file.read_text(encoding="utf-8") != new:
        previous = file.with_name("plans.previous.json")
        os.replace(file, previous)
        logging.warning("%s held another plan, which is kept as %s", file, previous.name)


def main(config: PlanConfig) -> None:
    from scnas_keras.reporting.plan_table import plan_table

    print(plan_table(plan(config)))
    for name in ("fingerprint.json", "plans.json"):
        print(pathlib.Path(config.output).expanduser() / name)


if __name__ == "__main__":
    run(PlanConfig, main, __doc__)
