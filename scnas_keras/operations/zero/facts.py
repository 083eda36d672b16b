"""The absent edge, as a search sees it."""

from scnas_keras.operations.facts import ZERO_GROUP, Facts

OPERATIONS = (Facts("zero", "zero", ZERO_GROUP, linear=True),)
