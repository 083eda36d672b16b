"""From a trained network to segmentations of whole scans, and to a SavedModel."""
