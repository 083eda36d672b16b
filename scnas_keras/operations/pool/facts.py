"""3-wide max or average pooling."""

from scnas_keras.operations.facts import Facts

OPERATIONS = (
    Facts("max_pool_3", "max pool 3", "pool", {"mode": "max"}),
    Facts("average_pool_3", "average pool 3", "pool", {"mode": "average"}, linear=True),
)
