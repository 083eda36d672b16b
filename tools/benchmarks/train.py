"""tools/benchmark train: one training step of each network that can be trained, and with --torch_python of MONAI's beside it

Each row runs in a process of its own: a step of the package's learner (update, loss and Dice) on one random batch, in float32. The first
step, which traces and compiles, isn't counted. Times depend on the machine and on what else it does: read the ratios, of one run.

--torch_python=VENV/bin/python, an environment with torch, monai and nnunetv2 (leave out the rows of what it lacks by --rows), adds networks
of theirs, trained as --preset=nnunet does: DynUNet with the layers of nnunet_4_stages, as installed and with a malloc that keeps freed
memory, UNet, and nnU-Net v2's own network and loss with the stages of nnunet. Their steps compute no Dice for the log.
"""

import dataclasses
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

from benchmarks.rows import check_rows, print_result, run_rows
from benchmarks.steps import training_step

from scnas_keras import console
from scnas_keras.architectures.registry import DEFAULT_WIDTHS, GENOTYPE, HANDMADE, Network, footprint, widths_text
from scnas_keras.errors import ConfigError
from scnas_keras.machine.memory import usable_cpus
from scnas_keras.options import option
from scnas_keras.planning.topology import Topology, fixed_topology
from scnas_keras.spaces.genotype import Genotype
from scnas_keras.spaces.known import find_space
from scnas_keras.spaces.random_genotypes import random_genotype

UNIT, FOUR_STAGES, NNUNET_V2 = "nnunet", "nnunet_4_stages", "nnunet_v2"
TORCH_STEP = pathlib.Path(__file__).with_name("torch_step.py")


def handmade_rows() -> dict[str, str]:
    """The hand-made networks, each with what its docstring says up to a semicolon.

    Of the presets of a network only the first: they differ in the patches that are planned for them.
    """
    rows, kinds = {}, set()
    for network in (footprint(name) for name in HANDMADE):
        if type(network) not in kinds:
            kinds.add(type(network))
            rows[network.name] = type(network).__doc__.splitlines()[0].partition(";")[0]
    return rows


_HANDMADE = handmade_rows()
ROWS = {
    UNIT: _HANDMADE[UNIT],  # the first, since others are compared with it
    GENOTYPE: "the network of --genotype",
    **_HANDMADE,
    FOUR_STAGES: "nnU-Net's plain U-Net with three halvings and 32, 64, 128, 256 channels",
}
TORCH_ROWS = {
    "dynunet": "MONAI's DynUNet with the layers of nnunet_4_stages, torch as installed",
    "dynunet_malloc": "the same with MALLOC_MMAP_THRESHOLD_ and MALLOC_TRIM_THRESHOLD_ of 1 GiB",
    "monai_unet": "MONAI's UNet with 32, 64, 128, 256 channels and two residual units a stage",
    NNUNET_V2: "nnU-Net v2's own network, loss and update with the stages of nnunet, torch as installed",
}
PRESET = "nnunet"
SHALLOW = [row for row in TORCH_ROWS if row != NNUNET_V2]  # have no coarser outputs
RATIOS = ((FOUR_STAGES, "dynunet"), (FOUR_STAGES, "dynunet_malloc"), (UNIT, NNUNET_V2))
MALLOC = {"MALLOC_MMAP_THRESHOLD_": str(2**30), "MALLOC_TRIM_THRESHOLD_": str(2**30)}

LEGEND = """
parameters: trainable, millions; G: 1e9 multiply-adds of the convolutions, forward pass of a batch;
s/step: median of {steps} after the first; ms/G: milliseconds of a step for each G; x: ms/G, {unit} is 1;
first step: seconds with start, imports and tracing; peak: of the row's process; estimate: the planner's;
nnU-Net's networks have the stages that are planned for the patch at 1 mm, but for {four_stages}"""


@dataclasses.dataclass(frozen=True)
class Config:
    """What is measured."""

    cases: str = option(
        "64x1",
        "Patch and batch, one or several: 64x1 is one patch of 64^3, 40x56x40x9 are nine of 40 x 56 x 40, 256x256x4 four of two axes.",
        "Training",
    )
    channels: int = option(4, "Image channels.", "Training", least=1)
    classes: int = option(4, "Classes, background included.", "Training", least=2)
    preset: str = option(PRESET, "Loss and optimizer.", "Training", choices=("scnas", PRESET))
    deep_supervision: bool = option(False, "Train coarser outputs as well, where a network has them.", "Training")
    genotype: str | None = option(None, "A genotype.json. Default: a drawn one, always the same.", "Training")
    width: int = option(
        DEFAULT_WIDTHS[GENOTYPE],
        f"Channels at full resolution of the genotype's network; hand-made ones have {widths_text(HANDMADE)}.",
        "Training",
        least=1,
    )
    steps: int = option(5, "Steps to time; the median counts.", "Benchmark", least=1)
    torch_python: str | None = option(
        None, "Python of an environment with torch, monai and nnunetv2, to time their networks beside it.", "Benchmark"
    )
    rows: str | None = option(None, f"Rows to run, of {', '.join([*ROWS, *TORCH_ROWS])}. Default: all with the patches' axes.", "Benchmark")
    row: str | None = option(None, "For the program's own use: run this row here and print its result.", "Benchmark")


