"""Checks that find a broken dataset before hours of computation do."""
