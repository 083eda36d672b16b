"""The options of `scnas_keras.assess`."""

import dataclasses

from scnas_keras.options import LAST_SEED, MANY, option


@dataclasses.dataclass(frozen=True)
class AssessConfig:
    """Settings of an assessment."""

    workdir: str | None = option(None, "Folders of finished searches, commas between.", "Run")
    random: int = option(
        19,
        "Random networks of the found one's cost to compare with, at least 19, with which the best rank has p = 0.05; as many are drawn "
        "as the search draws.",
        "Comparison",
        most=10**5,
        least=0,
    )
    patches: int = option(
        16,
        "Patches of the cases that the search was judged on, on which networks with shared weights are compared.",
        "Comparison",
        most=MANY,
        least=1,
    )
    seed: int = option(0, "Of random networks, draws and patches.", "Comparison", least=0, most=LAST_SEED)
    data_dir: str | None = option(None, "Where the data are now, if they have moved since the search.", "Data")
    cache_dir: str | None = option(None, "Where prepared scans are kept. Default: as in the search.", "Data")
    processes: int | None = option(None, "Processes that read and prepare scans. Default: as in the search.", "Data", least=1, most=10**4)
