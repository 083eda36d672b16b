"""The network in a .keras file, checked before anything in it is built: the file may be damaged, or come from anywhere.

Such a file is a zip archive of three members. Their sizes are bounded before they are read, their checksums compared, and arrays of
weights are looked at without following links. The network is first built without values, so that what it takes is known before it
is taken.
"""

import concurrent.futures
import io
import json
import math
import os
import pathlib
import stat
import tempfile
import zipfile
from collections.abc import Sequence
from typing import Any

import h5py
import keras

import scnas_keras.networks  # noqa: F401  registers the layers
from scnas_keras.errors import DataError
from scnas_keras.files import hidden_prefix, user_path, write_bytes, writing

CONFIG, METADATA, WEIGHTS = MEMBERS = ("config.json", "metadata.json", "model.weights.h5")
_LARGEST = {CONFIG: 2**24, METADATA: 2**16}
_UNPACKED, _EXPANSION = 2**26, 4  # weights of more bytes than the first may not be so many times larger than what is stored of them
_LONGEST = 200  # letters that a message shows of another one
_COPY = "Copy it again from where it was saved; if it is the same there, save or train it again."


def save_network(network: keras.Model, path: str | os.PathLike) -> None:
    """Writes a .keras file, whole or not at all.

    Raises:
        OutputError: it can't be written.
    """
    path = pathlib.Path(path)
    with writing(path, sum(4 * math.prod(variable.shape) for variable in network.variables)):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=hidden_prefix(path)) as folder:
            whole = pathlib.Path(folder, "model.keras")  # Keras writes piece by piece
            network.save(whole)
            content = whole.read_bytes()
    write_bytes(path, content)


def load_network(path: str | os.PathLike) -> keras.Model:
    """Reads a segmentation network from a .keras file without running any code in it.

    Returns:
        A model of one input [batch, *space, channels], with 2 or 3 axes of space, and of outputs with as many.

    Raises:
        DataError: missing, damaged, with members that Keras doesn't write, or not such a network; or this Keras can't read it.
    """
    path = user_path(path)
    if not path.is_file():
        raise DataError(f"{path}: no such file.")
    if path.suffix != ".keras":
        raise DataError(f"{path}: a model file's name ends in .keras. Name such a file, or rename this one if it is one.")
    try:
        config, metadata, numbers = _read(path)
    except DataError:
        raise
    except Exception as error:  # noqa: BLE001  damage shows itself as any error of zipfile, json, h5py
        raise DataError(f"{path}: can't be read as a Keras model: damaged or cut off ({_short(error)}). {_COPY}") from error
    try:
        with concurrent.futures.ThreadPoolExecutor(1) as thread:  # Keras keeps what is to get values later, by thread
            _check(path, *thread.submit(_described, config).result(), numbers)
        return keras.models.load_model(path, compile=False, safe_mode=True)
    except DataError:
        raise
    except Exception as error:  # noqa: BLE001  so does a description that this Keras doesn't understand
        saved = metadata.get("keras_version") if isinstance(metadata, dict) else None
        remedy = _COPY if saved == keras.__version__ else f"It was saved by Keras {saved}: install that one, or train the network again."
        raise DataError(f"{path}: can't be read as a Keras model by Keras {keras.__version__} ({_short(error)}). {remedy}") from error


def _read(path: pathlib.Path) -> tuple[Any, Any, int]:
    """The network's description, the file's, and how many numbers there are in the arrays of weights. All members are read to their end."""
    with zipfile.ZipFile(path) as archive:
        _check_members(path, archive.infolist())
        content = {name: archive.read(name) for name in MEMBERS}
    return json.loads(content[CONFIG]), json.loads(content[METADATA]), _count_numbers(path, content[WEIGHTS])


