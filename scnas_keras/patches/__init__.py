"""Training patches: which piece of which case, how it is augmented, and the stream of them."""
