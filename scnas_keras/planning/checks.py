"""Whether a network can be trained on patches of a size: by its stages, and by memory."""

from collections.abc import Sequence

from absl import logging

from scnas_keras.errors import ConfigError, times
from scnas_keras.planning.footprints import Footprint
from scnas_keras.planning.plans import Configuration, Plans
from scnas_keras.planning.topology import Topology


def check_patch(patch_size: Sequence[int], network: Footprint) -> None:
    """Raises ConfigError unless a patch has as many sizes as the network has axes, and the network can halve them."""
    text = ",".join(map(str, patch_size))
    if len(patch_size) not in network.ranks:
        raise ConfigError(
            f"--patch_size={text}: a patch of a {network.name} network has {network.ranks[-1]} sizes, for example "
            f"{','.join(['64'] * network.ranks[-1])}."
        )
    topology = network.topology((1.0,) * len(patch_size), [max(size, 1) for size in patch_size])
    wrong = [(size, divisor) for size, divisor in zip(patch_size, topology.divisors) if size < 1 or size % divisor]
    if wrong:
        advice = "; ".join(
            f"instead of {size} use {_nearest(size, divisor if size > 0 else max(topology.divisors))}"
            for size, divisor in dict.fromkeys(wrong)
        )
        raise ConfigError(
            f"--patch_size={text}: the network halves a patch {len(topology.strides) - 1} times, so every size must be a positive "
            f"multiple of {max(topology.divisors)}: {advice}."
        )

    if topology.patch_size != (*patch_size,):
        raise ConfigError(
            f"--patch_size={text}: of so small a patch a {network.name} network keeps a single voxel at its coarsest stage, which its "
            f"normalisation takes away; give {max(topology.patch_size)} or more along an axis."
        )


def planned_topology(file: str, plans: Plans, planned: Configuration, patch_size: tuple[int, ...], network: Footprint) -> Topology:
    """A network's stages for patches of a plan: the plan's own, which may have been edited, if it was made for that network.

    Args:
        file: of the plan.
        plans: it.
        planned: its configuration.
        patch_size: of the patches, along the plan's axes.
        network: which; of the configuration's rank.

    Raises:
        ConfigError: the network can't halve them.
    """
    own = network.stages_of_plan and plans.network == network.name and patch_size == planned.patch_size
    topology = planned.topology if own else network.topology(planned.spacing, patch_size)
    if topology.patch_size != patch_size:
        raise ConfigError(
            f"{file}: patch_size {list(patch_size)} doesn't suit a {network.name} network; make it {list(topology.patch_size)}, give a "
            f"--patch_size, or plan with --network={network.name}."
        )
    return topology


def warn_of_memory(configuration: Configuration, network: Footprint, plans: Plans, memory_gb: float) -> None:
    """Says so if a network takes more than `memory_gb` GiB to train on a configuration's patches and batch."""
    elements = network.elements(configuration.topology, len(plans.channel_names), len(plans.labels))
    need = network.reference(len(configuration.patch_size)).gigabytes_for(elements, configuration.batch_size)
    if need > memory_gb:
        logging.warning(
            "A batch of %d patches of %s voxels takes about %.0f GiB to train a %s network, more than --memory_gb=%g. "
            "Half the size along each axis takes %s: --patch_size",
            configuration.batch_size,
            times(configuration.patch_size),
            need,
            network.name,
            memory_gb,
            {2: "a quarter", 3: "an eighth"}[len(configuration.patch_size)],
        )


def _nearest(size: int, divisor: int) -> str:
    below = size // divisor * divisor
    return f"{below} or {below + divisor}" if below > 0 else str(divisor)
