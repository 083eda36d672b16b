"""What a run leaves and survives: its options, opened fold, folder, checkpoints, loop, and what it costs."""
