"""Convolutions that double the resolution."""
