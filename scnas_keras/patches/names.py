"""Names for flags; importing them loads no framework."""

PAPER, V2, NONE = AUGMENTATIONS = ("2018", "v2", "none")
"""What is done to training patches; `patches.presets` has the transforms."""
