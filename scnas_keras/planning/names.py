"""Names for flags; importing them loads no framework."""

PLANS = "plans.json"
"""The file that a run, or `plan`, leaves."""
NNUNET, SCNAS = RULES = ("nnunet", "scnas")
"""By which plans are made; `planning.planner` follows them."""


def rank_named(configuration: str) -> int | None:
    """Axes of a configuration's patches as far as its name says them, as nnU-Net's names do."""
    return {"2d": 2, "3d": 3}.get(configuration[:2])
