"""Networks by name. The hand-made ones are those that the files of this folder declare: a new file is found, not listed anywhere."""

import dataclasses
import importlib
import pkgutil
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from scnas_keras import architectures
from scnas_keras.errors import ConfigError
from scnas_keras.planning.footprints import Footprint, Reference
from scnas_keras.planning.topology import Topology
from scnas_keras.spaces.known import DEFAULT, find_space

if TYPE_CHECKING:
    import keras

    from scnas_keras.spaces.genotype import Genotype
    from scnas_keras.spaces.space import SearchSpace

GENOTYPE, SUPERNET = "genotype", "supernet"
_NOT_HANDMADE = ("registry", "searched")


class Network(Footprint, Protocol):
    """A network that can be trained; a dataclass.

    Attributes:
        several_outputs: whether it can give logits at coarser levels as well (deep supervision).
    """

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]

    @property
    def several_outputs(self) -> bool: ...

    def build(
        self, topology: Topology, features: Sequence[int], channels: int, num_classes: int, deep_supervision: bool = False
    ) -> "keras.Model":
        """The Keras model, with new weights: images [batch, *space, channels] to logits [batch, *space, num_classes].

        Args:
            topology: stages; a network with stages of its own takes only the number of axes.
            features: channels of each stage, of a network whose stages are the plan's.
            channels: image channels.
            num_classes: classes, background included.
            deep_supervision: whether there are outputs at coarser levels as well (a list, finest first); without effect on a
                network that has none.
        """
        ...


def _declared() -> dict[str, Network]:
    """Hand-made networks at their default widths, by name; files in alphabetical order, so that none needs to know its place."""
    found = {}
    for file in sorted(module.name for module in pkgutil.iter_modules(architectures.__path__)):
        for network in () if file in _NOT_HANDMADE else importlib.import_module(f"{architectures.__name__}.{file}").DECLARED:
            if network.name in (*found, GENOTYPE, SUPERNET):
                raise ValueError(f"architectures/{file}.py declares a network {network.name}, and there is one of that name; rename it.")
            found[network.name] = network
    return found


_DECLARED = _declared()
HANDMADE = tuple(_DECLARED)
TRAINABLE = (GENOTYPE, *HANDMADE)
"""What can be trained: the network of a genotype, and the hand-made ones."""
NETWORKS = (*TRAINABLE, SUPERNET)
DEFAULT_WIDTHS = {GENOTYPE: 64, SUPERNET: 48} | {name: network.width for name, network in _DECLARED.items()}
"""Channels at full resolution (of `unet`, of its first convolution; of `auto_deeplab`, of a cell's node at a quarter of it)."""
AUTO = "auto"
"""In the place of a width: the default, also where a flagfile has another."""
MATCH, MATCHABLE = "match:", tuple(name for name, network in _DECLARED.items() if not network.stages_of_plan)
"""In the place of a width: that at which a genotype costs as much as one of these, whose stages don't depend on a plan."""


def footprint(name: str, width: int | None = None, genotype: "Genotype | None" = None, space: "SearchSpace | None" = None) -> Footprint:
    """One of `NETWORKS`; of those in `TRAINABLE` a `Network`.

    Args:
        name: which.
        width: channels at full resolution; by default, `DEFAULT_WIDTHS`, of a searched network as many more as its space needs.
        genotype: of a searched network; without one, the costliest is assumed.
        space: of a searched network without a genotype; by default, SCNAS' for three axes.

    Raises:
        ConfigError: the channels can't be divided among the nodes of a cell, or aren't an even number above 0.
    """
    if name in _DECLARED:
        width = DEFAULT_WIDTHS[name] if width is None else width
        if width < 2 or width % 2:
            raise ConfigError(f"A {name} network of width {width} can't be built; use an even number of channels.")
        return dataclasses.replace(_DECLARED[name], width=width)
    from scnas_keras.architectures.searched import DerivedNetwork, SupernetNetwork

    space = genotype.space if genotype else space or find_space(DEFAULT, 3)
    width = space.width_from(DEFAULT_WIDTHS[name]) if width is None else width
    space.check_width(width)
    return SupernetNetwork(space, width) if name == SUPERNET else DerivedNetwork(space, width, genotype)


@dataclasses.dataclass(frozen=True)
class InEveryRank:
    """A searched network without a genotype, for patches of any rank that its space has.

    Attributes:
        networks: one a rank, equal but for that; fewest axes first.
    """

    networks: tuple[Footprint, ...]

    @property
    def ranks(self) -> tuple[int, ...]:
        return tuple(rank for network in self.networks for rank in network.ranks)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.networks[-1], name)  # name, width and limits

    def of(self, rank: int) -> Footprint:
        return self.networks[self.ranks.index(rank)]

    def topology(self, spacing: Sequence[float], patch_size: Sequence[float]) -> Topology:
        return self.of(len(spacing)).topology(spacing, patch_size)

    def features(self, topology: Topology) -> tuple[int, ...]:
        return self.of(len(topology.patch_size)).features(topology)

    def elements(self, topology: Topology, channels: int, heads: int) -> int:
        return self.of(len(topology.patch_size)).elements(topology, channels, heads)

    def reference(self, rank: int) -> Reference:
        return self.of(rank).reference(rank)

    def measured(self, rank: int) -> Reference:
        return self.of(rank).measured(rank)


def widths_text(names: Sequence[str]) -> str:
    """Default widths, for --help: "64 for genotype, fcn8s; 32 for the others", or "32" alone."""
    widths = [DEFAULT_WIDTHS[name] for name in names]
    usual = max(widths, key=widths.count)
    of_width = {width: [name for name in names if DEFAULT_WIDTHS[name] == width] for width in widths if width != usual}
    others = [f"{width} for {', '.join(some)}" for width, some in of_width.items()]
    return "; ".join([*others, f"{usual} for the others" if others else str(usual)])
