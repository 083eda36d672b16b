"""The options of `scnas_keras.crossval`."""

import dataclasses

from scnas_keras.options import option
from scnas_keras.retrain.config import TrainingConfig


@dataclasses.dataclass(frozen=True)
class CrossvalConfig(TrainingConfig):
    """All settings of a cross-validation: those of its trainings, and which networks and folds."""

    networks: str = option(
        "genotype", "Networks, commas between: genotype, transfer, u_resnet, nnunet, resenc_m, resenc_l, resenc_xl, unet.", "Network"
    )
    baseline_width: int = option(32, "Channels at full resolution of the hand-made networks; --width is for the others.", "Network")
    folds: tuple[int, ...] | None = option(None, "Folds to run here, for example 0,2. Default: all.", "Split")
