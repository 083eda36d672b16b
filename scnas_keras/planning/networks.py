"""Networks by name, as the planner sees them."""

from collections.abc import Sequence

from absl import logging

from scnas_keras.errors import ConfigError
from scnas_keras.planning.footprints import Footprint, ResidualEncoderUNet, UNet
from scnas_keras.planning.plans import Configuration, Plans
from scnas_keras.planning.searched import DerivedNetwork, SupernetNetwork
from scnas_keras.spaces.genotype import Genotype
from scnas_keras.spaces.space import SCNAS

NETWORKS = ("unet", "resenc_m", "resenc_l", "resenc_xl", "supernet", "derived")


def footprint(name: str, stem_channels: int, genotype: Genotype | None = None) -> Footprint:
    """The footprint of one of `NETWORKS`.

    Args:
        name: which.
        stem_channels: of a supernet or derived network; those of nnU-Net have their own width.
        genotype: of a derived network; without one, the costliest is assumed.

    Raises:
        ConfigError: the stem's channels can't be divided among the nodes of a cell.
    """
    if name == "unet":
        return UNet()
    if name.startswith("resenc_"):
        return ResidualEncoderUNet(name.removeprefix("resenc_"))
    space = genotype.space if genotype else SCNAS
    space.node_channels(stem_channels, 0)
    return SupernetNetwork(space, stem_channels) if name == "supernet" else DerivedNetwork(space, stem_channels, genotype)


def check_patch(patch_size: Sequence[int], network: Footprint) -> None:
    """Raises ConfigError unless a patch has as many sizes as the network has axes, and the network can halve them."""
    text = ",".join(map(str, patch_size))
    if len(patch_size) not in network.ranks:
        raise ConfigError(f"--patch_size={text}: a patch of a {network.name} network has {network.ranks[-1]} sizes, for example 64,64,64.")
    topology = network.topology((1.0,) * len(patch_size), [max(size, 1) for size in patch_size])
    wrong = [(size, divisor) for size, divisor in zip(patch_size, topology.divisors) if size < 1 or size % divisor]
    if wrong:
        advice = "; ".join(f"instead of {size} use {_nearest(size, divisor)}" for size, divisor in wrong)
        raise ConfigError(f"--patch_size={text}: the network halves a patch {len(topology.strides) - 1} times, so every size must be a positive "
                          f"multiple of {max(topology.divisors)}: {advice}.")


def warn_of_memory(configuration: Configuration, network: Footprint, plans: Plans, memory_gb: float) -> None:
    """Says so if a network takes more than `memory_gb` GiB to train on a configuration's patches and batch."""
    elements = network.elements(configuration.topology, len(plans.channel_names), len(plans.labels))
    need = network.reference(len(configuration.patch_size)).gigabytes_for(elements, configuration.batch_size)
    if need > memory_gb:
        logging.warning(
            "A batch of %d patches of %s voxels takes about %.0f GiB to train a %s network, more than --memory_gb=%g. "
            "Half the size along each axis takes an eighth: --patch_size",
            configuration.batch_size, "x".join(map(str, configuration.patch_size)), need, network.name, memory_gb,
        )  # fmt: skip


def _nearest(size: int, divisor: int) -> str:
    below = size // divisor * divisor
    return f"{below} or {below + divisor}" if below > 0 else str(divisor)
