"""Depthwise-separable convolution, twice."""
