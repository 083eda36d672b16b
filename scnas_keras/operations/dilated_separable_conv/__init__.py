"""Dilated depthwise-separable convolution."""
