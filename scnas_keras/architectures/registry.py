"""Networks by name, as the planner sees them."""

from collections.abc import Callable, Sequence

from absl import logging

from scnas_keras.architectures.handmade import UNet, UResNet
from scnas_keras.architectures.names import DEFAULT_WIDTHS, SUPERNET
from scnas_keras.architectures.searched import DerivedNetwork, SupernetNetwork
from scnas_keras.errors import ConfigError
from scnas_keras.planning.footprints import Footprint, NNUNet, ResidualEncoderUNet
from scnas_keras.planning.plans import Configuration, Plans
from scnas_keras.spaces.genotype import Genotype
from scnas_keras.spaces.space import SCNAS

_HANDMADE: dict[str, Callable[[int], Footprint]] = {
    "u_resnet": UResNet,
    "nnunet": NNUNet,
    "resenc_m": lambda width: ResidualEncoderUNet("m", width),
    "resenc_l": lambda width: ResidualEncoderUNet("l", width),
    "resenc_xl": lambda width: ResidualEncoderUNet("xl", width),
    "unet": UNet,
}


def footprint(name: str, width: int | None = None, genotype: Genotype | None = None) -> Footprint:
    """The footprint of one of `NETWORKS`.

    Args:
        name: which.
        width: channels at full resolution; by default, `DEFAULT_WIDTHS`.
        genotype: of a searched network; without one, the costliest is assumed.

    Raises:
        ConfigError: the channels can't be divided among the nodes of a cell, or aren't an even number above 0.
    """
    width = DEFAULT_WIDTHS[name] if width is None else width
    if name in _HANDMADE:
        if width < 2 or width % 2:
            raise ConfigError(f"A {name} network of width {width} can't be built; use an even number of channels.")
        return _HANDMADE[name](width)
    space = genotype.space if genotype else SCNAS
    space.node_channels(width, 0)
    return SupernetNetwork(space, width) if name == SUPERNET else DerivedNetwork(space, width, genotype)


def check_patch(patch_size: Sequence[int], network: Footprint) -> None:
    """Raises ConfigError unless a patch has as many sizes as the network has axes, and the network can halve them."""
    text = ",".join(map(str, patch_size))
    if len(patch_size) not in network.ranks:
        raise ConfigError(f"--patch_size={text}: a patch of a {network.name} network has {network.ranks[-1]} sizes, for example 64,64,64.")
    topology = network.topology((1.0,) * len(patch_size), [max(size, 1) for size in patch_size])
    wrong = [(size, divisor) for size, divisor in zip(patch_size, topology.divisors) if size < 1 or size % divisor]
    if wrong:
        advice = "; ".join(f"instead of {size} use {_nearest(size, divisor)}" for size, divisor in wrong)
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
            configuration.batch_size, "x".join(map(str, configuration.patch_size)), need, network.name, memory_gb,
        )  # fmt: skip


def _nearest(size: int, divisor: int) -> str:
    below = size // divisor * divisor
    return f"{below} or {below + divisor}" if below > 0 else str(divisor)
