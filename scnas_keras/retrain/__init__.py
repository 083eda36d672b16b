"""scnas retrain --task=TASK --data_dir=DIR --genotype=RUN/genotype.json --workdir=RUN2
scnas retrain --task=TASK --data_dir=DIR --network=nnunet --preset=nnunet --workdir=RUN3

Trains a network from scratch: one that a search found, or a hand-made one. --network=genotype is the default.
Then segments the fold's validation scans whole and scores them (Dice on the original voxel grid). The folder then holds the trained
model.keras with model.json, for scnas predict. All folds, and several networks in one table: scnas crossval.
"""

from typing import Any

from scnas_keras.console import load_tensorflow
from scnas_keras.retrain.config import RetrainConfig


def retrain(config: RetrainConfig) -> Any:
    """See `scnas_keras.retrain.runner.run_training`, which this calls: a framework is loaded only now."""
    from scnas_keras.retrain.runner import run_training

    return run_training(config)


def main(config: RetrainConfig) -> str | None:
    from scnas_keras.architectures.registry import GENOTYPE
    from scnas_keras.retrain.architecture import choose
    from scnas_keras.retrain.checks import check
    from scnas_keras.retrain.recipes import recipe
    from scnas_keras.runs.checks import refuse_if_several_missing

    refuse_if_several_missing(config, None if config.genotype or config.network != GENOTYPE else "--genotype=FILE (or --network=NAME)")
    check(config)
    recipe(config)
    network = choose(config, early=True).network
    from scnas_keras.runs.before import check_before  # which takes longer to import than all of this

    check_before(config, network)
    load_tensorflow()
    result = retrain(config)
    print(result.table)
    print(f"The run is in {result.folder}")
    return result.following
