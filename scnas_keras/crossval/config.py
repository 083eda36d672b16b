"""The options of `scnas_keras.crossval`."""

import dataclasses
from collections.abc import Collection

from scnas_keras.architectures.registry import AUTO, DEFAULT_WIDTHS, GENOTYPE, HANDMADE, MATCH, MATCHABLE, widths_text
from scnas_keras.errors import ConfigError
from scnas_keras.options import WIDEST, option
from scnas_keras.retrain.config import TrainingConfig
from scnas_keras.spaces.published import PUBLISHED_NAMES

TRANSFER = "transfer"
NAMES = (GENOTYPE, TRANSFER, *HANDMADE)

TEXT, JSON, TABLE, FIGURE = FILES = ("crossval.txt", "crossval.json", "cases.csv", "crossval.png")
"""What a cross-validation leaves in its folder, beside a folder for each row."""


@dataclasses.dataclass(frozen=True)
class CrossvalConfig(TrainingConfig):
    """All settings of a cross-validation: those of its training runs, and which networks and folds."""

    genotype: str | None = option(  # no path, since it may be a list; only the training runs' flagfiles hold it
        None,
        f"Architecture of the row genotype: the folder of a search, a genotype.json, or {' or '.join(PUBLISHED_NAMES)}. Several, with "
        "commas between, are a row each, called as their folders, or as NAME=PATH says. {fold} in a path stands for the fold's number.",
        "Network",
    )
    width: str | None = option(
        None,
        f"Channels at full resolution of searched networks, a number or {' or '.join(MATCH + name for name in MATCHABLE)}: one for all, or "
        f"with commas one for each, in the order of the rows. Default: {DEFAULT_WIDTHS[GENOTYPE]}, or the next that their space can have.",
        "Network",
    )
    networks: str = option(GENOTYPE, f"Networks, commas between: {', '.join(NAMES)}.", "Network")
    baseline_width: tuple[int, ...] | None = option(
        None,
        "Channels at full resolution of hand-made networks, one for all or with commas one for each; --width is for the others. Default: "
        f"{widths_text(HANDMADE)}.",
        "Network",
        most=WIDEST,
        least=1,
    )
    folds: tuple[int, ...] | None = option(None, "Folds to run here, for example 0,2. Default: all.", "Split", least=0)

    @property
    def network_names(self) -> list[str]:
        """Those of `networks`."""
        return [name.strip() for name in self.networks.split(",")]

    def check_given(self, names: Collection[str]) -> None:
        """Also raises ConfigError for --width where no network takes it; tasks and presets set it whatever is trained."""
        super().check_given(names)
        if "width" in names and self.width not in (None, AUTO) and not {GENOTYPE, TRANSFER} & {*self.network_names}:
            raise ConfigError(
                f"--width is for {GENOTYPE} or {TRANSFER}, of which --networks={self.networks} names none. Leave out one of the two; "
                "hand-made networks have --baseline_width."
            )
