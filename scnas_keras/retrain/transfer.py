"""Weights that a network takes over from a trained one."""

import json
import pathlib

import keras
from absl import logging

from scnas_keras.errors import ConfigError, times
from scnas_keras.files import write_text
from scnas_keras.inference.keras_file import load_network
from scnas_keras.retrain.architecture import Architecture
from scnas_keras.retrain.trained import TRANSFER, digest_of
from scnas_keras.runs.run_folder import RunFolder


def take_weights(network: keras.Model, path: pathlib.Path, of_search: bool = False) -> tuple[int, list[str]]:
    """Puts those weights of a saved model into a network that have the same place and shape.

    A weight's place is its layer's name and its number within the layer.

    Args:
        network: that takes them.
        path: of the model.
        of_search: whether it is of the search of the network itself, so that all that is there must fit.

    Returns:
        How many were taken, and a line for each of the network's that was not.

    Raises:
        DataError: the model can't be read.
        ConfigError: none fits; or one of the search doesn't.
    """
    theirs = {_place(layer, i): weight for layer in load_network(path).layers for i, weight in enumerate(layer.weights)}
    taken, left = 0, []
    for layer in network.layers:
        for i, weight in enumerate(layer.weights):
            other = theirs.get(_place(layer, i))
            if other is not None and tuple(other.shape) == tuple(weight.shape):
                weight.assign(other)
                taken += 1
            else:
                found = "not there" if other is None else f"{times(other.shape) or 1} there"
                left.append(f"{layer.name}, {weight.name}: {times(weight.shape) or 1} here, {found}")
            if other is not None and tuple(other.shape) != tuple(weight.shape) and of_search:
                raise ConfigError(
                    f"--init=search: {path} is of another width or of other data ({left[-1]}). Give --width the search's --stem_channels."
                )
    if not taken:
        raise ConfigError(f"--init: no weight of {path} fits this network. Give both the same --network, architecture and --width.")
    return taken, left


def _place(layer: keras.Layer, number: int) -> tuple[str, int]:
    return layer.name, number


def report_transfer(architecture: Architecture, transfer: tuple[int, list[str]], run: RunFolder) -> None:
    """Tells which weights were taken over and which were not; the list is kept in transfer.json."""
    taken, left = transfer
    logging.info(
        "%d weights taken from %s; new ones for %d:%s",
        taken,
        architecture.weights,
        len(left),
        "".join(f"\n  {line}" for line in left) or " none",
    )
    told = {"from": str(architecture.weights), "sha256": digest_of(architecture.weights), "taken": taken, "not_taken": left}
    write_text(run[TRANSFER], json.dumps(told, indent=1) + "\n")
