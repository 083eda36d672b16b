"""python -m scnas_keras.assess --workdir=RUN[,RUN2,...]

Tells whether a finished search can be believed. Compares the network it found with random ones of the same space: first with the
search's shared weights, which takes minutes, then on request after training each for the same time (--retrain_minutes). Also: what
deriving one network loses against those that the search drew, and, of several runs, how far their architectures agree.
RUN/assessment then holds a table, assessment.json and networks.csv.
"""

import dataclasses
from typing import Any

from scnas_keras.console import load_tensorflow
from scnas_keras.options import option, run


@dataclasses.dataclass(frozen=True)
class AssessConfig:
    """Settings of an assessment."""

    workdir: str | None = option(None, "Folders of finished searches, commas between.", "Run")
    random: int = option(8, "Random networks to compare with; as many are drawn as the search draws.", "Comparison")
    patches: int = option(16, "Validation patches on which networks with shared weights are compared.", "Comparison")
    retrain_minutes: float = option(
        0.0, "Train the found network and each random one from scratch for so long; 0 leaves that out. Takes (1 + --random) times as long, and "
        "the same command goes on where it was stopped.", "Comparison",
    )  # fmt: skip
    seed: int = option(0, "Of random networks, draws, patches and trainings.", "Comparison")
    data_dir: str | None = option(None, "Where the data are now, if they have moved since the search.", "Data")
    cache_dir: str | None = option(None, "Where prepared scans are kept. Default: as in the search.", "Data")
    processes: int | None = option(None, "Processes that read and prepare scans. Default: as in the search.", "Data")


def assess(config: AssessConfig) -> Any:
    """Assesses searches; see `scnas_keras.assessment.runner.run_assessment`, which this calls."""
    from scnas_keras.assessment.runner import run_assessment

    return run_assessment(config)


def main(config: AssessConfig) -> None:
    load_tensorflow()
    print(assess(config).text)


if __name__ == "__main__":
    run(AssessConfig, main, __doc__)
