"""What a search refuses before anything is read or written, and what flags say of its space. Loads no framework."""

import math

from scnas_keras.architectures.searched import SupernetNetwork
from scnas_keras.errors import ConfigError
from scnas_keras.machine.names import NONE
from scnas_keras.planning.names import rank_named
from scnas_keras.runs.checks import check_betas, check_data, check_positive
from scnas_keras.search.config import LOW_MEMORY, SearchConfig
from scnas_keras.spaces.known import find_space
from scnas_keras.spaces.space import SearchSpace
from scnas_keras.supernet.names import UNIFORM, operations_drawn
from scnas_keras.training.names import SGD

OLDEST_CHECKPOINT = 2
"""Version of a supernet's checkpoint that this program at least reads."""
TARGETS = ("target_gmacs", "target_mparams", "target_ms")
PENALTIES = {"target_mparams": "penalty_parameters", "target_gmacs": "penalty_multiply_adds"}
"""By the target of the same cost."""


def check(config: SearchConfig) -> None:
    """Refuses settings that can't work, before anything is read or written."""
    if isinstance(config.seed, tuple):
        raise ConfigError(f"--seed={','.join(map(str, config.seed))}: a single search has one seed.")
    check_positive(
        config,
        "epochs",
        "steps_per_epoch",
        "validation_steps",
        "budget_minutes",
        "batch_size",
        "accumulate",
        "temperature_start",
        "temperature_end",
        "weights_lr",
        "alpha_lr",
        "plateau",
        "checkpoint_minutes",
    )
    check_betas(config, "weights_betas", "alpha_betas")
    check_momentum(config)
    if not 0 <= config.skip_below <= 0.5:
        raise ConfigError(f"--skip_below={config.skip_below} must be from 0 to 0.5: of two drawn operations, one weighs at least a half.")
    check_data(config)
    check_guards(config)
    for name in ("stem_channels", "width"):
        try:
            space_of(config).check_width(getattr(config, name))
        except ConfigError as error:
            raise ConfigError(f"--{name}={getattr(config, name)} in --space={config.space}: {error}") from None


def check_momentum(config: SearchConfig) -> None:
    """Refuses a momentum out of range, or where there is none."""
    momentum = config.weights_momentum
    if momentum is not None and not 0 <= momentum < 1:
        raise ConfigError(f"--weights_momentum={momentum} must be from 0 (none) to below 1, for example 0.9.")
    if momentum is not None and config.weights_optimizer != SGD:
        raise ConfigError(
            f"--weights_momentum={momentum} is for --weights_optimizer={SGD}, and the optimizer is {config.weights_optimizer}. Leave one "
            "of them out."
        )


def space_of(config: SearchConfig) -> SearchSpace:
    """The space that flags name, for as many axes as the configuration's patches have.

    Raises:
        ConfigError: there is no such space, or not for so many axes.
    """
    return find_space(config.space, rank_named(config.configuration) or 3)


def footprint(config: SearchConfig, space: SearchSpace | None = None) -> SupernetNetwork:
    """The supernet of the space that flags name, or of another one, as the planner sees it."""
    drawn, low_memory = operations_drawn(config.relaxation), config.memory_mode == LOW_MEMORY
    return SupernetNetwork(space or space_of(config), config.stem_channels, drawn, low_memory=low_memory)


def check_guards(config: SearchConfig) -> None:
    """Refuses settings that can't work.

    Raises:
        ConfigError: a value out of range, or alpha asked to learn something while it doesn't learn.
    """
    for name in ("warm_up", "parameter_free_dropout", "path_dropout"):
        if not 0 <= getattr(config, name) < 1:
            raise ConfigError(f"--{name}={getattr(config, name)} must be from 0 to below 1.")
    for name, least in (("max_identity_edges", 0), ("stop_after_stable", 1), ("hessian_every", 1)):
        value = getattr(config, name)
        if value is not None and value < least:
            raise ConfigError(f"--{name}={value} must be at least {least}.")
    for name in TARGETS:
        value = getattr(config, name)
        if value is not None and not value > 0:
            raise ConfigError(f"--{name}={value} must be above 0.")
    if config.hessian_every is not None and config.mixed_precision != NONE:
        raise ConfigError(
            f"--hessian_every takes differences of gradients, for which --mixed_precision={config.mixed_precision} is too coarse; leave "
            "one of them out."
        )
    if config.budget_minutes is None and config.warm_up * config.epochs > config.epochs - 1:
        raise ConfigError(
            f"--warm_up={config.warm_up} of --epochs={config.epochs} leaves no whole epoch in which the architecture learns; lower it."
        )
    idle = [name for name in (*TARGETS, "stop_after_stable") if getattr(config, name)]
    if config.relaxation == UNIFORM and idle:
        raise ConfigError(f"--relaxation={UNIFORM} learns no alpha, so that --{idle[0]} has no effect; leave one of them out.")
    for target, penalty in PENALTIES.items():
        weight = getattr(config, penalty)
        if not 0 <= weight < math.inf:
            raise ConfigError(f"--{penalty}={weight} must be a number from 0 up.")
        if getattr(config, target) is not None and weight:
            raise ConfigError(
                f"--{target}={getattr(config, target)} and --{penalty}={weight} price the same cost: give one of them, and --{penalty}=0 "
                "where a task sets it."
            )
