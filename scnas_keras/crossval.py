"""python -m scnas_keras.crossval --task=TASK --data_dir=DIR --genotype=RUN --networks=genotype,u_resnet,nnunet --workdir=CV

Trains networks on every fold of a cross-validation (scnas_keras.retrain, a folder CV/NETWORK/fold_K each) and puts them into one table:
Dice of every class over whole scans, spread over folds, cost, and a paired test of every two networks. Finished folds aren't repeated, and
an interrupted one goes on. --folds=0,2 runs some of them, so that several machines can share the work: the same command merges what
is there. CV then holds crossval.txt, crossval.json, crossval.png and cases.csv.

Networks: genotype (of --genotype; {fold} in it stands for the fold's number), transfer (of --transfer_from), u_resnet, nnunet, resenc_m,
resenc_l, resenc_xl, unet.
"""

import dataclasses

from scnas_keras.options import option, run
from scnas_keras.retrain import TrainingConfig


@dataclasses.dataclass(frozen=True)
class CrossvalConfig(TrainingConfig):
    """All settings of a cross-validation: those of its trainings, and which networks and folds."""

    networks: str = option("genotype", "Networks, commas between: genotype, transfer, u_resnet, nnunet, resenc_m, resenc_l, resenc_xl, unet.", "Network")
    baseline_width: int = option(32, "Channels at full resolution of the hand-made networks; --width is for the others.", "Network")
    folds: tuple[int, ...] | None = option(None, "Folds to run here, for example 0,2. Default: all.", "Split")


def crossval(config: CrossvalConfig):
    """Runs a cross-validation; see `scnas_keras.evaluation.runner.run_crossval`, which this calls."""
    from scnas_keras.evaluation.runner import run_crossval

    return run_crossval(config)


def main(config: CrossvalConfig) -> None:
    result = crossval(config)
    print(result.text)
    print(f"Table, cases and figure are in {result.folder}")


if __name__ == "__main__":
    run(CrossvalConfig, main, __doc__)
