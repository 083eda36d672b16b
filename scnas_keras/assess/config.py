"""The options of `scnas_keras.assess`."""

import dataclasses

from scnas_keras.options import option


@dataclasses.dataclass(frozen=True)
class AssessConfig:
    """Settings of an assessment."""

    workdir: str | None = option(None, "Folders of finished searches, commas between.", "Run")
    random: int = option(
        19,
        "Random networks of the found one's cost to compare with, at least 19, with which the best rank has p = 0.05; as many are drawn "
        "as the search draws.",
        "Comparison",
    )
    patches: int = option(
        16, "Patches of the cases that the search was judged on, on which networks with shared weights are compared.", "Comparison"
    )
    retrain_minutes: float = option(
        0.0,
        "Train the found network and --retrain_random others from scratch for so long each; 0 leaves that out. The same command goes on "
        "where it was stopped.",
        "Comparison",
    )
    retrain_random: int = option(4, "How many of the random networks --retrain_minutes trains; only 19 can give p = 0.05.", "Comparison")
    seed: int = option(0, "Of random networks, draws, patches and trainings.", "Comparison")
    data_dir: str | None = option(None, "Where the data are now, if they have moved since the search.", "Data")
    cache_dir: str | None = option(None, "Where prepared scans are kept. Default: as in the search.", "Data")
    processes: int | None = option(None, "Processes that read and prepare scans. Default: as in the search.", "Data")
