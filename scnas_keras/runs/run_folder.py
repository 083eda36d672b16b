"""The folder that a run leaves (`--workdir`), and what may not happen to it."""

import dataclasses
import datetime
import fcntl
import importlib.metadata
import json
import os
import pathlib
import platform
import shlex
import socket
import sys
import time
from collections.abc import Mapping
from typing import Any, TextIO

from absl import logging

from scnas_keras.errors import ConfigError, Finished
from scnas_keras.files import file_in, same_place, unwritable, user_path, write_text, writing
from scnas_keras.inference.names import TABLES
from scnas_keras.log_file import keep_log
from scnas_keras.machine.peak_memory import peak_bytes
from scnas_keras.options import to_run_flagfile
from scnas_keras.planning.names import PLANS
from scnas_keras.runs.checkpoint_files import CHECKPOINT, CheckpointFolder
from scnas_keras.runs.config import OF_HOST
from scnas_keras.runs.recorded import Recorded, read_recorded, read_result

FLAGS, SUMMARY, LOCK, LOG = "flags.cfg", "summary.json", "run.lock", "log.txt"
BEFORE, EXTENDING = "summary_before.json", "extending"
"""The summary of a run that had finished and was extended; there until its checkpoint is one of a run that goes on."""
CASES, SURFACES = TABLES
SELECTED, FINALS = "select.json", "finals"
"""Of a selection: what it found, and the folder of its last training runs."""
_PACKAGES = ("scnas_keras", "keras", "tensorflow", "tensorflow-probability", "numpy", "scipy", "nibabel")


