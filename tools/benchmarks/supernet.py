"""tools/benchmark supernet: one search step (weights, then alpha) of drawn operations against all

Each row runs in a process of its own. Times depend on the machine and on what else it does: read the ratios.
With --profile, what the operations of one step took, by kind of kernel. With --dints_python=VENV/bin/python, an environment
with torch and monai, also one bi-level step of MONAI's DiNTS at its tutorial's width and 48^3.
"""

import collections
import dataclasses
import json
import pathlib
import statistics
import subprocess
import tempfile
import time

from benchmarks.rows import check_rows, print_result, run_rows

from scnas_keras import console
from scnas_keras.errors import ConfigError
from scnas_keras.options import option
from scnas_keras.spaces.known import DEFAULT, space_names

ROWS = {
    "sampled_pair": "two drawn operations an edge (the search's default), --memory_mode=fast",
    "sampled_pair_low_memory": "the same with --memory_mode=low_memory",
    "sampled_pair_bfloat16": "the same as the first with --mixed_precision=bfloat16",
    "single_draw": "one drawn operation an edge (--relaxation=gumbel_single)",
    "late_pair": "two drawn operations at the search's last temperature, of which negligible ones aren't run (--skip_below)",
    "all_operations": "all on every edge by plain automatic differentiation, as DARTS does, with Keras' operations",
    "all_operations_fast_kernels": "the same with this package's kernels for dilated convolution and average pooling",
    "all_operations_shared": "all through this package's engine (--relaxation=softmax)",
}
DEFAULT_ROWS = ("sampled_pair", "sampled_pair_low_memory", "single_draw", "all_operations")
KERNELS = {
    "convolution": ("Conv2D", "Conv3D", "MatMul"),
    "normalisation": ("BatchNorm",),
    "pooling": ("Pool",),
    "activation": ("LeakyRelu",),
    "sums and products": ("Add", "Mul", "Sum", "RealDiv", "Sub"),
    "copies": ("Slice", "SpaceToBatch", "BatchToSpace", "Tile", "Transpose", "Reverse", "Concat", "Pad", "Split", "Fill", "Cast", "Pack"),
}


@dataclasses.dataclass(frozen=True)
class Config:
    """What is measured."""

    space: str = option(DEFAULT, "The search space.", "Supernet", choices=space_names())
    rank: int = option(3, "Spatial axes, 2 or 3.", "Supernet", least=2, most=3)
    stem_channels: tuple[int, ...] = option(
        (48,), "Channels of the supernet at full resolution, one or several numbers.", "Supernet", least=1
    )
    patch_size: tuple[int, ...] = option((64,), "Voxels of a patch along each axis, one or several numbers.", "Supernet", least=1)
    batch_size: int = option(1, "Patches in a batch.", "Supernet", least=1)
    channels: int = option(4, "Image channels.", "Supernet", least=1)
    classes: int = option(4, "Classes, background included.", "Supernet", least=2)
    steps: int = option(6, "Steps to time; the median counts.", "Benchmark", least=1)
    profile: bool = option(False, "Also say what kernels the first row's time goes to.", "Benchmark")
    dints_python: str | None = option(None, "Python of an environment with torch and monai, to time DiNTS beside it.", "Benchmark")
    rows: str | None = option(None, f"Rows to run, of {', '.join(ROWS)}. Default: {', '.join(DEFAULT_ROWS)}.", "Benchmark")
    row: str | None = option(None, "For the program's own use: run this row here and print its result.", "Benchmark")


