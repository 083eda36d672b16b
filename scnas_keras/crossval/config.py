"""The options of `scnas_keras.crossval`."""

import dataclasses

from scnas_keras.architectures.registry import GENOTYPE, HANDMADE, widths_text
from scnas_keras.options import WIDEST, option
from scnas_keras.retrain.config import TrainingConfig

TRANSFER = "transfer"
NAMES = (GENOTYPE, TRANSFER, *HANDMADE)


@dataclasses.dataclass(frozen=True)
class CrossvalConfig(TrainingConfig):
    """All settings of a cross-validation: those of its trainings, and which networks and folds."""

    networks: str = option(GENOTYPE, f"Networks, commas between: {', '.join(NAMES)}.", "Network")
    baseline_width: int | None = option(
        None,
        f"Channels at full resolution of hand-made networks; --width is for the others. Default: {widths_text(HANDMADE)}.",
        "Network",
        most=WIDEST,
        least=1,
    )
    folds: tuple[int, ...] | None = option(None, "Folds to run here, for example 0,2. Default: all.", "Split", least=0)
