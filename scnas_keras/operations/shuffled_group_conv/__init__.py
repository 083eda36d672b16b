"""Shuffled group convolution."""