@dataclasses.dataclass(frozen=True)
class Case:
    """Voxels of a patch along each axis, and patches in a batch."""

    patch_size: tuple[int, ...]
    batch: int

    @classmethod
    def parse(cls, text: str) -> "Case":
        """The case that is written 64x1, 256x256x4 or 40x56x40x9."""
        numbers = [int(part) if part.isdecimal() else 0 for part in text.split("x")]
        if len(numbers) not in (2, 3, 4) or min(numbers) < 1:
            raise ConfigError(f"--cases: {text!r} must be one size, two or three, and a batch: like 64x1, 256x256x4 or 40x56x40x9.")
        *sizes, batch = numbers
        return cls(tuple(sizes * 3 if len(sizes) == 1 else sizes), batch)

    def __str__(self):
        return f"patches of {' x '.join(map(str, self.patch_size))} voxels, batch {self.batch}"


def plan(row: str, patch_size: Sequence[int], config: Config) -> tuple[Network, Topology]:
    """A row's network and its stages for a patch; ConfigError if it can't halve the patch."""
    if row == GENOTYPE:
        genotype = Genotype.load(config.genotype) if config.genotype else random_genotype(find_space("scnas", len(patch_size)), 0, 0)
        network = footprint(row, config.width, genotype)
    else:
        network = footprint(UNIT if row == FOUR_STAGES else row)
    if len(patch_size) not in network.ranks:
        raise ConfigError(f"--cases: {row} has {' or '.join(map(str, network.ranks))} axes, and there are patches of {len(patch_size)}.")
    topology = fixed_topology(patch_size, 3) if row == FOUR_STAGES else network.topology((1.0,) * len(patch_size), patch_size)
    if topology.patch_size != tuple(patch_size):
        raise ConfigError(
            f"--cases: {row} can't halve a patch of {'x'.join(map(str, patch_size))}; the next that it can is "
            f"{'x'.join(map(str, topology.patch_size))}."
        )
    return network, topology


def measure(row: str, case: Case, config: Config) -> dict[str, float]:
    """A row's figures; its first step counts from the first line here, with all imports."""
    start = time.perf_counter()
    console.load_tensorflow()
    from scnas_keras.networks.cost import network_cost

    network, topology = plan(row, case.patch_size, config)
    model = network.build(topology, network.features(topology), config.channels, config.classes, config.deep_supervision)
    step = training_step(model, config.preset, case.batch, case.patch_size, config.channels, config.classes)
    step()
    first = time.perf_counter() - start
    seconds = statistics.median(step() for _ in range(config.steps))
    cost = network_cost(model, case.patch_size)
    elements = network.elements(topology, config.channels, config.classes)
    return {
        "seconds": seconds,
        "first_step_seconds": first,
        "parameters": cost.parameters,
        "multiply_adds": cost.multiply_adds * case.batch,
        "estimated_bytes": network.measured(len(case.patch_size)).gigabytes_for(elements, case.batch) * 2**30,
    }


