"""Tables and figures of what a search found and what a network predicts. Imports no framework; matplotlib on first use."""