def _check_members(path: pathlib.Path, members: Sequence[zipfile.ZipInfo]) -> None:
    """Raises DataError unless an archive has the three members, as files of likely sizes."""
    names = [member.filename for member in members]
    if sorted(names) != sorted(MEMBERS):
        listed = ", ".join(map(repr, names[:5])) + (" ..." if len(names) > 5 else "")
        raise DataError(
            f"{path}: can't be read as a Keras model: holds {listed[:_LONGEST] or 'nothing'}, expected {', '.join(MEMBERS)}. {_COPY}"
        )
    for member in members:
        mode = member.external_attr >> 16
        strange = stat.S_IFMT(mode) not in (0, stat.S_IFREG) or member.flag_bits & 1
        if strange or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise DataError(f"{path}: {member.filename} is a link, encrypted or packed in a way that Keras doesn't. {_COPY}")
        if member.file_size > _LARGEST.get(member.filename, max(_UNPACKED, _EXPANSION * member.compress_size)):
            raise DataError(
                f"{path}: {member.filename} would take {member.file_size / 2**20:.0f} MiB, of which "
                f"{member.compress_size / 2**20:.1f} are stored; no network's does. Don't use this file. {_COPY}"
            )


def _count_numbers(path: pathlib.Path, weights: bytes) -> int:
    """How many numbers there are in the arrays of an HDF5 file; DataError if one of them isn't stored in it as it is."""
    sizes = []

    def visit(name: str, link: Any) -> str | None:  # what it raises, h5py hides
        if not isinstance(link, h5py.HardLink):
            return f"{name[:_LONGEST]!r} is a link to elsewhere"
        if isinstance(found := file[name], h5py.Dataset):
            sizes.append(found.size or 0)
            if found.external or found.is_virtual or found.chunks or sizes[-1] > len(weights):
                return f"{name[:_LONGEST]!r} isn't stored as Keras stores weights"
        return None

    with h5py.File(io.BytesIO(weights), "r") as file:
        if fault := file.visititems_links(visit):
            raise DataError(f"{path}: {WEIGHTS}: {fault}. Don't use this file. {_COPY}")
    return sum(sizes)


def _described(config: Any) -> tuple[list | None, list, int]:
    """Shapes of inputs and outputs, and the number of weights of a described network, which gets no values; None for anything else."""
    with keras.StatelessScope(initialize_variables=False):
        model = keras.saving.deserialize_keras_object(config, safe_mode=True)
        if not isinstance(model, keras.Model) or not getattr(model, "inputs", None):
            return None, [], 0
        shapes = ([tuple(tensor.shape) for tensor in tensors] for tensors in (model.inputs, model.outputs))
        return *shapes, sum(math.prod(variable.shape) for variable in model.variables)


def _check(path: pathlib.Path, inputs: list | None, outputs: list, weights: int, numbers: int) -> None:
    """Raises DataError unless these are those of a segmentation network whose weights are there."""
    fault = None
    if inputs is None:
        fault = "it isn't a model with a fixed input"
    elif len(inputs) != 1:
        fault = f"it takes {len(inputs)} inputs"
    elif len(inputs[0]) not in (4, 5) or inputs[0][-1] is None:
        fault = f"its input is {_axes(inputs[0])}"
    elif wrong := [shape for shape in outputs if len(shape) != len(inputs[0]) or shape[-1] is None]:
        fault = f"from {_axes(inputs[0])} it makes {_axes(wrong[0])}"
    if fault:
        raise DataError(
            f"{path}: isn't a segmentation network: {fault}. Name one that maps an image [batch, x, y, z, channels], or "
            "[batch, x, y, channels] in 2D, to logits of as many axes, as scnas retrain leaves it."
        )
    if weights > numbers:
        raise DataError(f"{path}: {CONFIG} describes a network of {weights} weights, and {WEIGHTS} holds {numbers}. {_COPY}")


def _axes(shape: Sequence[int | None]) -> str:
    return f"[{', '.join('any' if size is None else str(size) for size in shape)}]"


def _short(error: Exception) -> str:
    """What an error says, in one line; of Keras' own, the innermost."""
    text = " ".join(str(error).rpartition("Exception encountered:")[2].split())
    return f"{type(error).__name__}: {text[:_LONGEST]}".removesuffix(": ")
