"""Which data: tasks, their cases, splits, phantoms."""
