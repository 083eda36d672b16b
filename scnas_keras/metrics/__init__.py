"""How good a segmentation is, and whether two networks differ."""
