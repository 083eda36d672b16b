"""python -m scnas_keras.retrain --task=TASK --data_dir=DIR --genotype=RUN/genotype.json --workdir=RUN2

Trains the network that a search found from scratch, then segments the fold's validation scans whole and scores them
(Dice on the original voxel grid). RUN2 then holds the trained model.keras with model.json, for scnas_keras.predict.
"""

import dataclasses

from scnas_keras.console import load_tensorflow
from scnas_keras.options import option, run
from scnas_keras.training.config import RunConfig


@dataclasses.dataclass(frozen=True)
class RetrainConfig(RunConfig):
    """All settings of a training. Loss, optimizer, rate and plateau are SCNAS' (section 3); batch and width are smaller."""

    genotype: str | None = option(None, "The architecture: a genotype.json, or the folder of a search.", "Network")
    epochs: int = option(500, "Epochs.", "Run")
    derived_stem_channels: int = option(64, "Channels at full resolution; the paper's is 68.", "Network", of_task=True)
    learning_rate: float = option(3e-4, "Adam's learning rate.", "Weights")
    schedule: str = option(
        "plateau", "How the rate falls: at plateaus of the training loss (SCNAS), or as (1 - t) ^ 0.9 over the run (nnU-Net); "
        "the latter suits short runs.", "Weights", choices=("plateau", "poly"),
    )  # fmt: skip
    plateau: float = option(
        0.06, "Divide the rate by 5 when the training loss stands still for this share of the run.", "Weights"
    )


def retrain(config: RetrainConfig):
    """Runs a training; see `scnas_keras.training.runner.run_training`, which this calls."""
    from scnas_keras.training.runner import run_training

    return run_training(config)


def main(config: RetrainConfig) -> None:
    load_tensorflow()
    result = retrain(config)
    print(result.table)
    print(f"The run is in {result.folder}")


if __name__ == "__main__":
    run(RetrainConfig, main, __doc__)
