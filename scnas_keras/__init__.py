"""Neural architecture search for medical image segmentation in Keras (SCNAS, arXiv 1906.05956)."""

__version__ = "0.1.0"
