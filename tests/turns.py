"""Turns of several processes: any number at a time, or one alone."""

import contextlib
import fcntl
from pathlib import Path


@contextlib.contextmanager
def turn(folder: Path, alone: bool):
    """Waits for a turn, in the order in which processes ask: beside others that aren't alone either, or `alone`."""
    with open(folder / "queue.lock", "w") as queue, open(folder / "room.lock", "w") as room:
        fcntl.flock(queue, fcntl.LOCK_EX)  # who waits for the room keeps the others from entering it
        fcntl.flock(room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(queue, fcntl.LOCK_UN)
        try:
            yield
        finally:
            fcntl.flock(room, fcntl.LOCK_UN)  # a child may have inherited the file


def once(folder: Path, make) -> Path:
    """The folder that `make(folder)` has filled, in this process or in another that shares it."""
    done = folder.with_suffix(".done")
    with open(folder.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            folder.mkdir()
            make(folder)
            done.touch()
    return folder