def supernet_step(row: str, stem: int, size: int, config: Config):
    """Builds a row's supernet and returns a function that runs one step and waits for it."""
    import numpy as np
    import tensorflow as tf

    from scnas_keras.machine.precision import set_precision
    from scnas_keras.operations.build import build_operation
    from scnas_keras.spaces.known import find_space
    from scnas_keras.supernet.mixture import Mixture
    from scnas_keras.supernet.reference import reference_forward
    from scnas_keras.supernet.relaxation import Draw
    from scnas_keras.supernet.supernet import Supernet
    from scnas_keras.training.losses import JaccardLoss
    from scnas_keras.training.optimizers import Adam

    class PortableMixture(Mixture):
        build_layer = staticmethod(lambda name, role, dtype, low_memory: build_operation(name, role, affine=False, dtype=dtype))

    class ReferenceSupernet(Supernet):
        mixture_class = Mixture if row.endswith("fast_kernels") else PortableMixture

        def forward(self, images, draws, learn=(), masks=None):
            everything = [np.broadcast_to(np.arange(draw.weights.shape[-1]), draw.weights.shape) for draw in draws]
            return reference_forward(self, images, [Draw(own, draw.weights) for own, draw in zip(everything, draws)])

    if row.endswith("bfloat16"):
        set_precision("bfloat16")
    relaxation = {"all": "softmax", "single": "gumbel_single"}.get(row.partition("_")[0], "gumbel_pair")
    network = ReferenceSupernet if row in ("all_operations", "all_operations_fast_kernels") else Supernet
    negligible = 0.01 if row == "late_pair" else 0.0
    space = find_space(config.space, config.rank)
    supernet = network(space, config.channels, config.classes, stem, relaxation, row.endswith("low_memory"), negligible)
    supernet.compile(Adam(1e-3), Adam(3e-3), JaccardLoss())
    supernet.temperature.assign(0.2 if row == "late_pair" else 1.0)
    shape = (config.batch_size, *(size,) * config.rank)
    images = tf.random.stateless_normal((*shape, config.channels), (1, 2))
    labels = tf.random.stateless_uniform(shape, (3, 4), 0, config.classes, tf.int32)
    step = tf.function(lambda: supernet.train_step(((images, labels), (images, labels))), autograph=False)
    return lambda: {name: float(value) for name, value in step().items()}


def measure(config: Config) -> dict[str, object]:
    """One row's figures: seconds a step, seconds from an empty process' first line to its first step, shares of the kernels."""
    row, stem, size = config.row.split(":")
    start = time.perf_counter()
    console.load_tensorflow()
    step = supernet_step(row, int(stem), int(size), config)
    step()
    first = time.perf_counter() - start
    seconds = []
    for _ in range(config.steps):
        before = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - before)
    figures = {"seconds": statistics.median(seconds), "first_step_seconds": first}
    return {**figures, "kernels": kernel_seconds(step)} if config.profile else figures


def kernel_seconds(step) -> dict[str, float]:
    """Seconds of thread time of the operations of one step by kind of kernel, from TensorFlow's profiler."""
    import tensorflow as tf
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    with tempfile.TemporaryDirectory() as folder:
        with tf.profiler.experimental.Profile(folder, tf.profiler.experimental.ProfilerOptions(host_tracer_level=2)):
            step()
        space = xplane_pb2.XSpace()
        space.ParseFromString(next(pathlib.Path(folder).rglob("*.xplane.pb")).read_bytes())
    seconds = collections.Counter()
    for plane in space.planes:
        names = {key: metadata.name for key, metadata in plane.event_metadata.items()}
        for event in (event for line in plane.lines for event in line.events):
            _, separator, kernel = names[event.metadata_id].rpartition(":")
            if (
                separator
                and "::" not in names[event.metadata_id]
                and kernel.isidentifier()
                and not kernel.endswith(("PartitionedCall", "PartitionedCallOp"))
            ):
                kind = next((kind for kind, parts in KERNELS.items() if any(part in kernel for part in parts)), "other")
                seconds[kind] += event.duration_ps / 1e12
    return dict(seconds)


