"""What a search is going to cost, and how it uses memory."""

import dataclasses
from typing import Annotated, Literal

import numpy as np
from absl import logging
from msgspec import Meta

from scnas_keras.architectures.searched import SupernetNetwork
from scnas_keras.documents import load
from scnas_keras.errors import ConfigError
from scnas_keras.files import readable_json, write_text
from scnas_keras.machine.distribution import Cluster
from scnas_keras.machine.memory import available_memory
from scnas_keras.operations.registry import operation
from scnas_keras.runs.folds import Fold
from scnas_keras.runs.preflight import batch_in_memory, check_memory, estimate, free_gibibytes
from scnas_keras.runs.run_folder import RunFolder
from scnas_keras.search.config import AUTO, FAST, LOW_MEMORY, SearchConfig
from scnas_keras.spaces.cost import CostTables, cost_tables

COST, REMEDY = "cost.json", "Restore it from a copy, or name another --workdir."


@dataclasses.dataclass(frozen=True)
class SearchCost:
    """What a search costs: parameters of the supernet, multiply-adds of a forward pass, GiB of memory in each mode; the mode taken."""

    parameters: Annotated[int, Meta(ge=0)]
    multiply_adds: Annotated[int, Meta(ge=0)]
    gibibytes: dict[str, Annotated[float, Meta(ge=0)]]
    memory_mode: Literal["fast", "low_memory"]

    def save(self, run: RunFolder) -> None:
        """Writes cost.json."""
        write_text(run[COST], readable_json(dataclasses.asdict(self)))


def supernet_parameters(tables: CostTables, width: int) -> int:
    """Weights of a supernet: every candidate's kernels, without the scales and offsets that only derived networks have."""
    space = tables.space
    total = int(tables.fixed[0]) - sum(2 * stem.width * width for stem in space.stems)
    for cell, inputs in zip(space.placed, tables.inputs):
        channels = space.node_channels(width, cell)
        total += sum(int(parts[:, 0].sum()) - 2 * channels * len(parts) for parts in inputs)
        total += sum(operation(name).weights(space.rank, channels) for edge in cell.edges for name in edge.candidates)
    return total


def check_derived(config: SearchConfig, tables: CostTables) -> None:
    """Refuses a width at which memory can't hold the weights of any derived network, before all of the search.

    Raises:
        ConfigError: naming it.
    """
    needed, free = 4 * tables.least().parameters, available_memory()
    if needed > free:
        raise ConfigError(
            f"--width={config.width}: the weights of the derived network take at least {needed / 2**30:.3g} GiB of memory, and "
            f"{free / 2**30:.3g} are free. Choose fewer channels."
        )


def search_cost(config: SearchConfig, fold: Fold, network: SupernetNetwork, run: RunFolder, cluster: Cluster) -> SearchCost:
    """Tells what a search costs, and decides how it uses memory, "fast" or "low_memory"; hosts decide together.

    A resumed search keeps to what cost.json says that it began with, whatever else the machine does now: both modes round
    differently.

    Raises:
        ConfigError: the memory isn't there.
    """
    batch = batch_in_memory(fold, cluster, config.accumulate)
    channels, classes = len(fold.task.channel_names), fold.task.num_classes
    tables = cost_tables(network.space, network.width, fold.patch_size, channels, classes)
    drawn = [np.stack([own.sum(axis=0) * network.share_drawn(len(own)) for own in cell]).sum(axis=0) for cell in tables.edges]
    others = tables.fixed + sum(own.sum(axis=0) for cell in tables.inputs for own in cell)
    parameters, multiply_adds = supernet_parameters(tables, network.width), (sum(drawn)[1] + others[1]) * batch
    if config.hessian_every:
        network = dataclasses.replace(network, drawn=None)  # the eigenvalue takes all of them
    modes = {mode: dataclasses.replace(network, low_memory=mode == LOW_MEMORY) for mode in (FAST, LOW_MEMORY)}
    needs, free = {mode: estimate(modes[mode], fold, batch) for mode in modes}, free_gibibytes(cluster)
    mode, resumed = config.memory_mode, run[COST].is_file()
    if resumed:
        mode = load(run[COST], SearchCost, REMEDY).memory_mode
    elif mode == AUTO:
        mode = FAST if free is None or needs[FAST] <= free else LOW_MEMORY
    mode = LOW_MEMORY if cluster.total([mode == LOW_MEMORY])[0] else FAST
    logging.info(
        "supernet: %.2f M parameters, %.1f G multiply-adds in a forward pass; about %.1f GiB of memory at its peak (%s%s)",
        parameters / 1e6,
        multiply_adds / 1e9,
        needs[mode],
        mode,
        "" if free is None else f"; {free:.1f} GiB free",
    )
    check_memory(modes[mode], fold, batch, cluster, free, resumed)
    return SearchCost(int(parameters), int(multiply_adds), needs, mode)
