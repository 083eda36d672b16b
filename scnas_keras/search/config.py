"""The options of `scnas_keras.search`."""

import dataclasses
from collections.abc import Collection
from typing import ClassVar

from scnas_keras.errors import ConfigError
from scnas_keras.flag_values import flag_text
from scnas_keras.options import FASTEST, LAST_SEED, MANY, WIDEST, option
from scnas_keras.planning.names import rank_named
from scnas_keras.runs.config import JudgeConfig, RunConfig
from scnas_keras.spaces.known import DEFAULT, find_space, space_names
from scnas_keras.supernet.names import GUMBEL_PAIR, GUMBEL_SINGLE, RELAXATIONS, UNIFORM
from scnas_keras.training.names import ADAM, COSINE, JACCARD, LIGHT_PAPER, LOSS_NAMES, OPTIMIZERS, PLATEAU, SCNAS, SHORT

AUTO, FAST, LOW_MEMORY = MEMORY_MODES = ("auto", "fast", "low_memory")
OF_ALPHA = ("alpha_lr", "alpha_betas", "alpha_decay", "penalty_parameters", "penalty_multiply_adds")
"""What says how alpha learns; of no effect where it doesn't."""
FOR = {
    "plateau": ("weights_schedule", (PLATEAU,)),
    "weights_betas": ("weights_optimizer", (ADAM,)),
    "skip_below": ("relaxation", (GUMBEL_PAIR,)),
    "temperature_start": ("relaxation", (GUMBEL_PAIR, GUMBEL_SINGLE)),
    "temperature_end": ("relaxation", (GUMBEL_PAIR, GUMBEL_SINGLE)),
}
"""Flags of no effect unless another one has one of these values."""
COLDEST = 1e-6
"""The lowest temperature; alpha divided by much lower ones is no finite number of 32 bits."""


