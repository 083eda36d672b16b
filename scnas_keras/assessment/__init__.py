"""Whether a finished search can be believed: against random genotypes, against itself, and against other seeds."""
