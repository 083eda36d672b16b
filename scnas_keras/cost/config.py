"""The options of `scnas_keras.cost`."""

import dataclasses

from scnas_keras.architectures.registry import HANDMADE, widths_text
from scnas_keras.errors import ConfigError
from scnas_keras.options import MANY, WIDEST, option
from scnas_keras.spaces.known import space_names
from scnas_keras.spaces.published import PUBLISHED_NAMES

PAPERS_WIDTH = 68


@dataclasses.dataclass(frozen=True)
class CostConfig:
    """Of what the costs are counted, and for which patch."""

    network: str | None = option(
        None,
        f"A genotype.json or a search's folder, a .keras file, or one of {', '.join((*HANDMADE, *PUBLISHED_NAMES))}.",
        "Network",
        path=True,
        words=(*HANDMADE, *PUBLISHED_NAMES),
    )
    space: str | None = option(None, "Instead of --network: a search space.", "Network", choices=space_names())
    patch_size: tuple[int, ...] = option((128, 128, 128), "Voxels of the patch along each axis.", "Network", least=1, most=10**4)
    rank: int | None = option(
        None, "Spatial axes, 2 or 3, to be sure of them. Default: as many as --patch_size has.", "Network", least=2, most=3
    )
    spacing: tuple[float, ...] | None = option(
        None, "mm along each axis, from which nnU-Net's stages follow. Default: 1 each.", "Network", least=1e-6, most=10**4
    )
    channels: int = option(4, "Image channels, but of a .keras file.", "Network", least=1, most=WIDEST)
    classes: int = option(4, "Classes, background included, but of a .keras file.", "Network", least=2, most=256)
    width: int | None = option(
        None,
        f"Channels at full resolution. Default: of a genotype or a space the paper's {PAPERS_WIDTH}, or what its operations need next to "
        f"it. Of a hand-made network: {widths_text(HANDMADE)}.",
        "Network",
        least=1,
        most=WIDEST,
    )
    operation_channels: int | None = option(
        None, "With --space: costs of each of its operations, with so many channels on that patch.", "Network", least=1, most=WIDEST
    )
    milliseconds: bool = option(False, "Of a genotype or a space: milliseconds of a training step on this machine too.", "Time")
    batch_size: int = option(2, "Patches of a step.", "Time", least=1, most=MANY)
    cache_dir: str | None = option(
        None, "Where measured times are kept. Default: $SCNAS_CACHE_DIR or ~/.cache/scnas_keras.", "Time", path=True
    )
    json: str | None = option(None, "File for the figures.", "Network", path=True)

    def check(self) -> None:
        """Raises ConfigError for what no network has, or where nothing is named."""
        sizes, steps = self.patch_size, self.spacing
        if len(sizes) not in (2, 3):
            raise ConfigError(f"--patch_size={','.join(map(str, sizes))}: expected two or three sizes.")
        if self.rank not in (None, len(sizes)):
            raise ConfigError(f"--rank={self.rank}: --patch_size={','.join(map(str, sizes))} has {len(sizes)} sizes. Give it one an axis.")
        if steps is not None and len(steps) != len(sizes):
            raise ConfigError(f"--spacing={','.join(map(str, steps))}: expected {len(sizes)} numbers, as --patch_size has.")
        if not self.space and not self.network:
            raise ConfigError("Name the network with --network, or a search space with --space; see --help.")
        if self.space and self.network:
            raise ConfigError(f"--space={self.space} and --network={self.network}: give one of them.")
        if self.operation_channels and (not self.space or self.milliseconds):
            raise ConfigError(f"--operation_channels={self.operation_channels}: costs of operations are those of a --space, without times.")
        defaults = {field.name: field.default for field in dataclasses.fields(self)}
        idle = [name for name in ("width", "channels", "classes", "spacing") if getattr(self, name) != defaults[name]]
        if self.operation_channels and idle:
            raise ConfigError(
                f"--operation_channels={self.operation_channels} is the width of single operations, and --{idle[0]} of a network has no "
                "effect on their costs. Leave it out."
            )
