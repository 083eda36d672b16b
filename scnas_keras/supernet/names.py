"""Names for flags; importing them loads no framework."""

GUMBEL_PAIR, GUMBEL_SINGLE, SOFTMAX, UNIFORM = RELAXATIONS = ("gumbel_pair", "gumbel_single", "softmax", "uniform")
"""How alpha weighs operations; `supernet.relaxation` has the functions."""
