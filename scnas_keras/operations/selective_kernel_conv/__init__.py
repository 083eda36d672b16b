"""Selective-kernel convolution."""
