"""Names for flags; importing them loads no framework."""

FINGERPRINT = "fingerprint.json"
"""The file that `plan` leaves."""
FLOAT16, FLOAT32 = STORAGES = ("float16", "float32")
"""Number types of prepared images; `preprocessing.prepared_case` writes them."""
FIXED = "fixed"
"""A normalisation that goes before the one by a channel's name; `preprocessing.normalization` has it."""
