"""scnas cost --network=RUN --width=68 --patch_size=128,128,128 --channels=4 --classes=4
scnas cost --network=u_resnet --patch_size=128,128,128 --channels=4 --classes=4
scnas cost --network=model.keras --patch_size=128,128,128
scnas cost --space=scnas --width=64 --patch_size=64,64 --channels=1 --classes=3

Counts parameters, multiply-adds and elements of the feature maps of a network for one patch. With --milliseconds, of a genotype also what
a training step takes on this machine, from the times of its layers, which are measured once. Of a search space: the least that a network
of it costs, the mean over random ones, and ten of these.
"""

from scnas_keras.cost.config import CostConfig


def cost(config: CostConfig) -> str:
    """See `scnas_keras.cost.runner.run_cost`, which this calls."""
    from scnas_keras.cost.runner import run_cost

    return run_cost(config)


def main(config: CostConfig) -> None:
    print(cost(config))
