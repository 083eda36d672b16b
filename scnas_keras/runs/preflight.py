"""What a run is going to cost, told before its first step; one that can't fit is refused."""

import dataclasses
import math
from collections.abc import Sequence

import psutil
from absl import logging

from scnas_keras.architectures.registry import HANDMADE
from scnas_keras.architectures.searched import DerivedNetwork, SupernetNetwork
from scnas_keras.errors import ConfigError, times
from scnas_keras.inference.seen import bytes_needed
from scnas_keras.machine.distribution import Cluster
from scnas_keras.machine.memory import available_memory
from scnas_keras.networks.cost import NetworkCost
from scnas_keras.planning.footprints import Footprint
from scnas_keras.planning.topology import Topology
from scnas_keras.runs.checkpoint_files import CHECKPOINT
from scnas_keras.runs.folds import Fold
from scnas_keras.runs.run_folder import RunFolder


def check_training(
    fold: Fold, network: Footprint, cost: NetworkCost, run: RunFolder, cluster: Cluster, accumulate: int = 1, sliceable: bool = True
) -> None:
    """Tells what training a network costs, with batches in so many slices; `cost` is that of a patch.

    `sliceable` says whether the loss allows slices.

    Raises:
        ConfigError: the memory isn't there.
    """
    batch, free = batch_in_memory(fold, cluster, accumulate), free_gibibytes(cluster)
    logging.info(
        "network: %s, %.2f M parameters, %.1f G multiply-adds a patch; about %.1f GiB of memory at its peak%s",
        network.name,
        cost.parameters / 1e6,
        cost.multiply_adds / 1e9,
        estimate(network, fold, batch),
        "" if free is None else f" ({free:.1f} GiB free)",
    )
    check_memory(network, fold, batch, cluster, free, run[CHECKPOINT].is_dir(), sliceable)


def check_scans(fold: Fold, judged: str) -> None:
    """Refuses judged scans that memory can't hold when they are segmented whole in the end, before all of the training.

    Raises:
        ConfigError: naming the largest.
    """
    cases = fold.part(judged)
    if not cases:
        return
    largest = max(cases, key=lambda case: math.prod(case.shape))
    needed, free = bytes_needed(largest.shape), available_memory()
    if needed > free:
        raise ConfigError(
            f"{largest.name}: in the end this scan is segmented whole, {times(largest.shape)} voxels, for which {needed / 2**30:.3g} GiB "
            f"of memory are needed and {free / 2**30:.3g} are free. Use a machine with more memory, or a coarser --spacing."
        )


def estimate(network: Footprint, fold: Fold, batch: int, patch_size: Sequence[int] | None = None) -> float:
    """GiB that a process takes to train a network on batches of a fold's patches, or of others, on one device."""
    own = fold.configuration  # of an edited plan, with its stages
    topology = own.topology if patch_size is None else network.topology(own.spacing, patch_size)
    return memory_of(network, fold, batch, topology)


def memory_of(network: Footprint, fold: Fold, batch: int, topology: Topology) -> float:
    """The same for patches and stages that a topology tells."""
    elements = network.elements(topology, len(fold.task.channel_names), fold.task.num_classes)
    return network.measured(len(topology.patch_size)).gigabytes_for(elements, batch)


def batch_in_memory(fold: Fold, cluster: Cluster, accumulate: int = 1) -> int:
    """Patches that are computed in the same memory at a time: a GPU's, or the host's, which its logical CPUs share.

    Raises:
        ConfigError: a device's patches can't be divided into slices.
    """
    planned = fold.configuration.batch_size
    size = cluster.batch_size(planned)
    if size != planned:
        logging.info("batch %d instead of %d, to be shared equally by %d devices", size, planned, cluster.replicas)
    return size // cluster.slices(planned, accumulate) // (cluster.replicas if cluster.on_gpu else cluster.workers)


def check_memory(
    network: Footprint, fold: Fold, batch: int, cluster: Cluster, free: float | None, resumed: bool, sliceable: bool = True
) -> None:
    """Refuses a network that doesn't fit; only warns where it has run before, since it did fit and its flags can't change."""
    need = estimate(network, fold, batch)
    if free is None or need <= free:
        return
    if not resumed:
        raise ConfigError(_too_much(network, fold, batch, cluster, need, free, sliceable))
    logging.warning(
        "going on takes about %.1f GiB of memory, and %.1f GiB are free; close other programs if that is not enough", need, free
    )


def _too_much(network: Footprint, fold: Fold, batch: int, cluster: Cluster, need: float, free: float, sliceable: bool) -> str:
    """The message, with what each flag that is enough by itself would take."""
    least, remedies = cluster.replicas // cluster.workers, {}
    if isinstance(network, SupernetNetwork):
        remedies["--memory_mode=low_memory"] = estimate(dataclasses.replace(network, low_memory=True), fold, batch)
    if batch > least and sliceable:
        share = cluster.batch_size(fold.configuration.batch_size) // cluster.replicas
        remedies[f"--accumulate={share}"] = estimate(network, fold, least)
    if batch > least:
        remedies[f"--batch_size={cluster.replicas}"] = estimate(network, fold, least)
    patch, spacing = list(fold.patch_size), fold.configuration.spacing
    while (smaller := _smaller_patch(network, spacing, patch)) and estimate(network, fold, batch, patch) > free:
        patch = smaller
    own = [patch[fold.plans.transpose_forward.index(axis)] for axis in range(3)] if len(patch) == 3 else patch
    remedies[f"--patch_size={','.join(map(str, own))}"] = estimate(network, fold, batch, patch)
    narrow, step = network, network.space.width_step if isinstance(network, (SupernetNetwork, DerivedNetwork)) else 2
    while narrow.width > 4 * step and estimate(narrow, fold, batch) > free:
        narrow = dataclasses.replace(narrow, width=narrow.width - step)
    flag = "stem_channels" if isinstance(network, SupernetNetwork) else "width"
    also = f" (in crossval --baseline_width={narrow.width})" if network.name in HANDMADE else ""
    remedies[f"--{flag}={narrow.width}{also}"] = estimate(narrow, fold, batch)
    enough = [f"{name} takes {gibibytes:.1f}" for name, gibibytes in remedies.items() if gibibytes <= free]
    size = times(fold.patch_size)
    return (
        f"A batch of {batch} patches of {size} voxels takes about {need:.1f} GiB to train this {network.name} network, and {free:.1f} GiB "
        "are free. "
        + (
            f"Give one of these (GiB): {'; '.join(enough)}."
            if enough
            else "No single flag lowers that enough; use a machine with more memory."
        )
    )


def _smaller_patch(network: Footprint, spacing: Sequence[float], patch: Sequence[int]) -> list[int] | None:
    """The patch with a step less along its longest axis; None if there is none left."""
    axis, smaller = patch.index(max(patch)), list(patch)
    smaller[axis] -= network.topology(spacing, patch).divisors[axis]
    found = list(network.topology(spacing, smaller).patch_size) if smaller[axis] > 0 else list(patch)
    return found if math.prod(found) < math.prod(patch) else None


def free_gibibytes(cluster: Cluster) -> float | None:
    """What this process may take in all, with what it has already; None on GPUs, whose memory TensorFlow manages."""
    if cluster.on_gpu:
        return None
    return (available_memory() + psutil.Process().memory_info().rss) / 2**30
