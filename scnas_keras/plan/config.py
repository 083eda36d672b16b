"""The options of `scnas_keras.plan`."""

import dataclasses

from scnas_keras.architectures.names import NETWORKS
from scnas_keras.options import option
from scnas_keras.runs.data_config import PlanningConfig


@dataclasses.dataclass(frozen=True)
class PlanConfig(PlanningConfig):
    """Settings of a plan."""

    task: str | None = option("custom", "Task, which names a flagfile with its settings.", "Data", of_task=True)
    fingerprint: str | None = option(
        None, "A fingerprint.json to plan from, without the data; or nnU-Net's dataset.json and dataset_fingerprint.json put together as "
        "{\"dataset_json\": ..., \"fingerprint\": ...}; --spacing is along the axes of that.", "Data",
    )  # fmt: skip
    output: str | None = option(None, "Folder for fingerprint.json and plans.json; made if absent.", "Plan")
    plan: str = option(
        "nnunet", "Rules: nnU-Net's, or the SCNAS paper's (0.7 mm, 128^3 patches).", "Plan", choices=("nnunet", "scnas"), of_task=True
    )
    network: str = option(
        "nnunet", "The network that patch and batch are sized for: one that is trained, or the supernet that is searched.", "Network",
        choices=NETWORKS,
    )  # fmt: skip
    width: int | None = option(
        None, "Channels of the network at full resolution. Default: 48 for supernet, 64 for genotype, 32 for the others, as in search and "
        "retrain.", "Network",
    )  # fmt: skip
    genotype: str | None = option(None, "Architecture for --network=genotype. Default: the one that takes most memory.", "Network")
