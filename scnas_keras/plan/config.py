"""The options of `scnas_keras.plan`."""

import dataclasses

from scnas_keras.architectures.registry import NETWORKS, widths_text
from scnas_keras.options import WIDEST, option
from scnas_keras.planning.names import NNUNET, RULES
from scnas_keras.runs.data_config import PlanningConfig
from scnas_keras.spaces.known import DEFAULT, space_names
from scnas_keras.spaces.published import PUBLISHED_NAMES


@dataclasses.dataclass(frozen=True)
class PlanConfig(PlanningConfig):
    """Settings of a plan."""

    task: str | None = option("custom", "Task, which names a flagfile with its settings.", "Data")
    fingerprint: str | None = option(
        None,
        "A fingerprint.json to plan from, without the data; or nnU-Net's dataset.json and dataset_fingerprint.json put together as "
        '{"dataset_json": ..., "fingerprint": ...}; --spacing is along the axes of that.',
        "Data",
    )
    output: str | None = option(None, "Folder for fingerprint.json and plans.json; made if absent.", "Plan")
    plan: str = option(NNUNET, "Rules: nnU-Net's, or the SCNAS paper's (0.7 mm, at most 128^3 voxels).", "Plan", choices=RULES)
    network: str = option(
        "nnunet",
        "The network that patch and batch are sized for: one that is trained, or the supernet that is searched.",
        "Network",
        choices=NETWORKS,
    )
    width: int | None = option(
        None,
        f"Channels of the network at full resolution. Default: {widths_text(NETWORKS)}, as in search and retrain.",
        "Network",
        most=WIDEST,
        least=1,
    )
    space: str = option(
        DEFAULT, "Search space of --network=supernet, and of genotype where none is given.", "Network", choices=space_names()
    )
    genotype: str | None = option(
        None,
        f"Architecture for --network=genotype: a genotype.json, the folder of a search, or {' or '.join(PUBLISHED_NAMES)}. Default: that "
        "which takes most memory.",
        "Network",
    )
