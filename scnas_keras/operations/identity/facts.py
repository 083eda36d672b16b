"""The input itself."""

from scnas_keras.operations.facts import IDENTITY_GROUP, Facts

OPERATIONS = (Facts("identity", "identity", IDENTITY_GROUP, linear=True),)
