"""tools/benchmark milliseconds: the milliseconds of a training step that follow from a table of layers, beside measured ones

The first row's table is measured where the cache has none. Each row runs in a process of its own: a step of the package's learner on one
random batch, as --preset=scnas has it, the first steps left out. Nothing else should run on the machine meanwhile.
"""

import dataclasses
import statistics

from benchmarks.rows import print_result, run_rows
from benchmarks.steps import training_step

from scnas_keras.console import load_tensorflow
from scnas_keras.errors import ConfigError
from scnas_keras.options import option
from scnas_keras.runs.data_config import cache_folder
from scnas_keras.spaces.cost import cost_tables
from scnas_keras.spaces.genotype import Genotype
from scnas_keras.spaces.known import DEFAULT, find_space, space_names
from scnas_keras.spaces.random_genotypes import random_genotype


@dataclasses.dataclass(frozen=True)
class Config:
    """What is compared."""

    space: str = option(DEFAULT, "The search space.", "Network", choices=space_names())
    networks: int = option(5, "Random networks of it.", "Network", least=1)
    genotype: str | None = option(None, "Instead of them: a genotype.json.", "Network")
    patch_size: tuple[int, ...] = option((40, 56, 40), "Voxels of the patch along each axis.", "Network", least=1)
    batch_size: int = option(2, "Patches of a step.", "Network", least=1)
    channels: int = option(1, "Image channels.", "Network", least=1)
    classes: int = option(3, "Classes, background included.", "Network", least=2)
    width: int = option(64, "Channels at full resolution.", "Network", least=1)
    steps: int = option(5, "Steps to time; the median counts.", "Benchmark", least=1)
    cache_dir: str | None = option(
        None, "Where measured times are kept. Default: $SCNAS_CACHE_DIR or ~/.cache/scnas_keras.", "Benchmark", path=True
    )
    row: str | None = option(None, "For the program's own use: run this row here and print its result.", "Benchmark")


def genotype_of(row: str, config: Config) -> Genotype:
    """A row's network."""
    return (
        Genotype.load(config.genotype)
        if config.genotype
        else random_genotype(find_space(config.space, len(config.patch_size)), 0, int(row))
    )


def measure(row: str, config: Config) -> dict[str, float]:
    """A row's milliseconds of a step."""
    load_tensorflow()
    import tensorflow as tf

    from scnas_keras.machine.determinism import make_deterministic
    from scnas_keras.networks import from_genotype
    from scnas_keras.training.names import SCNAS

    if not tf.config.list_physical_devices("GPU"):
        make_deterministic()
    network = from_genotype(genotype_of(row, config), config.channels, config.classes, config.width)
    step = training_step(network, SCNAS, config.batch_size, config.patch_size, config.channels, config.classes)
    for _ in range(2):
        step()
    return {"milliseconds": 1e3 * statistics.median(step() for _ in range(config.steps))}


def main(config: Config) -> None:
    if config.row:
        print_result(config.row, measure(config.row, config))
        return
    if min(config.networks, config.batch_size, config.steps) < 1:
        raise ConfigError("--networks, --batch_size and --steps must be 1 or more.")
    load_tensorflow()
    from scnas_keras.timing.times import machine_tables

    rows = [str(number) for number in range(1 if config.genotype else config.networks)]
    space = genotype_of(rows[0], config).space
    costs = cost_tables(space, config.width, config.patch_size, config.channels, config.classes)
    times = machine_tables(
        space, config.width, config.patch_size, config.batch_size, config.channels, config.classes, cache_folder(config.cache_dir)
    )
    print(f"{'':10}{'M parameters':>14}{'G':>9}{'predicted ms':>15}{'measured ms':>14}{'ratio':>8}", flush=True)
    ratios = []
    for row in rows:
        genotype = genotype_of(row, config)
        cost, predicted = costs.of_genotype(genotype), times.of_genotype(genotype)
        found = run_rows("milliseconds", [row])[0]["milliseconds"]
        ratios.append(predicted / found)
        giga = config.batch_size * cost.multiply_adds / 1e9
        print(
            f"network {row:2}{cost.parameters / 1e6:14.3f}{giga:9.2f}{predicted:15.1f}{found:14.1f}{ratios[-1]:8.3f}",
            flush=True,
        )
    spread = f"{min(ratios):.3f} to {max(ratios):.3f}, median {statistics.median(ratios):.3f}"
    print(f"ratio: predicted / measured, {spread}; G: 1e9 multiply-adds of the convolutions, forward pass of a batch")
