"""The Keras layers of the operations by name."""

import importlib
from typing import Any

from scnas_keras.operations.base import Operation
from scnas_keras.operations.facts import DOUBLING, HALVING, ORDINARY
from scnas_keras.operations.registry import folder_of, known_operations, operation

_STRIDES: dict[str, dict[str, int]] = {ORDINARY: {"stride": 1}, HALVING: {"stride": 2}, DOUBLING: {}}


def layer_class(name: str) -> type[Operation]:
    """The class of an operation's layer.

    Raises:
        ConfigError: this version has no operation of that name.
    """
    return importlib.import_module(f"{folder_of(name)}.layer").LAYER


def build_operation(name: str, /, role: str = ORDINARY, affine: bool = True, branches: int = 1, **kwargs: Any) -> Operation:
    """The layer of an operation.

    Args:
        name: the operation's.
        role: one of `facts.ROLES`, what the edge does to the resolution.
        affine: whether its normalisations have learned scale and offset.
        branches: of an operation that `merges`, how many of them read the same input; then the layer gives a list.
        **kwargs: `name`, `dtype` of the layer.

    Raises:
        ConfigError: this version has no operation of that name.
    """
    own: dict[str, Any] = {"affine": affine} if operation(name).learns else {}
    if branches > 1:
        own["branches"] = branches
    return layer_class(name)(**_STRIDES[role], **operation(name).settings, **own, **kwargs)


def register_layers() -> None:
    """Imports every operation's layer, so that Keras knows them by name when it reads a saved network."""
    for name in known_operations():
        layer_class(name)
