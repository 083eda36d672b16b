"""Names for flags; importing them loads no framework."""

NONE, BFLOAT16, FLOAT16 = PRECISIONS = ("none", "bfloat16", "float16")
"""What layers compute in; `machine.precision` has the functions."""
