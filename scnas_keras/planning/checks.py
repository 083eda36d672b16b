"""Whether a network can be trained on patches of a size: by its stages, and by memory."""

from collections.abc import Sequence

from absl import logging

from scnas_keras.errors import ConfigError, times
from scnas_keras.planning.footprints import Footprint
from scnas_keras.planning.plans import Configuration, Plans


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
            f"instead of {size} use {_nearest(size, divisor if size > 0 else max(topology.divisors))}" for size, divisor in wrong
        )
        raise ConfigError(
            f"--patch_size={text}: the network halves a patch {len(topology.strides) - 1} times, so every size must be a positive "
            f"multiple of {max(topology.divisors)}: {advice}."
        )


def warn_of_memory(configuration: Configuration, network: Footprint, plans: Plans, memory_gb: float) -> None:
    """Says so if a network takes more than `memory_gb` GiB to train on a configuration's patches and batch."""
    elements = network.elements(configuration.topology, len(plans.channel_names), len(plans.labels))
    need = network.reference(len(configuration.patch_size)).gigabytes_for(elements, configuration.batch_size)
    if need > memory_gb:
        logging.warning(
            "A batch of %d patches of %s voxels takes about %.0f GiB to train a %s network, more than --memory_gb=%g. "
            "Half the size along each axis takes an eighth: --patch_size",
            configuration.batch_size,
            times(configuration.patch_size),
            need,
            network.name,
            memory_gb,
        )


def _nearest(size: int, divisor: int) -> str:
    below = size // divisor * divisor
    return f"{below} or {below + divisor}" if below > 0 else str(divisor)
