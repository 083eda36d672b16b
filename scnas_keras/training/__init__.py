"""Losses, metrics, schedules and the folder that a run leaves."""
