"""Cross-validation of several networks, and their comparison in one table. Imports no framework."""
