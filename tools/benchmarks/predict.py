"""tools/benchmark predict: segmenting a whole scan, its time and its memory

Each row runs in a process of its own: a scan of random intensities is prepared, segmented by nnU-Net's U-Net with random weights in
half-overlapping tiles, and brought back onto its grid, as `scnas predict` does. Overhead is the time above that of the bare forward
passes of as many tiles: every eighth tile is passed once more to time them under the same conditions, which isn't counted. Memory is the
highest anonymous memory (RssAnon) above that before: files of scratch aren't counted. Times depend on the machine and on what else it
does: read the ratios, of one run.

--torch_python=VENV/bin/python, an environment with torch and monai, adds MONAI's SlidingWindowInferer (overlap 0.5, Gaussian weights) with
its DynUNet of the same layers, and the argmax. It neither prepares nor brings back onto a grid.
"""

import dataclasses
import json
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import types

import numpy as np
from benchmarks.rows import print_result, run_rows

from scnas_keras import console
from scnas_keras.architectures.registry import footprint
from scnas_keras.errors import ConfigError
from scnas_keras.formats.geometry import Volume
from scnas_keras.machine.memory import usable_cpus
from scnas_keras.machine.scratch import Scratch
from scnas_keras.options import option
from scnas_keras.preprocessing.plan import Normalization, PreprocessingPlan
from scnas_keras.reporting.text_table import table

ROWS = ("240x240x155x4:3", "512x512x600x1:3", "512x512x600x1:105")
_EVERY = 0.02  # seconds
_BARE_EVERY = 8  # passes


@dataclasses.dataclass(frozen=True)
class Config:
    """What is measured."""

    patch: int = option(64, "Voxels of a tile along each axis.", "Prediction", least=16)
    width: int = option(8, "Channels of the network at full resolution.", "Prediction", least=1)
    mirror: bool = option(False, "Average over all eight flips.", "Prediction")
    scratch_dir: str | None = option(None, "Folder on a disk with room. Default: the system's for temporary files.", "Prediction")
    torch_python: str | None = option(None, "Python of an environment with torch and monai, to time MONAI beside it.", "Benchmark")
    rows: str | None = option(None, f"Rows to run, SIZExCHANNELS:CLASSES. Default: {', '.join(ROWS)}.", "Benchmark")
    row: str | None = option(None, "For the program's own use: run this row here and print its result.", "Benchmark")


class Memory:
    """Looks at this process' anonymous memory, in bytes, all the time."""

    def __init__(self):
        self.before = self.most = self._now()
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while True:
            self.most = max(self.most, self._now())
            time.sleep(_EVERY)

    @staticmethod
    def _now() -> int:
        return 1024 * int(re.search(r"RssAnon:\s+(\d+)", pathlib.Path("/proc/self/status").read_text())[1])


def measure(row: str, config: Config) -> dict[str, float]:
    """A row's figures."""
    console.load_tensorflow()
    import tensorflow as tf

    from scnas_keras.inference.model_folder import SegmentationModel

    size, classes = row.split(":")
    *shape, channels = map(int, size.split("x"))
    scratch = Scratch(config.scratch_dir or tempfile.gettempdir())
    array, random = scratch.array((*shape, channels)), np.random.default_rng(0)
    for slab in array:
        slab[...] = random.normal(100, 20, slab.shape)
    names = {value: f"class {value}" for value in range(int(classes))}
    plan = PreprocessingPlan((1.0, 1.0, 1.0), (Normalization("MR", "zscore"),) * channels, names)
    network, patch = footprint("nnunet", config.width), (config.patch,) * 3
    topology = network.topology((1.0,) * 3, patch)
    keras_model = network.build(topology, network.features(topology), channels, int(classes), False)
    forward = tf.function(keras_model, autograph=False)
    passes, bare = 0, list[float]()

    class Watched(SegmentationModel):
        def rows_of(self, tiles):
            nonlocal passes
            if passes % _BARE_EVERY == 0:
                bare.append(_timed(lambda: np.asarray(forward(tiles))))
            passes += 1
            return super().rows_of(tiles)

    model = Watched(keras_model, plan, patch, (0, 1, 2))
    model.rows_of(np.zeros((1, *patch, channels), np.float32))  # compiles both
    passes, bare = 0, []
    memory = Memory()
    volume = Volume(array, (1.0, 1.0, 1.0), types.SimpleNamespace(path=row))
    seconds = _timed(lambda: model.segment(volume, config.mirror, scratch)) - sum(bare)
    voxels, added = float(np.prod(shape)), float(memory.most - memory.before)
    return {"seconds": seconds, "voxels": voxels, "bare": statistics.fmean(bare) * passes, "bytes": added}


def measure_torch(row: str, config: Config) -> dict[str, float]:
    """MONAI's figures of a row, from a process of the other environment."""
    print(f"running {row} with MONAI ...", file=sys.stderr, flush=True)
    size, classes = row.split(":")
    *shape, channels = map(int, size.split("x"))
    network, patch = footprint("nnunet", config.width), (config.patch,) * 3
    topology = network.topology((1.0,) * 3, patch)
    settings = {"threads": usable_cpus(), "size": shape, "channels": channels, "classes": int(classes), "patch_size": patch}
    settings |= {"strides": topology.strides, "kernel_sizes": topology.kernel_sizes, "features": network.features(topology)}
    program = pathlib.Path(__file__).with_name("torch_predict.py")
    done = subprocess.run([config.torch_python, "-W", "ignore", program, json.dumps(settings)], capture_output=True, text=True)
    if done.returncode:
        said = done.stderr.strip().splitlines()[-1:] or ["nothing"]
        raise ConfigError(f"--torch_python={config.torch_python}: exit code {done.returncode} (-9: out of memory), and it said: {said[0]}")
    return json.loads(done.stdout.splitlines()[-1])


def _timed(work) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main(config: Config) -> None:
    if config.row:
        print_result(config.row, measure(config.row, config))
        return
    rows = config.rows.split(",") if config.rows else ROWS
    results = run_rows("predict", rows)
    lines = [("scan, channels : classes", "s", "Mvoxels/s", "overhead %", "memory MB")]
    for result in results:
        if config.torch_python:
            peer = measure_torch(result["name"], config)
            figures = f"{peer['seconds']:.0f}", f"{result['voxels'] / peer['seconds'] / 1e6:.2f}", "", f"{peer['bytes'] / 1e6:.0f}"
            lines.append((f"{result['name']}, MONAI", *figures))
        overhead = 100 * (result["seconds"] / result["bare"] - 1)
        lines.append(
            (result["name"], f"{result['seconds']:.0f}", f"{result['voxels'] / result['seconds'] / 1e6:.2f}", f"{overhead:.0f}")
            + (f"{result['bytes'] / 1e6:.0f}",)
        )
    print(f"patches of {config.patch}^3, nnunet of width {config.width}{', mirrored' if config.mirror else ''}")
    print("\n".join(table(lines)))
