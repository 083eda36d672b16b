"""tools/benchmark supernet: one search step (weights, then logits) of two drawn operations an edge against all eight

Times depend on the machine and on what else it does: read the ratios.
"""

import dataclasses
import statistics
import time

from benchmarks.rows import check_rows, print_result, run_rows

from scnas_keras import console
from scnas_keras.options import option

ROWS = {
    "sampled_pair": "two drawn operations an edge (the search's default)",
    "sampled_pair_recomputed": "the same, convolutions computed again in the backward pass (--recompute)",
    "all_operations": "all eight on every edge by plain automatic differentiation (as DARTS does), with the same kernels",
    "all_operations_recomputed": "all eight through this package's engine (--relaxation=softmax)",
}


@dataclasses.dataclass(frozen=True)
class Config:
    """What is measured."""

    stem_channels: int = option(48, "Channels of the supernet at full resolution.", "Supernet")
    patch_size: tuple[int, ...] = option((64, 64, 64), "Voxels of a patch.", "Supernet")
    batch_size: int = option(1, "Patches in a batch.", "Supernet")
    channels: int = option(4, "Image channels.", "Supernet")
    classes: int = option(4, "Classes, background included.", "Supernet")
    steps: int = option(6, "Steps to time; the median counts.", "Benchmark")
    rows: str | None = option(None, f"Rows to run, of {', '.join(ROWS)}. Default: all.", "Benchmark")
    row: str | None = option(None, "For the program's own use: run this row here and print its result.", "Benchmark")


def supernet_step(config: Config, row: str):
    """Builds the row's supernet and returns a function that runs one step and waits for it."""
    import keras
    import tensorflow as tf

    from scnas_keras.spaces.space import SCNAS
    from scnas_keras.supernet.mixture import Mixture
    from scnas_keras.supernet.supernet import Supernet
    from scnas_keras.training.losses import JaccardLoss

    class InlinedMixture(Mixture):
        def __call__(self, x, draw, parameters, learn):
            weights = tf.unstack(draw.weights)
            return tf.add_n([weight * self.run(i, x, parameters) for i, weight in enumerate(weights)])

    class InlinedSupernet(Supernet):
        mixture_class = InlinedMixture

    network = InlinedSupernet if row == "all_operations" else Supernet
    relaxation = "gumbel_pair" if row.startswith("sampled_pair") else "softmax"
    keep = not row.endswith("_recomputed")
    supernet = network(SCNAS, config.channels, config.classes, config.stem_channels, relaxation, keep)
    supernet.compile(keras.optimizers.Adam(1e-3), keras.optimizers.Adam(3e-3), JaccardLoss())
    shape = (config.batch_size, *config.patch_size)
    images = tf.random.stateless_normal((*shape, config.channels), (1, 2))
    labels = tf.random.stateless_uniform(shape, (3, 4), 0, config.classes, tf.int32)
    step = tf.function(lambda: supernet.train_step(((images, labels), (images, labels))))
    return lambda: {name: float(value) for name, value in step().items()}


def measure(config: Config, row: str) -> dict[str, float]:
    """One row's figures: seconds a step, and seconds from an empty process' first line to its first step."""
    start = time.perf_counter()
    console.load_tensorflow()
    step = supernet_step(config, row)
    step()
    first = time.perf_counter() - start
    seconds = []
    for _ in range(config.steps):
        before = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - before)
    return {"seconds": statistics.median(seconds), "first_step_seconds": first}


def main(config: Config) -> None:
    if config.row:
        print_result(config.row, measure(config, config.row))
        return
    rows = check_rows(config.rows, list(ROWS))
    size = "x".join(map(str, config.patch_size))
    print(f"supernet: stem {config.stem_channels}, patch {size}, batch {config.batch_size}; a step updates weights and logits")
    results = run_rows("supernet", rows)
    base = results[0]
    print(f"{'':28}{'s/step':>9}{'x':>7}{'first step s':>14}{'peak GiB':>10}{'x':>7}")
    for result in results:
        time_ratio, memory_ratio = (result[key] / base[key] for key in ("seconds", "peak_bytes"))
        print(
            f"{result['name']:28}{result['seconds']:9.2f}{time_ratio:7.2f}{result['first_step_seconds']:14.1f}"
            f"{result['peak_bytes'] / 2**30:10.2f}{memory_ratio:7.2f}"
        )
    for result in results:
        print(f"  {result['name']}: {ROWS[result['name']]}")
