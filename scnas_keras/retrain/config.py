"""The options of `scnas_keras.retrain`."""

import dataclasses
from typing import Any, ClassVar

from scnas_keras.architectures.registry import GENOTYPE, MATCH, MATCHABLE, TRAINABLE, widths_text
from scnas_keras.options import FASTEST, MANY, option
from scnas_keras.runs.config import HELD_OUT, JudgeConfig, RunConfig
from scnas_keras.spaces.published import PUBLISHED_NAMES
from scnas_keras.training.names import LOSS_NAMES, OPTIMIZERS, PRESET_NAMES, SCHEDULES

SCRATCH, WEIGHTS, SEARCH = INITS = ("scratch", "weights", "search")
"""Start values: new ones, those of another trained network, those that its search trained."""


def preset_option(default: str | None) -> Any:
    """The flag --preset, in a command that takes one or none unless told otherwise."""
    return option(
        default,
        "scnas: all of the paper's setting, with its data, from flags/presets/scnas.cfg; nnunet: trained as nnU-Net does (SGD, Dice + "
        "cross-entropy, polynomial decay, deep supervision); short: for training runs of up to a few hours, with flags/presets/short.cfg; "
        "light: as Auto-LW-MISN retrains (Adam, Dice + cross-entropy, cosine, path dropout), with flags/presets/light.cfg. "
        "None: the paper's loss, optimizer and schedule only. What is given besides wins.",
        "Training",
        choices=PRESET_NAMES,
    )


@dataclasses.dataclass(frozen=True)
class RecipeConfig(RunConfig):
    """How a network is trained, whichever it is and for how long."""

    section: ClassVar[str] = "retrain"

    preset: str | None = preset_option(None)
    loss: str | None = option(None, "Loss. Default: the preset's.", "Training", choices=LOSS_NAMES)
    class_weights: tuple[float, ...] | None = option(
        None, "A weight for each class in the loss, background first.", "Training", least=0, most=10**9
    )
    optimizer: str | None = option(None, "Optimizer; sgd has Nesterov momentum. Default: the preset's.", "Training", choices=OPTIMIZERS)
    momentum: float | None = option(None, "Nesterov momentum of sgd, from 0 to below 1. Default: 0.99.", "Training", least=0, most=1)
    learning_rate: float | None = option(
        None,
        "Learning rate at the start. Default: the preset's, or its optimizer's.",
        "Training",
        above=0,
        most=FASTEST,
    )
    schedule: str | None = option(
        None,
        "How the rate falls: at plateaus of the training loss (SCNAS); or over the run as (1 - t) ^ 0.9 (nnU-Net), which suits short runs, "
        "or as half a cosine (DARTS). Default: the preset's.",
        "Training",
        choices=SCHEDULES,
    )
    plateau: float = option(
        0.06,
        "Divide the rate by 5 when the training loss stands still for this share of the run; the run ends under a rate of 1e-7.",
        "Training",
        above=0,
        most=1,
    )
    weight_decay: float | None = option(None, "L2 penalty's share of the gradient. Default: the preset's.", "Training", least=0, most=1)
    clip_norm: float | None = option(None, "Largest norm of all gradients, 0 for no limit. Default: the preset's.", "Training", least=0)
    deep_supervision: str = option(
        "auto",
        "Whether coarser decoder levels are trained as well. auto: as the preset says, where the network can.",
        "Training",
        choices=("auto", "true", "false"),
    )
    ema: float = option(
        0.0, "Momentum of a moving average of the weights, which is what is kept in the end: 0.99; 0 for none.", "Training", least=0, most=1
    )
    on_collapse: str = option(
        "report",
        "What to do if the network finds no foreground at all after a fifth of the run: say so, or also start once more with "
        "other start values and a tenth of the rate.",
        "Training",
        choices=("report", "restart"),
    )
    mirror: bool = option(False, "In the end, average each scan's prediction over flips: up to eight times the work.", "Validation")
    surfaces: bool = option(
        True, "In the end, also measure distances between the surfaces of label and segmentation: NSD and HD95.", "Validation"
    )
    tolerance_mm: float = option(1.0, "Distance up to which surfaces count as equal in NSD.", "Validation", least=0, most=10**4)


@dataclasses.dataclass(frozen=True)
class TrainingConfig(RecipeConfig):
    """All settings of a training run but which network and which fold."""

    genotype: str | None = option(
        None,
        f"The architecture of --network=genotype: a genotype.json, the folder of a search, or {' or '.join(PUBLISHED_NAMES)}.",
        "Network",
        path=True,
        words=PUBLISHED_NAMES,
    )
    transfer_from: str | None = option(
        None,
        "Instead of --genotype: the architecture of a search or training on another task, or a published one; stem and head are built for "
        "this one.",
        "Network",
        path=True,
        words=PUBLISHED_NAMES,
    )
    init: str = option(
        SCRATCH,
        "Start values: new ones, or every weight of --transfer_from's trained network that fits (weights), or of what --genotype's search "
        "trained at its --stem_channels (search); the others are named.",
        "Network",
        choices=INITS,
    )
    width: str | None = option(
        None,
        f"Channels at full resolution, a number; or {' or '.join(MATCH + name for name in MATCHABLE)}, a genotype's as many as cost "
        f"the same multiply-adds. Default: {widths_text(TRAINABLE)}; the paper's network has 68. In crossval hand-made ones have "
        "--baseline_width.",
        "Network",
    )
    path_dropout: float | None = option(
        None,
        "While a searched network trains, leave out each edge's operation but identities with this probability, for each patch by itself. "
        "Default: the preset's, which is 0 for all but light.",
        "Training",
        least=0,
        most=1,
    )
    epochs: int | None = option(None, "Epochs. Default: the preset's.", "Run", most=MANY, least=1)


@dataclasses.dataclass(frozen=True)
class RetrainConfig(JudgeConfig, TrainingConfig):
    """All settings of a training."""

    network: str = option(GENOTYPE, "What is trained.", "Network", choices=TRAINABLE)
    fold: str = option("0", "Fold of the cross-validation, whose cases are never trained on; or all, to train on every case.", "Split")
    patience: int | None = option(
        None,
        "End the run when the held-out Dice, averaged over epochs, hasn't risen by 0.001 for so many epochs: instead of --budget_minutes, "
        "and only with --judge_on=held_out. For --schedule=plateau, and more epochs than --plateau waits; the rate of others wouldn't "
        "come to its end.",
        "Training",
        least=1,
        most=MANY,
    )

    @property
    def trained_parts(self) -> tuple[str, ...]:
        """Parts of the fold that the network learns from."""
        return ("train",) if self.judge_on == HELD_OUT else ("train", "held_out")
