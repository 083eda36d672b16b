"""Names for flags; importing them loads no framework."""

JACCARD, DICE, DICE_CE, FOCAL = LOSS_NAMES = ("jaccard", "dice", "dice_ce", "focal")
"""What can be minimised; `training.losses` has the classes."""
ADAM, SGD = OPTIMIZERS = ("adam", "sgd")
PLATEAU, POLY, COSINE = SCHEDULES = ("plateau", "poly", "cosine")
"""How a learning rate falls; `training.schedules` has the callbacks."""
SCNAS, NNUNET, SHORT, LIGHT = PRESET_NAMES = ("scnas", "nnunet", "short", "light")
"""Ways to train; `retrain.recipes` has the numbers, flags/presets what goes with them."""
LIGHT_PAPER = "light_paper"
"""A way to search, beside `SCNAS` and `SHORT`."""
