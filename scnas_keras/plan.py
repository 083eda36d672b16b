"""python -m scnas_keras.plan --task=TASK --data_dir=DIR --output=PLAN
python -m scnas_keras.plan --fingerprint=PLAN/fingerprint.json --output=PLAN2

Looks at all scans (fingerprint.json) and plans from what it finds (plans.json) by nnU-Net's rules: voxel spacing, normalisation,
patch, batch and stages of the network. Both files are for reading; plans.json may be edited and given to --plan of the other commands.
"""

import dataclasses
import pathlib
from typing import Any

from scnas_keras.data.config import PlanningConfig
from scnas_keras.errors import ConfigError
from scnas_keras.options import option, run


@dataclasses.dataclass(frozen=True)
class PlanConfig(PlanningConfig):
    """Settings of a plan."""

    fingerprint: str | None = option(None, "A fingerprint.json to plan from, without the data; ours or nnU-Net's.", "Data")
    output: str | None = option(None, "Folder for fingerprint.json and plans.json; made if absent.", "Plan")
    plan: str = option("nnunet", "Rules: nnU-Net's, or the SCNAS paper's (0.7 mm, 128^3 patches).", "Plan", choices=("nnunet", "scnas"), of_task=True)
    network: str = option(
        "unet", "The network that patch and batch are sized for: nnU-Net's plain or residual-encoder U-Net, the searched supernet, or the network "
        "derived from it.", "Network", choices=("unet", "resenc_m", "resenc_l", "resenc_xl", "supernet", "derived"),
    )  # fmt: skip
    stem_channels: int = option(48, "Channels at full resolution of a supernet or derived network.", "Network")
    genotype: str | None = option(None, "Architecture of the derived network. Default: the one that takes most memory.", "Network")


def plan(config: PlanConfig) -> Any:
    """Makes the plans and writes both files; returns the `Plans`.

    Raises:
        ConfigError, DataError: before anything is written.
    """
    from scnas_keras.data.folds import check_planning, open_task
    from scnas_keras.planning.fingerprint import load_fingerprint
    from scnas_keras.planning.measure import measure_task
    from scnas_keras.planning.networks import footprint
    from scnas_keras.planning.planner import Wishes, make_plans
    from scnas_keras.spaces.genotype import Genotype

    if not config.output:
        raise ConfigError("Name the folder for fingerprint.json and plans.json with --output=DIR.")
    check_planning(config)
    network = footprint(config.network, config.stem_channels, Genotype.load(config.genotype) if config.genotype else None)
    if config.fingerprint:
        fingerprint = load_fingerprint(config.fingerprint)
    else:
        fingerprint = measure_task(open_task(config), config.cache_folder, config.processes)
    wishes = Wishes(config.memory_gb, config.spacing, config.augmentation, config.mirror_axes)
    plans = make_plans(fingerprint, network, config.plan, wishes)
    folder = pathlib.Path(config.output).expanduser()
    fingerprint.save(folder / "fingerprint.json")
    plans.save(folder / "plans.json")
    return plans


def main(config: PlanConfig) -> None:
    from scnas_keras.reporting.plan_table import plan_table

    print(plan_table(plan(config)))
    for name in ("fingerprint.json", "plans.json"):
        print(pathlib.Path(config.output).expanduser() / name)


if __name__ == "__main__":
    run(PlanConfig, main, __doc__)
