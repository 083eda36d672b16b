"""Names for flags; importing them loads no framework."""

JACCARD, DICE, DICE_CE, FOCAL = LOSS_NAMES = ("jaccard", "dice", "dice_ce", "focal")
"""What can be minimised; `training.losses` has the classes."""
SCNAS, NNUNET, SHORT = PRESET_NAMES = ("scnas", "nnunet", "short")
"""Ways to train; `retrain.recipes` has the numbers, flags/presets what goes with them."""
