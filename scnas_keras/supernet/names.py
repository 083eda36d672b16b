"""Names for flags; importing them loads no framework."""

GUMBEL_PAIR, GUMBEL_SINGLE, SOFTMAX, UNIFORM = RELAXATIONS = ("gumbel_pair", "gumbel_single", "softmax", "uniform")
"""How alpha weighs operations; `supernet.relaxation` has the functions."""


def operations_drawn(relaxation: str) -> int | None:
    """How many of an edge's candidates a draw runs; None for all of them."""
    return {GUMBEL_SINGLE: 1, SOFTMAX: None}.get(relaxation, 2)
