"""Guard rails of a search: each is off unless its flag is given, and docs/search.md says what it is against."""

import math
from collections.abc import Mapping, Sequence

from scnas_keras.errors import ConfigError
from scnas_keras.search.config import SearchConfig
from scnas_keras.spaces.cost import CostTables
from scnas_keras.spaces.decision import UNDECIDED_ENTROPY
from scnas_keras.spaces.milliseconds import TimeTables
from scnas_keras.spaces.space import SearchSpace
from scnas_keras.supernet.diagnostics import Diagnostics
from scnas_keras.supernet.names import SOFTMAX, UNIFORM
from scnas_keras.supernet.penalty import MILLISECONDS, MULTIPLY_ADDS, PARAMETERS, UNITS, CostPenalty
from scnas_keras.supernet.plain_penalty import PlainPenalty
from scnas_keras.supernet.supernet import SEARCH, WARM_UP, Supernet


def cost_penalty(config: SearchConfig, tables: CostTables, times: TimeTables | None = None) -> CostPenalty | None:
    """The penalty that the flags ask for; `times` with --target_ms.

    Raises:
        ConfigError: no network of the space is as cheap as the target.
    """
    cost = tables.least()
    asked = {
        PARAMETERS: ("target_mparams", cost.parameters / 1e6, "small"),
        MULTIPLY_ADDS: ("target_gmacs", cost.multiply_adds / 1e9, "small"),
        MILLISECONDS: ("target_ms", times.least() if times else 0.0, "fast on this machine"),
    }
    targets = {}
    for name, (flag, least, kind) in asked.items():
        value = getattr(config, flag)
        if value is None:
            continue
        if value < least:
            raise ConfigError(
                f"--{flag}={value}: no network is that {kind} at --width={config.width}; the least is {least:.3g}. Raise the target or "
                "lower the width."
            )
        targets[name] = value * UNITS[name]
    return CostPenalty(tables, targets, max_identity_edges=config.max_identity_edges, times=times) if targets else None


def plain_penalty(config: SearchConfig, space: SearchSpace) -> PlainPenalty | None:
    """The penalty of fixed weights that the flags ask for; None where alpha doesn't learn, though a task may set one for all searches.

    Raises:
        ConfigError: an operation can't be counted as it is.
    """
    if config.relaxation == UNIFORM or not (config.penalty_parameters or config.penalty_multiply_adds):
        return None
    return PlainPenalty(space, config.penalty_parameters, config.penalty_multiply_adds)


def search_fraction(fraction: float, warm_up: float) -> float:
    """Of a finished fraction of the run, what lies behind the warm-up, as a fraction of the rest."""
    return max(0.0, (fraction - warm_up) / (1 - warm_up))


def temperature(config: SearchConfig, fraction: float) -> float:
    """The relaxation's when a fraction (0 to 1) of the run is done: it falls once the warm-up is over. 1 where there is none."""
    if config.relaxation == SOFTMAX:
        return 1.0
    fall = math.log(config.temperature_end / config.temperature_start)
    return config.temperature_start * math.exp(fall * search_fraction(fraction, config.warm_up))


def steer(config: SearchConfig, supernet: Supernet, fraction: float) -> None:
    """Sets what the next epoch trains, and how, when a fraction (0 to 1) of the run is done."""
    supernet.phase = WARM_UP if fraction < config.warm_up else SEARCH
    supernet.drop_rate.assign(config.parameter_free_dropout * (1 - fraction))


def stop_reason(config: SearchConfig, diagnostics: Diagnostics) -> str | None:
    """Why the search should end now, in a sentence, or None."""
    if config.stop_after_stable is None or diagnostics.unchanged < config.stop_after_stable:
        return None
    return (
        f"stopped: the genotype has not changed for {diagnostics.unchanged} epochs (--stop_after_stable={config.stop_after_stable}), "
        f"at a mean entropy of {diagnostics.rows['entropy'].mean():.2f} of the maximum."
    )


def warnings(logs: Mapping[str, float], kinds: Sequence[str], fraction: float) -> dict[str, str]:
    """What is wrong with the genotype that would be derived now: a name for each finding -> what to tell the user.

    A half of a kind's edges being identity or zero is told once alpha says anything; that it doesn't, in the second
    half of the time in which it learns.

    Args:
        logs: of an epoch in which alpha learned.
        kinds: of cells.
        fraction: finished share of the run without its warm-up.
    """
    found = {}
    if logs["entropy"] > UNDECIDED_ENTROPY:
        if fraction >= 0.5:
            found["undecided"] = (
                f"alpha has hardly decided yet: mean entropy {logs['entropy']:.2f} of the maximum after "
                f"{fraction:.0%} of the search. Search longer, or raise --alpha_lr."
            )
        return found
    for kind in kinds:
        for group, advice in (("identity", "--max_identity_edges or --parameter_free_dropout"), ("zero", "--warm_up")):
            share = logs.get(f"share_{kind}_{group}", 0.0)
            if share >= 0.5:
                found[f"{group} {kind}"] = (
                    f"{share:.0%} of the {kind} cell's edges are {group}, which often means a collapse: consider {advice}."
                )
    return found
