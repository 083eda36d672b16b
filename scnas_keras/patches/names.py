"""Names for flags; importing them loads no framework."""

PAPER, V2, NONE, CUTOUT = AUGMENTATIONS = ("2018", "v2", "none", "cutout")
"""What is done to training patches; `patches.presets` has the transforms."""
