"""Trained networks outside of this package: SavedModels that take whole scans, ONNX and LiteRT files, and what checks them."""
