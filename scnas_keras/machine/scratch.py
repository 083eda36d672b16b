"""Large arrays in a file instead of in memory: the system keeps of them what fits, and writes the rest to the disk."""

import contextlib
import math
import os
import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np

from scnas_keras.errors import OutputError
from scnas_keras.files import no_room

_CHUNK, _MOST = 2**25, 64
"""Bytes, and rows, that a pool takes at a time."""


class Scratch:
    """Arrays of one piece of work. Their files have no name, so that nothing is left however the process ends.

    Args:
        folder: on the disk that they may fill.
    """

    def __init__(self, folder: str | os.PathLike):
        self._folder = os.fspath(folder)

    def array(self, shape: Sequence[int], kind: Any = np.float32) -> np.ndarray:
        """A new array of zeros, whose room on the disk is kept from the beginning; it goes with its last reference.

        Raises:
            OutputError: there isn't room for it, or the folder can't be written to.
        """
        kind = np.dtype(kind)
        size = kind.itemsize * math.prod(shape)
        if not size:
            return np.zeros(shape, kind)
        try:
            with tempfile.TemporaryFile(dir=self._folder, prefix=".scnas_scratch_") as file:
                with contextlib.suppress(AttributeError):  # not on every system
                    os.posix_fallocate(file.fileno(), 0, size)  # writing to a mapped file of a full disk would kill the process
                file.truncate(size)
                return np.memmap(file, kind, "r+", shape=tuple(shape))
        except OSError as error:
            why = no_room(error) or error.strerror or str(error)
            raise OutputError(
                f"{self._folder}: {size / 2**20:.0f} MiB of scratch room can't be had ({why}). Make room, or name another folder with "
                "--scratch_dir."
            ) from error


class RowPool:
    """Rows of one shape in scratch files, that are used again and again.

    Args:
        scratch: where their files come from.
        shape: of a row, float32.
    """

    def __init__(self, scratch: Scratch, shape: Sequence[int]):
        self._scratch, self._shape = scratch, tuple(shape)
        self._free: list[np.ndarray] = []

    def take(self) -> np.ndarray:
        """A row, with anything in it."""
        if not self._free:
            count = max(1, _CHUNK // (4 * math.prod(self._shape)))
            self._free.extend(np.asarray(self._scratch.array((min(count, _MOST), *self._shape))))
        return self._free.pop()

    def give(self, row: np.ndarray) -> None:
        """Gives a row back, which may be used for another from now on."""
        self._free.append(row)
