"""scnas crossval --task=TASK --data_dir=DIR --genotype=RUN --networks=genotype,u_resnet,nnunet --workdir=CV

Trains networks on every fold of a cross-validation and puts them into one table. Each fold of each network is a run of scnas retrain in the
folder CV/NETWORK/fold_K. The table has Dice of every class over whole scans, MIoU, spread over folds, cost, and a paired test of every two
networks. Finished folds aren't repeated, and an interrupted one goes on. --folds=0,2 runs some of them, so that several machines can share
the work: the same command merges what is there. CV then holds crossval.txt, crossval.json, crossval.png and cases.csv.
With --protocol=holdout:0.3x4 the folds are four repeats, each with a share of 0.3 of the cases held out.

--networks says which: genotype (of --genotype; {fold} in it stands for the fold's number), transfer (of --transfer_from), or hand-made.
--genotype=runs/light,runs/darts --width=128,512 are two architectures, whose rows and folders are called light and darts.
"""

from typing import Any

from scnas_keras.crossval.config import CrossvalConfig


def crossval(config: CrossvalConfig) -> Any:
    """See `scnas_keras.crossval.runner.run_crossval`, which this calls: a framework is loaded only now."""
    from scnas_keras.crossval.runner import run_crossval

    return run_crossval(config)


def main(config: CrossvalConfig) -> str:
    from scnas_keras.architectures.registry import GENOTYPE
    from scnas_keras.crossval.config import TRANSFER
    from scnas_keras.runs.checks import refuse_if_several_missing

    genotype = None if config.genotype or GENOTYPE not in config.network_names else "--genotype=FILE"
    transfer = None if config.transfer_from or TRANSFER not in config.network_names else "--transfer_from=RUN"
    refuse_if_several_missing(config, genotype, transfer)
    result = crossval(config)
    print(result.text)
    print(f"Table, cases and figure are in {result.folder}")
    return result.following
