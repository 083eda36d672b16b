"""3-wide max or average pooling."""

from scnas_keras.operations.facts import Facts

OPERATIONS = tuple(Facts(f"{mode}_pool_3", f"{mode} pool 3", "pool", {"mode": mode}, homogeneous=True) for mode in ("max", "average"))