DINTS = """
import json, resource, statistics, sys, time
import torch
from monai.losses import DiceCELoss
from monai.networks.nets import DiNTS, TopologySearch
torch.manual_seed(0)
space = TopologySearch(channel_mul=0.5, num_blocks=12, num_depths=4, use_downsample=True)
net = DiNTS(dints_space=space, in_channels=CHANNELS, num_classes=CLASSES, use_downsample=True)
x, y = torch.randn(1, CHANNELS, 48, 48, 48), torch.randint(0, CLASSES, (1, 1, 48, 48, 48))
loss = DiceCELoss(to_onehot_y=True, softmax=True)
weights = torch.optim.SGD(net.weight_parameters(), 0.025, momentum=0.9)
cells = torch.optim.Adam([space.log_alpha_c], 1e-3, betas=(0.5, 0.999))
paths = torch.optim.Adam([space.log_alpha_a], 1e-3, betas=(0.5, 0.999))
def step():
    weights.zero_grad(); loss(net(x), y).backward(); weights.step()
    cells.zero_grad(); paths.zero_grad()
    probabilities, code = space.get_prob_a(child=True)
    topology = space.get_topology_entropy(probabilities)
    entropy = (-space.log_alpha_c.softmax(-1) * space.log_alpha_c.log_softmax(-1)).mean()
    ram = abs(0.2 - space.get_ram_cost_usage((1, CHANNELS, 48, 48, 48)) / space.get_ram_cost_usage((1, CHANNELS, 48, 48, 48), full=True))
    (loss(net(x), y) + entropy + ram + 0.001 * topology).backward(); cells.step(); paths.step()
step()
seconds = []
for _ in range(STEPS):
    start = time.perf_counter(); step(); seconds.append(time.perf_counter() - start)
print(json.dumps({"seconds": statistics.median(seconds), "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))
"""


def dints(config: Config) -> dict[str, float]:
    """Seconds and peak memory of a search step of MONAI's DiNTS (arXiv 2103.15954) with the losses of its tutorial."""
    code = DINTS.replace("CHANNELS", str(config.channels)).replace("CLASSES", str(config.classes)).replace("STEPS", str(config.steps))
    done = subprocess.run([config.dints_python, "-c", code], capture_output=True, text=True)
    if done.returncode:
        raise ConfigError(f"--dints_python={config.dints_python}: {done.stderr.strip().splitlines()[-1]}")
    return {"name": "DiNTS, channel_mul 0.5, 48^3", "first_step_seconds": float("nan"), **json.loads(done.stdout.splitlines()[-1])}


def main(config: Config) -> None:
    if config.row:
        print_result(config.row, measure(config))
        return
    rows = check_rows(config.rows, list(ROWS)) if config.rows else list(DEFAULT_ROWS)
    print(
        f"supernet of {config.space}, {config.rank}D: batch {config.batch_size}, {config.channels} channels; a step updates weights, alpha"
    )
    print(f"{'':37}{'s/step':>9}{'x':>7}{'first step s':>14}{'peak GiB':>10}{'x':>7}")
    for stem in config.stem_channels:
        for size in config.patch_size:
            results = run_rows("supernet", [f"{row}:{stem}:{size}" for row in rows])
            print_table(results, config.rank)
            if config.profile:
                print_kernels(results[0])
    if config.dints_python:
        print_table([dints(config)], 3)
    for row in rows:
        print(f"  {row}: {ROWS[row]}")


def print_table(results: list[dict], rank: int) -> None:
    for result in results:
        time_ratio, memory_ratio = (result[key] / results[0][key] for key in ("seconds", "peak_bytes"))
        row, stem, size = [*result["name"].split(":"), "", ""][:3]
        where = f"{stem} {size}^{rank}" if size else ""
        print(
            f"{row:29}{where:8}{result['seconds']:9.2f}{time_ratio:7.2f}{result['first_step_seconds']:14.1f}"
            f"{result['peak_bytes'] / 2**30:10.2f}{memory_ratio:7.2f}",
            flush=True,
        )


def print_kernels(result: dict) -> None:
    """The shares of thread time in a row's step."""
    total = sum(result["kernels"].values())
    shares = sorted(result["kernels"].items(), key=lambda item: -item[1])
    print(f"  {result['name']}: {', '.join(f'{kind} {seconds / total:.1%}' for kind, seconds in shares)} of the time of its operations")
