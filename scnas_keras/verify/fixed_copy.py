"""A fixed copy of a dataset: a folder of its own that holds all files, the source's bytes untouched."""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from scnas_keras.errors import ConfigError, DataError, OutputError
from scnas_keras.files import hidden_prefix
from scnas_keras.formats.endings import WRITABLE, ending_of
from scnas_keras.tasks.cases import Case

_FIXED = tuple(ending for ending in WRITABLE if ending != ".mhd")  # whose voxels are another file, which the copy may share
_LOCK = ".scnas_keras_at_work"


@contextlib.contextmanager
def fixed_copy(source: Path, target: Path) -> Iterator[Path]:
    """Copies a dataset's folder; gives the folder in which files can be replaced, which then becomes `target`.

    Files are hard links where the file system allows, so replace them (as `scnas_keras.files` does) and never write
    into one. `target` appears only if the block ends without an error. What runs left that were killed is removed beside it.

    Raises:
        ConfigError: `target` exists and isn't empty, or one folder lies in the other.
        OutputError: the copy can't be written.
    """
    source, target = source.resolve(), target.resolve()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise _taken(target)
    if target.is_relative_to(source) or source.is_relative_to(target):
        raise ConfigError(f"--fixed_dir={target}: the dataset {source} and its copy can't lie in one another. Name another folder.")
    partial = lock = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(target.parent)
        partial = Path(tempfile.mkdtemp(prefix=hidden_prefix(target), dir=target.parent))
        lock = _lock(partial)
        _copy(source, partial)
        yield partial
        partial.chmod(0o755)
        (partial / _LOCK).unlink(missing_ok=True)
        try:
            partial.rename(target)
        except OSError as error:
            raise _taken(target) if target.exists() else error from None
    except DataError as error:  # about a file of the dataset, that the user knows under its own folder
        raise DataError(str(error).replace(str(partial), str(source))) from error
    except OSError as error:
        raise OutputError(
            f"{target}: the copy couldn't be written ({error}). Give --fixed_dir a place that you may write to, with enough room."
        ) from error
    finally:
        if partial:
            shutil.rmtree(partial, ignore_errors=True)
        if lock:
            lock.close()


def _taken(target: Path) -> ConfigError:
    return ConfigError(f"--fixed_dir={target}: there is something already. Name a folder that doesn't exist.")


def _lock(partial: Path) -> IO[bytes]:
    """Marks a folder as one that a process fills; closing the file, as the end of the process does, unlocks it."""
    new = partial / f"{_LOCK}.new"
    stream = new.open("wb")
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        new.rename(partial / _LOCK)  # so that a lock that is seen is held, or was
    except OSError:  # a file system without locks: nothing is taken for abandoned there
        new.unlink()
    return stream


def _remove_abandoned(folder: Path) -> None:
    """Removes the folders of runs that were killed, which their locks tell from those of runs at work."""
    for partial in [path for path in folder.iterdir() if path.name.startswith(".")]:
        with contextlib.suppress(OSError), (partial / _LOCK).open("r+b") as stream:  # it is no such folder, another's, or one at work
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(partial, ignore_errors=True)


def check_fixable(root: Path, cases: Sequence[Case]) -> None:
    """Raises DataError unless the dataset has a dataset.json, and labels of formats that are written in its own folder."""
    if not (root / "dataset.json").is_file():
        raise DataError(
            f"{root}: --fix is for datasets that have a dataset.json (layouts of the Decathlon and of "
            "nnU-Net); this one has none. Convert it first."
        )
    for case in cases:
        if ending_of(case.label.name) not in _FIXED:
            raise DataError(f"{case.label}: --fix is for labels in files that end in {', '.join(_FIXED)} only. Convert them first.")
        if not case.label.is_relative_to(root) or ".." in case.label.relative_to(root).parts:
            raise DataError(f"{case.label}: lies outside of the dataset's folder {root}, which --fix copies. Move it in there.")


def _copy(source: Path, target: Path) -> None:
    for folder, _, names in os.walk(source, followlinks=True):
        place = target / Path(folder).relative_to(source)
        place.mkdir(exist_ok=True)
        for name in names:
            path = Path(folder, name).resolve()
            if not path.is_file():
                continue  # a link to nowhere
            try:
                os.link(path, place / name)
            except OSError:  # another file system, or one without hard links
                shutil.copy2(path, place / name)