def measure_torch(row: str, case: Case, config: Config) -> dict[str, float]:
    """Figures of a row of the other environment, from a process of its own."""
    print(f"running {row} ...", file=sys.stderr, flush=True)
    network, topology = plan(UNIT if row == NNUNET_V2 else FOUR_STAGES, case.patch_size, config)
    settings = {
        "row": row,
        "threads": usable_cpus(),
        "steps": config.steps,
        "patch_size": case.patch_size,
        "batch": case.batch,
        "channels": config.channels,
        "classes": config.classes,
        "deep_supervision": config.deep_supervision,
        "strides": topology.strides,
        "kernel_sizes": topology.kernel_sizes,
        "features": network.features(topology),
    }
    environment = {name: value for name, value in os.environ.items() if name not in MALLOC} | (MALLOC if row == "dynunet_malloc" else {})
    command = [config.torch_python, "-W", "ignore", str(TORCH_STEP), json.dumps(settings)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
    except OSError as error:
        raise ConfigError(f"--torch_python={config.torch_python}: can't be run ({error.strerror}).") from error
    if done.returncode:
        said = done.stderr.strip().splitlines()[-1:] or ["nothing"]
        raise ConfigError(f"--torch_python={config.torch_python}: exit code {done.returncode} (-9: out of memory), and it said: {said[0]}")
    return {**json.loads(done.stdout.splitlines()[-1]), "estimated_bytes": math.nan}


def main(config: Config) -> None:
    if config.row:
        row, case = config.row.split(":")
        print_result(config.row, measure(row, Case.parse(case), config))
        return
    rows, cases = chosen(config)
    print(
        f"train: one training step, --preset={config.preset}, deep supervision {'on' if config.deep_supervision else 'off'}, "
        f"{config.channels} channels, {config.classes} classes, float32, {usable_cpus()} cores"
    )
    failed = [f"{row} at {text}" for text, case in cases.items() for row in print_case(rows, text, case, config)]
    print(LEGEND.format(steps=config.steps, unit=UNIT, four_stages=FOUR_STAGES))
    for row in rows:
        print(f"  {row}: {(ROWS | TORCH_ROWS)[row]}{_genotype(config) if row == GENOTYPE else ''}")
    if failed:
        raise ConfigError(f"These rows could not be run: {', '.join(failed)}.")


def chosen(config: Config) -> tuple[list[str], dict[str, Case]]:
    """The rows to run, in order, and the cases as they are written; ConfigError before anything runs."""
    if config.torch_python and config.preset != PRESET:
        raise ConfigError(f"--torch_python: those networks are trained as --preset={PRESET} does; leave out the other flags.")
    if config.steps < 1:
        raise ConfigError(f"--steps={config.steps} must be 1 or more.")
    known = [*ROWS, *(TORCH_ROWS if config.torch_python else ())]
    cases = {text: Case.parse(text) for text in config.cases.split(",")}
    axes = {len(case.patch_size) for case in cases.values()}
    wanted = check_rows(config.rows, known) if config.rows else [row for row in known if axes <= _ranks(row, config)]
    if config.deep_supervision and set(SHALLOW) & set(wanted):
        raise ConfigError(f"--deep_supervision: {', '.join(SHALLOW)} have no coarser outputs; leave them out by --rows.")
    if config.genotype and GENOTYPE not in wanted:
        raise ConfigError(
            f"--genotype={config.genotype} isn't of the axes of --cases={config.cases}, or --rows leaves it out. Leave out one of them."
        )
    for text, case in cases.items():
        for row in wanted:
            if row in ROWS:
                plan(row, case.patch_size, config)
            elif len(case.patch_size) != 3:
                raise ConfigError(f"--cases: {row} has 3 axes, and {text} has {len(case.patch_size)}. Leave it out by --rows.")
    return [row for row in known if row in wanted], cases


def _ranks(row: str, config: Config) -> set[int]:
    """Numbers of axes that a row can have."""
    if row in TORCH_ROWS:
        return {3}
    if row == GENOTYPE:
        return {Genotype.load(config.genotype).space.rank} if config.genotype else {2, 3}
    return {*footprint(UNIT if row == FOUR_STAGES else row).ranks}


def print_case(rows: Sequence[str], text: str, case: Case, config: Config) -> list[str]:
    """Runs the rows of a case and prints each as soon as it is there; returns those that failed."""
    print(f"\n{case}")
    print(
        f"{'':17}{'parameters M':>13}{'G':>9}{'s/step':>10}{'ms/G':>9}{'x':>8}{'first step s':>14}{'peak GiB':>10}{'estimate GiB':>14}",
        flush=True,
    )
    results, failed = {}, []
    for row in rows:
        try:
            results[row] = run_rows("train", [f"{row}:{text}"])[0] if row in ROWS else measure_torch(row, case, config)
        except ConfigError as error:
            print(f"{row:17}  {error}", flush=True)
            failed.append(row)
        else:
            print_row(row, results[row], results.get(UNIT))
    for own, other in RATIOS:
        if {own, other} <= set(results):
            ratios = [results[own][key] / results[other][key] for key in ("seconds", "peak_bytes")]
            print(f"{own} / {other}: {ratios[0]:.3f} of the time of a step, {ratios[1]:.3f} of the peak memory")
    return failed


def print_row(row: str, result: dict[str, float], unit: dict[str, float] | None) -> None:
    """A line of the table; `unit` is the row that others are compared with, if it was run."""
    ratio = _digits(_cost(result) / _cost(unit)) if unit else ""
    estimate = "" if math.isnan(result["estimated_bytes"]) else f"{result['estimated_bytes'] / 2**30:.2f}"
    print(
        f"{row:17}{result['parameters'] / 1e6:13.3f}{_digits(result['multiply_adds'] / 1e9):>9}{_digits(result['seconds']):>10}"
        f"{_digits(_cost(result)):>9}{ratio:>8}{result['first_step_seconds']:14.1f}{result['peak_bytes'] / 2**30:10.2f}{estimate:>14}",
        flush=True,
    )


def _cost(result: dict[str, float]) -> float:
    """Milliseconds for 1e9 multiply-adds of the forward pass."""
    return 1e3 * result["seconds"] / (result["multiply_adds"] / 1e9)


def _digits(value: float) -> str:
    """Four significant digits, without an exponent."""
    return f"{value:.4g}" if 1e-4 <= value < 9999.5 else f"{value:.0f}"


def _genotype(config: Config) -> str:
    return f", {config.genotype or 'random_genotype(SCNAS, 0, 0)'}, width {config.width}"
