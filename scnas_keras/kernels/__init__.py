"""Forms of the same layers that TensorFlow computes faster."""
