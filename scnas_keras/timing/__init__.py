"""Milliseconds of the parts of derived networks on this machine: measured once, kept, and put together for any genotype."""
