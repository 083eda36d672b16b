"""Ghost convolution."""
