"""The search spaces that `--space` offers: a file each, with `build(rank)`; nothing else lists them."""