@dataclasses.dataclass(frozen=True)
class SearchConfig(JudgeConfig, RunConfig):
    """All settings of a search. docs/search.md says which are the paper's and why others are not."""

    section: ClassVar[str] = "search"

    fold: int = option(0, "Fold of the cross-validation: its cases are never trained on.", "Split", least=0)
    preset: str | None = option(
        None,
        "scnas: all of the paper's setting; short: for searches of minutes to hours; light_paper: as Auto-LW-MISN searches. From "
        "flags/presets; what is given besides wins.",
        "Run",
        choices=(SCNAS, SHORT, LIGHT_PAPER),
    )
    seed: int | tuple[int, ...] = option(
        0,
        "Of patches, start values and draws. Several, like 0,1,2, are searches one after the other in RUN/seed_K.",
        "Run",
        least=0,
        most=LAST_SEED,
    )
    epochs: int = option(200, "Epochs of the search.", "Run", most=MANY, least=1)
    space: str = option(DEFAULT, "The search space: which networks can be found.", "Network", choices=space_names())
    stem_channels: int = option(
        48, "Channels at full resolution while searching; fastest in multiples of 16 x 4.", "Network", most=WIDEST, least=1
    )
    memory_mode: str = option(
        AUTO,
        "fast keeps the drawn convolutions' outputs for the backward pass, low_memory computes them again; auto takes fast if it fits.",
        "Network",
        choices=MEMORY_MODES,
    )
    skip_below: float = option(
        0.01,
        "Don't run a drawn operation whose weight is below this: late in a search, up to half of them. 0 runs all.",
        "Network",
        least=0,
        most=0.5,
    )
    width: int = option(64, "Channels at full resolution of the derived network; the paper's is 68.", "Network", most=WIDEST, least=1)
    relaxation: str = option(
        GUMBEL_PAIR,
        "How alpha weighs operations: two (SCNAS) or one (GDAS) drawn by Gumbel-softmax, all by softmax (DARTS), or two "
        "drawn uniformly, whose result is a random network (the baseline).",
        "Architecture",
        choices=RELAXATIONS,
    )
    temperature_start: float = option(
        5.0, "Temperature of the Gumbel-softmax at the start; softmax has none.", "Architecture", least=COLDEST, most=10**6
    )
    temperature_end: float = option(
        0.2, "Temperature at the end; falls exponentially in between.", "Architecture", least=COLDEST, most=10**6
    )
    alpha_lr: float = option(0.003, "Learning rate (Adam) of the architecture parameters alpha.", "Architecture", above=0, most=FASTEST)
    alpha_betas: tuple[float, ...] = option((0.5, 0.999), "Adam's betas for alpha.", "Architecture", least=0, most=1)
    alpha_decay: float = option(
        0.0, "L2 penalty's share of alpha's gradient; the paper's has none, DARTS' is 0.001.", "Architecture", least=0, most=1
    )
    weights_optimizer: str = option(ADAM, "Optimizer of the network's weights.", "Weights", choices=OPTIMIZERS)
    weights_lr: float = option(0.003, "Learning rate of the network's weights at the start.", "Weights", above=0, most=FASTEST)
    weights_betas: tuple[float, ...] = option((0.9, 0.999), "Adam's betas for the weights.", "Weights", least=0, most=1)
    loss: str = option(JACCARD, "What weights and alpha minimise.", "Weights", choices=LOSS_NAMES)
    weights_momentum: float | None = option(
        None, "Momentum of sgd for the weights, from 0 to below 1. Default: 0.9, DARTS'.", "Weights", least=0, most=1
    )
    weights_decay: float = option(
        0.0, "L2 penalty's share of the weights' gradient, drawn or not in a step; DARTS' is 0.0003.", "Weights", least=0, most=1
    )
    weights_schedule: str = option(
        PLATEAU,
        "How the weights' rate falls: at plateaus of the training loss (SCNAS), or as half a cosine over the search (DARTS).",
        "Weights",
        choices=(PLATEAU, COSINE),
    )
    plateau: float = option(
        0.1, "Divide the weights' rate by 10 when the training loss stands still for this share of the search.", "Weights", above=0, most=1
    )
    warm_up: float = option(0.0, "Share of the run that trains the weights only, before alpha joins.", "Guard rails", least=0, most=1)
    parameter_free_dropout: float = option(
        0.0,
        "Drop a drawn pool or identity with this probability while training; falls linearly to 0 at the end.",
        "Guard rails",
        least=0,
        most=1,
    )
    path_dropout: float = option(
        0.0,
        "Drop a drawn operation but an identity with this probability while training, on each edge of each cell.",
        "Guard rails",
        least=0,
        most=1,
    )
    max_identity_edges: int | None = option(
        None, "The most identity edges of a cell kind; of more, the least certain take their next best operation.", "Guard rails", least=0
    )
    target_gmacs: float | None = option(
        None,
        "The most multiply-adds (in 1e9, for a patch) of the derived network; what is above is penalised, ever more.",
        "Guard rails",
        above=0,
    )
    target_mparams: float | None = option(None, "The most parameters (in 1e6) of the derived network, likewise.", "Guard rails", above=0)
    penalty_parameters: float = option(
        0.0,
        "Instead of a target: the weight of the operations' expected parameters in alpha's loss, in thousands at 32 channels (lambda 1 of "
        "Auto-LW-MISN); 0 is off.",
        "Guard rails",
        least=0,
        most=10**6,
    )
    penalty_multiply_adds: float = option(
        0.0,
        "Instead of a target: the weight of their expected multiply-adds, in millions at 32 channels on 32 x 32 voxels (lambda 2).",
        "Guard rails",
        least=0,
        most=10**6,
    )
    target_ms: float | None = option(
        None,
        "The most milliseconds of a training step of the derived network, likewise: at --width, with this search's patch and batch, on the "
        "machine that begins it, whose layers are timed for it once.",
        "Guard rails",
        above=0,
    )
    stop_after_stable: int | None = option(None, "Stop when the genotype has not changed for so many epochs.", "Guard rails", least=1)
    hessian_every: int | None = option(
        None,
        "Every so many epochs, the dominant eigenvalue of the validation loss' Hessian over alpha (20 gradients with all "
        "operations: slow, and as much memory as softmax).",
        "Diagnostics",
        least=1,
    )

    def settled(self, names: Collection[str]) -> "SearchConfig":
        """With channels that aren't given raised to what the space can be built with."""
        space = find_space(self.space, rank_named(self.configuration) or 3)
        raised = {name: space.width_from(getattr(self, name)) for name in ("stem_channels", "width") if name not in names}
        return dataclasses.replace(self, **raised)

    def check_given(self, names: Collection[str]) -> None:
        """Also raises ConfigError for what has no effect beside another flag; tasks and presets set it whatever is searched."""
        super().check_given(names)
        if self.preset == LIGHT_PAPER and self.space == DEFAULT and "space" not in names:  # tasks of that paper name theirs
            raise ConfigError(
                f"--preset={LIGHT_PAPER} is a way to search, and doesn't say which networks: add --space=light for those of its paper, or "
                f"--space={DEFAULT}."
            )
        for name, (of, needed) in FOR.items():
            if name in names and getattr(self, name) and getattr(self, of) not in needed:
                raise ConfigError(
                    f"--{name}={flag_text(getattr(self, name))} is for --{of}={' or '.join(needed)}, and found --{of}={getattr(self, of)}. "
                    f"Add the former, or leave --{name} out."
                )
        idle = [name for name in OF_ALPHA if name in names and getattr(self, name)]
        if self.relaxation == UNIFORM and idle:
            raise ConfigError(f"--relaxation={UNIFORM} learns no alpha, so that --{idle[0]} has no effect; leave one of them out.")
