"""The options of `scnas_keras.assess`."""

import dataclasses

from scnas_keras.options import option


@dataclasses.dataclass(frozen=True)
class AssessConfig:
    """Settings of an assessment."""

    workdir: str | None = option(None, "Folders of finished searches, commas between.", "Run")
    random: int = option(8, "Random networks to compare with; as many are drawn as the search draws.", "Comparison")
    patches: int = option(16, "Validation patches on which networks with shared weights are compared.", "Comparison")
    retrain_minutes: float = option(
        0.0,
        "Train the found network and each random one from scratch for so long; 0 leaves that out. Takes (1 + --random) times as long, "
        "and the same command goes on where it was stopped.",
        "Comparison",
    )
    seed: int = option(0, "Of random networks, draws, patches and trainings.", "Comparison")
    data_dir: str | None = option(None, "Where the data are now, if they have moved since the search.", "Data")
    cache_dir: str | None = option(None, "Where prepared scans are kept. Default: as in the search.", "Data")
    processes: int | None = option(None, "Processes that read and prepare scans. Default: as in the search.", "Data")
