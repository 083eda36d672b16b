"""The candidate operations by name. Their Keras layers are in `scnas_keras.networks.operations`."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class OperationInfo:
    """What a table or a figure says of an operation: its label and the group it belongs to."""

    label: str
    group: str


OPERATIONS: dict[str, OperationInfo] = {
    "conv_3": OperationInfo("conv 3", "conv"),
    "dilated_conv_3_rate_2": OperationInfo("dilated conv 3, rate 2", "dilated"),
    "dilated_conv_3_rate_3": OperationInfo("dilated conv 3, rate 3", "dilated"),
    "dilated_conv_3_rate_4": OperationInfo("dilated conv 3, rate 4", "dilated"),
    "max_pool_3": OperationInfo("max pool 3", "pool"),
    "average_pool_3": OperationInfo("average pool 3", "pool"),
    "identity": OperationInfo("identity", "identity"),
    "zero": OperationInfo("zero", "zero"),
}
"""The eight operations of SCNAS (section 3, implementation details); `_3` is the kernel's edge on every axis."""

IDENTITY, ZERO = "identity", "zero"
