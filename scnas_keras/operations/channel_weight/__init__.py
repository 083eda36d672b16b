"""Channels weighted by attention."""
