"""Names for flags; importing them loads no framework."""

NNUNET, SCNAS = RULES = ("nnunet", "scnas")
"""By which plans are made; `planning.planner` follows them."""
