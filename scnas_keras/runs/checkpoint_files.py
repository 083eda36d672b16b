"""Checkpoints on disk: each file is whole or absent, carries its own checksum, and says of which version it is."""

import hashlib
import io
import json
import pathlib
import zipfile
import zlib
from typing import Any

import numpy as np
from absl import logging

from scnas_keras.errors import DataError
from scnas_keras.files import write_bytes

CHECKPOINT = "checkpoint"
"""The folder of a run that holds them."""

LAST, BEST = "last", "best"
VERSION = 3
"""Of what checkpoints hold; 1 are those without a number. 2: the architecture parameters of a search are tables by name. 3: the digest of
data is of what files hold, no longer of their places and times."""
START_AGAIN = "Finish the run with the version before, which began it, or start again in another --workdir."
_MAGIC = b"scnas_keras checkpoint 1 sha256 "
_BROKEN = (ValueError, KeyError, EOFError, NotImplementedError, RecursionError, zipfile.BadZipFile, zlib.error)
"""What NumPy, zipfile and json raise at an archive that isn't theirs."""
_KEPT = {LAST: 2, BEST: 1}


class Damaged(ValueError):
    """A file that is not what was written."""


def pack(state: dict[str, Any], arrays: dict[str, np.ndarray]) -> bytes:
    """A line with the SHA-256 of the rest, then an .npz archive of the arrays and, as "state", the state in JSON."""
    stream = io.BytesIO()
    np.savez(stream, state=np.array(json.dumps(state)), **arrays)
    payload = stream.getvalue()
    return b"%s%s\n%s" % (_MAGIC, hashlib.sha256(payload).hexdigest().encode(), payload)


def unpack(data: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """State and arrays of `pack`.

    Raises:
        Damaged: truncated or changed.
    """
    head, _, payload = data.partition(b"\n")
    if not head.startswith(_MAGIC):
        raise Damaged("no checkpoint's beginning")
    if head[len(_MAGIC) :] != hashlib.sha256(payload).hexdigest().encode():
        raise Damaged("its checksum is wrong")
    try:
        with np.load(io.BytesIO(payload)) as archive:
            arrays = {name: archive[name] for name in archive.files}
        state = json.loads(str(arrays.pop("state")))
    except _BROKEN as error:
        raise Damaged(str(error)) from error
    if not isinstance(state, dict):
        raise Damaged("its state is no JSON object")
    return state, arrays


class CheckpointFolder:
    """The last two checkpoints of a run and its best one, `last-STEP.ckpt` and `best-STEP.ckpt`.

    Args:
        path: the folder, made when something is written.
    """

    def __init__(self, path: pathlib.Path):
        self.path, self._damaged = path, []

    def write(self, kind: str, step: int, state: dict[str, Any], arrays: dict[str, np.ndarray]) -> pathlib.Path:
        """Writes a checkpoint of a kind (LAST or BEST) and removes those that it makes superfluous.

        Files found damaged go first: they must not take the place of a whole one. So do those that a process was killed
        while it wrote: one a kill would fill the disk.
        """
        file = self.path / f"{kind}-{step:09d}.ckpt"
        for unfinished in self.path.glob(".*.ckpt.*"):
            unfinished.unlink(missing_ok=True)
        write_bytes(file, pack(state, arrays))
        for damaged in self._damaged:
            if damaged != file:
                damaged.unlink(missing_ok=True)
        self._damaged = []
        for old in [other for other in self.files(kind) if other != file][_KEPT[kind] - 1 :]:
            old.unlink(missing_ok=True)
        return file

    def files(self, *kinds: str) -> list[pathlib.Path]:
        """Checkpoints of some kinds (default: all), the newest first; of the same step, the last before the best."""
        found = [file for kind in kinds or _KEPT for file in self.path.glob(f"{kind}-*.ckpt")]
        return sorted(found, key=lambda file: (_step(file), file.name), reverse=True)

    def read(self, *kinds: str) -> tuple[pathlib.Path, dict[str, Any], dict[str, np.ndarray]] | None:
        """File, state and arrays of the newest whole checkpoint of some kinds; None if there are no files.

        Damaged files are named in a warning and passed over.

        Raises:
            DataError: there are files, but none is whole.
        """
        files = self.files(*kinds)
        for file in files:
            try:
                return file, *unpack(file.read_bytes())
            except (OSError, Damaged) as error:
                self._damaged.append(file)
                logging.warning("%s: damaged (%s); going on from the checkpoint before it", file, error)
        if not files:
            return None
        raise DataError(
            f"{self.path}: no checkpoint can be read ({', '.join(file.name for file in files)} are damaged). Restore them from a backup, "
            "or delete that folder to run from the start."
        )

    def check_version(self, oldest: int, remedy: str = START_AGAIN) -> None:
        """Refuses checkpoints of a version of the program that this one can't read. It only looks, before any work.

        Args:
            oldest: version that can at least be read; a kind of run has its own.
            remedy: what to do instead, for the message.

        Raises:
            DataError: the newest is older than that, or newer than this program.
        """
        file, version = self._newest_version()
        if version > VERSION:
            raise DataError(f"{file}: was saved by a newer version of scnas_keras. Update scnas_keras, or name another --workdir.")
        if version < oldest:
            raise DataError(
                f"{file}: was saved by an older version of scnas_keras (as version {version} of its checkpoints; this one goes on from "
                f"{oldest} and later). {remedy} Nothing was changed."
            )

    def _newest_version(self) -> tuple[pathlib.Path, int]:
        """Of the newest file with a version that can be read; damage is `read`'s to find, which also reads the arrays."""
        for file in self.files():
            try:
                with open(file, "rb") as stream:
                    stream.readline()
                    with np.load(stream) as archive:
                        state = json.loads(str(archive["state"]))
            except (OSError, *_BROKEN):
                continue
            if isinstance(state, dict) and isinstance(version := state.get("version", 1), int):
                return file, version
        return self.path, VERSION


def _step(file: pathlib.Path) -> int:
    number = file.stem.rpartition("-")[2]
    return int(number) if number.isdigit() else -1
