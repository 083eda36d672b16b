"""Whether a search has decided between its operations, what that takes, and whether anything learns then. Imports no framework."""

import math
from collections.abc import Iterable

from scnas_keras.operations.registry import operation

UNDECIDED_ENTROPY = 0.9
"""Mean entropy of the edges over its maximum above which a search has not decided: most operations are nearly equally probable."""
UNDECIDED = "Undecided: "
"""How a genotype's note of that begins."""
LOG_ODDS = 3.0
"""Between the best operation and the others, once an edge has decided: a probability of 0.74 among eight."""
MEANWHILE = "nnunet"
"""The hand-made network to use until then."""


def updates_to_decide(alpha_lr: float, share: float) -> int:
    """Updates of alpha until a search has mostly decided: Adam moves an alpha by about its rate each time it is told where to.

    Measured on hippocampus (rate 0.03, two of eight drawn, hence 400 here): a mean entropy of 0.994 after 25 updates, 0.967 after 100,
    0.58 after 1050; in another search 0.899 after 300, 0.858 after 400, 0.822 after 500.

    Args:
        alpha_lr: learning rate of alpha (Adam).
        share: of an edge's alphas that an update tells: two of its candidates where two are drawn, else all.
    """
    return math.ceil(LOG_ODDS / alpha_lr / share)


def undecided_note(entropy: float, updates: int, needed: int, alpha_lr: float) -> str | None:
    """What a genotype says of a search that has not decided, or None if it has.

    Args:
        entropy: mean of the edges over its maximum, 0 to 1.
        updates: of alpha, so far.
        needed: `updates_to_decide`.
        alpha_lr: learning rate of alpha (Adam).
    """
    if entropy <= UNDECIDED_ENTROPY:
        return None
    remedy = f"a decision takes some {needed}" if updates < needed else f"at --alpha_lr={alpha_lr:g} that is mostly enough, so raise it"
    return (
        f"{UNDECIDED}mean entropy {entropy:.2f} of the maximum after {updates} updates of alpha, so that this architecture is one of "
        f"chance; {remedy}. Until then take --network={MEANWHILE}, which needs no search."
    )


def weightless_note(operations: Iterable[str], penalised: bool) -> str | None:
    """What a genotype says of itself if none of its operations learns, or None.

    Args:
        operations: of the edges that are there.
        penalised: whether the search priced parameters or multiply-adds.
    """
    if any(operation(name).learns for name in operations):
        return None
    remedy = (
        "The penalty outweighs the loss: lower --penalty_parameters and --penalty_multiply_adds, or leave them out (0) and ask for a size "
        "with --target_mparams."
        if penalised
        else "Raise --parameter_free_dropout, or let --max_identity_edges bound the identities."
    )
    return f"No operation with weights is left, only identities and pools: it convolves in its stem, and where cells join. {remedy}"


def time_note(updates: int, needed: int, seconds_per_step: float) -> str:
    """How long a search that has not decided would have to be, at the pace that it had."""
    minutes = max(1, math.ceil(max(needed, 2 * updates) * seconds_per_step / 60))
    return f"Search longer: --budget_minutes={minutes} or more at this pace."