class RunFolder:
    """A run's folder; `folder / name` by indexing.

    Attributes:
        path: the folder.
        command: that this process runs; None if it is no command of scnas_keras.
        started: when, in seconds since 1970.
    """

    def __init__(self, path: pathlib.Path, command: str | None, started: float):
        self.path, self.command, self.started = path, command, started
        self._lock: TextIO | None = None

    def __getitem__(self, name: str) -> pathlib.Path:
        return self.path / name

    def lock(self) -> None:
        """Keeps other processes out until this one ends, however it ends, or forgets the folder.

        Raises:
            ConfigError: another process runs in the folder.
            OutputError: the folder can't be made, or nothing written into it.
        """
        if self._lock is not None:
            return
        with writing(self[LOCK]):
            self.path.mkdir(parents=True, exist_ok=True)
            stream = open(self[LOCK], "a+", encoding="utf-8")
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise _taken(self.path, stream) from error
        except OSError as error:
            logging.warning("%s: can't be locked (%s); see to it that no other process uses this folder", self.path, error)
        with writing(self[LOCK]):
            stream.truncate(0)
            stream.write(f"process {os.getpid()} on {socket.gethostname()}")
            stream.flush()
        self._lock = stream  # closing it, as the end of the process does, unlocks

    def release(self) -> None:
        """Lets other processes in."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    @property
    def extended(self) -> bool:
        """Whether its checkpoint is one of its former end, beyond which it goes on."""
        return self[EXTENDING].is_file()

    def begin(self, config: Any) -> None:
        """Claims the folder: writes flags.cfg, a flagfile that repeats the run. Called once everything is checked.

        Raises:
            ConfigError: another process runs in the folder, or has begun another run there or finished this one since
                the folder was opened.
        """
        self.lock()
        if self[FLAGS].is_file() and _check_same(self.path, config):
            logging.info("%s had finished and is extended, by the schedules of the new end", self.path)
            write_text(self[EXTENDING], "")  # first, then the summary, then the flags: killed between, the same command goes on here
            if self[SUMMARY].is_file():
                with writing(self[BEFORE]):
                    self[SUMMARY].replace(self[BEFORE])
        write_text(self[FLAGS], to_run_flagfile(config))
        keep_log(self[LOG])

    def write_summary(self, config: Any, result: dict[str, Any]) -> None:
        """Writes summary.json: what was run, on what, how long it took, and the result. It marks the run as finished."""
        summary = {
            "command": self.command,
            "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "seconds_of_last_process": round(time.time() - self.started, 1),
            "peak_bytes": peak_bytes(),
            "machine": {"cpus": os.cpu_count(), "platform": platform.platform(), "python": platform.python_version()},
            "versions": {name: _version(name) for name in _PACKAGES},
            "flags": dataclasses.asdict(config),
            "result": result,
        }
        write_text(self[SUMMARY], json.dumps(summary, indent=1) + "\n")
        if self._lock is not None:
            self[LOCK].unlink(missing_ok=True)  # a finished run is refused without it
            self.release()


def is_busy(path: pathlib.Path) -> bool:
    """Whether another process runs in a folder now."""
    try:
        check_idle(path)
    except ConfigError:
        return True
    return False


def check_idle(path: pathlib.Path) -> None:
    """Raises ConfigError, which names it, if another process runs in a folder now."""
    try:
        with open(path / LOCK, "r+", encoding="utf-8") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise _taken(path, stream) from error
            fcntl.flock(stream, fcntl.LOCK_UN)
    except OSError:  # nobody was there, or the file system can't tell
        return


def _taken(path: pathlib.Path, lock: TextIO) -> ConfigError:
    lock.seek(0)
    return ConfigError(
        f"--workdir={path}: {lock.read().strip() or 'another process'} is running there. Wait for it, stop it, or name another folder. "
        "Nothing was changed."
    )


def open_run(workdir: str | None, config: Any) -> RunFolder:
    """The folder of a run that begins or goes on; writes nothing (`RunFolder.begin` does), but locks a folder that holds a run.

    Raises:
        ConfigError, DataError: see `check_folder`.
    """
    run = RunFolder(check_folder(workdir, config), command_line(), time.time())
    if run[FLAGS].is_file():
        run.lock()
    return run


def check_folder(workdir: str | None, config: Any) -> pathlib.Path:
    """Finds out whether a folder can be a run's; returns it.

    An absent or empty folder is free, and one with nothing but what a process left that was killed as it began. A folder
    that holds a run of the same flags which did not finish can be taken again.

    Raises:
        Finished: it holds this very run, which is.
        ConfigError: no folder named; or it holds another finished run, a run with other flags (they are named), a run that
            another process is at, or files that are not a run's.
        DataError: its summary is damaged.
    """
    if not workdir:
        raise ConfigError("Name the run's folder with --workdir=DIR; it is made if absent.")
    path = user_path(workdir)
    if path.exists() and not path.is_dir():
        raise ConfigError(f"--workdir={path} is a file; name a folder.")
    if (path / FLAGS).is_file():
        check_idle(path)
        _check_same(path, config)
    elif path.is_dir() and not all(file.name == LOCK or file.name.startswith(f".{FLAGS}.") for file in path.iterdir()):
        raise ConfigError(f"--workdir={path} holds files that are not a run's; name a new or empty folder. Nothing was changed.")
    if closed := unwritable(path):
        raise ConfigError(f"--workdir={path}: {closed} is no folder that can be written to; name another folder.")
    return path


def follow_run(workdir: str | None) -> RunFolder:
    """The folder as one of several hosts sees it that the first of them checks and writes.

    Raises:
        ConfigError: no folder named.
    """
    if not workdir:
        raise ConfigError("Name the run's folder with --workdir=DIR, the same on storage that all hosts share.")
    return RunFolder(user_path(workdir), None, time.time())


def join_run(workdir: str | None, config: Any) -> RunFolder:
    """The folder of a run that another process has begun, or is going to begin, with these flags, and that this one works for.

    Raises:
        Finished: it has.
        ConfigError: no folder named, or the run has other flags.
    """
    run = follow_run(workdir)
    if run[FLAGS].is_file():
        _check_same(run.path, config)
    return run


def command_line() -> str | None:
    """What started this process, to be pasted into a shell in any folder; None where that is no command of scnas_keras."""
    module = getattr(sys.modules["__main__"].__spec__, "name", "")  # of what `scnas` or -m names; scripts and shells have none
    if not (module.startswith("scnas_keras.") and module.endswith(".__main__")):
        return None
    words = ["scnas", module.split(".")[1], *sys.argv[1:]]
    return f"{shlex.join(['cd', os.getcwd()])} && {shlex.join(words)}"


def _check_same(path: pathlib.Path, config: Any) -> bool:
    """Refuses a folder unless it holds an unfinished run of these flags, or of the plan that it has, or one that they extend.

    It and its data may have moved. Returns whether they extend it.
    """

    def agree(name: str, there: Any, here: Any) -> bool:
        return name in OF_HOST or there == here or (name == "plan" and same_place(file_in(here, PLANS), path / PLANS))

    run = read_recorded(type(config), path / FLAGS)
    changes = run.differences(config, agree)
    finished = (path / SUMMARY).is_file()
    if finished:
        read_result(path / SUMMARY)  # a damaged one tells nothing
    if changes and (finished or (path / EXTENDING).is_file()):
        longer = _extension(run.config, config, read_result(path / (SUMMARY if finished else BEFORE)))
        extended = dataclasses.replace(run.config, **longer)
        if longer and not Recorded(extended, run.unknown).differences(config, agree) and CheckpointFolder(path / CHECKPOINT).files():
            return True
    if changes and finished:
        raise ConfigError(
            f"--workdir={path} holds another run, which is finished ({', '.join(changes)}). Name another folder. Nothing was changed."
        )
    if changes:
        extending = ", whose extension isn't finished" if (path / EXTENDING).is_file() else ""
        remedy = f"repeat that run with --flagfile={path / FLAGS}"
        if run.unknown:
            remedy = "go on with that command, in the version of scnas_keras that began it"
        raise ConfigError(
            f"--workdir={path} holds another run{extending} ({', '.join(changes)}). Name another folder, or {remedy}. Nothing was changed."
        )
    if finished:
        flag = "--budget_minutes" if getattr(config, "budget_minutes", None) else "--epochs"
        longer = f", or extend it with more {flag}" if CheckpointFolder(path / CHECKPOINT).files() else ""
        raise Finished(
            f"--workdir={path} holds this very run, finished: see {path / SUMMARY}. "
            f"Name another folder to run it again{longer}. Nothing was changed."
        )
    return False


def _extension(there: Any, here: Any, result: Mapping[str, Any]) -> dict[str, Any]:
    """By which flag another config is longer than that of a run with this result; nothing if it isn't, or the run ended before its time."""
    minutes = getattr(there, "budget_minutes", None), getattr(here, "budget_minutes", None)
    if any(minutes):
        return {"budget_minutes": minutes[1]} if all(minutes) and minutes[1] > minutes[0] else {}
    done, planned, wanted = result.get("epochs"), getattr(there, "epochs", None), getattr(here, "epochs", None)
    if done is None or wanted is None or done < (planned or done):
        return {}
    return {"epochs": wanted} if wanted > done else {}


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
