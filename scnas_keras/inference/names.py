"""The files of a trained network; no framework is loaded for their names."""

MODEL, COMPANION = "model.keras", "model.json"
"""The network, and what must be known to use it."""
