"""Names for flags; importing them loads no framework."""

BY_PATIENT, NNUNET = SPLIT_METHODS = ("by_patient", "nnunet")
"""How cases are dealt out to folds; `tasks.splits` does it."""
