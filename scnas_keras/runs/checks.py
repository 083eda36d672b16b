"""Checks of settings that every run shares."""

import os
from typing import Any

from scnas_keras.architectures.registry import GENOTYPE, Network
from scnas_keras.errors import ConfigError, missing
from scnas_keras.options import WIDEST
from scnas_keras.runs.config import RunConfig
from scnas_keras.tasks.holdout import parse_protocol
from scnas_keras.tasks.names import BY_PATIENT, DATA_DIR_VARIABLE


def refuse_if_several_missing(config: RunConfig, *others: str | None) -> None:
    """Names all needed flags at once where two or more are missing; where it is one, the check of that flag says more about it.

    Args:
        config: of the run.
        others: what the command needs besides task, data and folder and hasn't got; None for what it has.

    Raises:
        ConfigError: two or more are missing.
    """
    data = config.task == "phantom" or config.data_dir or os.environ.get(DATA_DIR_VARIABLE)
    common = [None if config.task else "--task=NAME", None if data else "--data_dir=DIR", None if config.workdir else "--workdir=DIR"]
    absent = [flag for flag in (*common, *others) if flag]
    if len(absent) > 1:
        raise missing(absent)


def check_positive(config: Any, *names: str) -> None:
    """Raises ConfigError for the first of the named settings that is neither None nor above 0."""
    for name in names:
        value = getattr(config, name)
        if value is not None and not value > 0:
            raise ConfigError(f"--{name}={value} must be above 0.")


def check_data(config: Any) -> None:
    """Raises ConfigError for seeds, shares and counts that are out of range, and for a protocol that is none."""
    check_positive(config, "processes")
    for name in ("seed", "split_seed"):
        if not 0 <= getattr(config, name) < 2**31:
            raise ConfigError(f"--{name}={getattr(config, name)} must be from 0 to 2147483647.")
    if config.foreground_share is not None and not 0 <= config.foreground_share <= 1:
        raise ConfigError(f"--foreground_share={config.foreground_share} must be from 0 to 1.")
    if not 0 < config.architecture_share <= 0.5:
        raise ConfigError(f"--architecture_share={config.architecture_share} must be above 0, and at most 0.5.")
    parse_protocol(config.protocol, BY_PATIENT if config.splits else config.split)


def channels_of(width: str, hint: str = "") -> int:
    """The number that --width names; ConfigError, which ends in the hint, for anything else and for too many."""
    if not width.isdecimal():
        raise ConfigError(f"--width={width} must be a whole number of channels.{hint}")
    if len(width) > len(str(WIDEST)) or not 1 <= int(width) <= WIDEST:
        raise ConfigError(f"--width={width}: expected a number from 1 to {WIDEST}.")
    return int(width)


def check_outputs(network: Network, deep_supervision: str) -> None:
    """Raises ConfigError where --deep_supervision=true asks a network for outputs that it can't have."""
    if deep_supervision == "true" and not network.several_outputs:
        raise ConfigError(f"--deep_supervision=true: a {network.name} network has no outputs at coarser levels. Leave out one of the two.")


def check_paths(network: str, path_dropout: float | None) -> None:
    """Raises ConfigError where --path_dropout asks to leave out edges of a hand-made network, which has none."""
    if path_dropout and network != GENOTYPE:
        raise ConfigError(
            f"--path_dropout={path_dropout} leaves out edges of a searched network's cells, and a {network} network has none. Leave out "
            "one of the two."
        )


def check_betas(config: Any, *names: str) -> None:
    """Raises ConfigError unless each of the named settings is a pair of Adam's betas."""
    for name in names:
        betas = getattr(config, name)
        if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
            found = ",".join(map(str, betas))
            raise ConfigError(f"--{name}={found}: expected two numbers from 0 to below 1, decimals with a point, like 0.9,0.999.")
