"""What the work runs on: cores and memory, worker processes, devices and hosts, precision, batches in slices, determinism."""
