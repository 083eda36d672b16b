"""The files of a trained network; no framework is loaded for their names."""

MODEL, COMPANION = "model.keras", "model.json"
"""The network, and what must be known to use it."""
PACKAGE, MANIFEST, CARD = ".zip", "package.json", "model_card.md"
"""The ending of a network in one file, what it holds, and what a person should know of it."""
TABLES = "validation.csv", "surfaces.csv"
"""What it may hold of single cases."""
