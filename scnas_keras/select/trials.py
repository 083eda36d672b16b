"""Running one training run or search of a selection: a run folder and a process of its own, and what it left."""

import contextlib
import dataclasses
import os
import pathlib
import shutil
import signal
import time
from collections.abc import Mapping, Sequence
from typing import Any

from absl import logging

from scnas_keras.documents import decode, parse
from scnas_keras.errors import CANT_WRITE, ConfigError, DataError, OutputError, some_of
from scnas_keras.files import writing
from scnas_keras.metrics.case_table import of_measure, read_case_table, read_surface_table
from scnas_keras.metrics.structure import Surfaces
from scnas_keras.progress import bar, clock
from scnas_keras.runs.checkpoint_files import CHECKPOINT, CheckpointFolder
from scnas_keras.runs.child import cause, run_child
from scnas_keras.runs.recorded import read_recorded
from scnas_keras.runs.run_folder import CASES, FLAGS, SUMMARY, SURFACES, RunFolder, is_busy
from scnas_keras.select.names import DICE, NSD

_LOOK_EVERY = 1.0  # seconds
_TAIL = 4000  # bytes of a log in which its last line is looked for


@dataclasses.dataclass(frozen=True)
class _Result:
    mean_dice: float | None
    dice: dict[str, float | None]
    parameters: int
    multiply_adds: int
    seconds_per_step: float | None
    seconds_per_scan: float | None
    updates: int
    nsd: dict[str, float | None] | None = None
    mean_nsd: float | None = None
    mean_hd95_mm: float | None = None
    length_unit: str | None = None
    surface_seconds_per_scan: float | None = None


@dataclasses.dataclass(frozen=True)
class _Flags:
    budget_minutes: float | None  # a worker's first run, which tells how fast its machine is, has none


@dataclasses.dataclass(frozen=True)
class _Summary:
    """What is read of a training's summary.json."""

    flags: _Flags
    result: _Result


@dataclasses.dataclass(frozen=True)
class Trained:
    """What a training run left.

    Attributes:
        folder: its run folder.
        dice: class -> mean Dice over the judged scans; None for a class that none of them has.
        mean_dice: of the classes; None if no scan has any.
        nsd, mean_nsd, mean_hd95_mm, length_unit, surface_seconds_per_scan: of surfaces, as those of Dice; None where they weren't
            measured.
        cases: case -> class -> Dice, classes left out that a case hasn't.
        surfaces: case -> class -> distances between surfaces; empty where they weren't measured.
        parameters, multiply_adds: of the network; the latter for a patch.
        seconds_per_step, seconds_per_scan: as measured; None where nothing could be.
        updates: of the weights.
        seconds: that it trained; on a slower machine longer.
    """

    folder: pathlib.Path
    dice: Mapping[str, float | None]
    mean_dice: float | None
    nsd: Mapping[str, float | None] | None
    mean_nsd: float | None
    mean_hd95_mm: float | None
    length_unit: str | None
    surface_seconds_per_scan: float | None
    cases: Mapping[str, Mapping[str, float]]
    surfaces: Mapping[str, Mapping[str, Surfaces]]
    parameters: int
    multiply_adds: int
    seconds_per_step: float | None
    seconds_per_scan: float | None
    updates: int
    seconds: float

    def score(self, objective: str) -> float | None:
        """The number that a race compares."""
        if objective == NSD:
            return self.mean_nsd
        return self.mean_dice if objective == DICE else self.dice[objective]

    def compared(self, objective: str) -> Mapping[str, Mapping[str, float]]:
        """Case -> class -> what finals are compared by, classes left out that a case hasn't."""
        return of_measure(self.surfaces, NSD) if objective == NSD else self.cases


@dataclasses.dataclass(frozen=True)
class Failure:
    """Why a training run or search came to nothing, in a line."""

    reason: str


def run(command: str, config: Any, title: str, expected: float) -> Failure | None:
    """Runs a command in its run folder to its end, or goes on with it; None if it left its result.

    What it prints goes to FOLDER.log.

    Args:
        command: "retrain" or "search".
        config: its flags.
        title: of the line that shows how far it is.
        expected: seconds that it is going to take.

    Raises:
        SystemExit: a signal came and the run is saved.
        OutputError: a file can't be written, for which no candidate can be blamed.
    """
    folder = pathlib.Path(config.workdir)
    log = folder.with_name(f"{folder.name}.log")
    with writing(log):
        folder.parent.mkdir(parents=True, exist_ok=True)
        log.touch()
    wait_for(folder)
    if (folder / SUMMARY).is_file():  # by the process that was there
        return None
    _clear(folder, config)
    logging.info("%s, about %s; what it prints is in %s", title, clock(expected), log)
    shown = bar(title, round(expected), bar_format="{desc} {bar:20} {postfix}")
    began = time.monotonic()

    def watch() -> None:
        gone = time.monotonic() - began
        shown.n = min(round(gone), shown.total)
        shown.set_postfix_str(f"left {clock(max(0, expected - gone))}  {last_line(log)}")

    with shown, open(log, "ab") as output:
        try:
            code = run_child(command, config, output, watch)
            if code == -signal.SIGKILL:  # perhaps for what another program took of the memory
                logging.warning("%s: its process was killed; it goes on, once", title)
                code = run_child(command, config, output, watch)
        except SystemExit:
            logging.warning("%s: stopped; the same command goes on from what was saved", title)
            raise
    if code == CANT_WRITE:
        raise OutputError(f"{last_line(log).removeprefix('error: ')} (from {log})")
    if code:
        said = last_line(log)
        return Failure(cause(code) + (f": {said.removeprefix('error: ')}" if said.startswith("error: ") else ""))
    return None if (folder / SUMMARY).is_file() else Failure(f"it left no {SUMMARY}; see {log}")


def _clear(folder: pathlib.Path, config: Any) -> None:
    """Removes what can't be gone on with: of a machine of another speed, whose training run was to last otherwise; damaged checkpoints."""
    if not (folder / FLAGS).is_file():
        return
    with contextlib.suppress(ConfigError):  # which the command tells
        there = read_recorded(type(config), folder / FLAGS).config.budget_minutes
        reason = None
        if there != config.budget_minutes:
            reason = f"it had been begun for {there} minutes and has {config.budget_minutes} here"
        elif _damaged(folder):
            reason = "none of its checkpoints can be read"
        if reason:
            logging.warning("%s: begins anew, since %s", folder, reason)
            run = RunFolder(folder, None, time.time())
            run.lock()
            shutil.rmtree(folder)
            run.release()


def _damaged(folder: pathlib.Path) -> bool:
    try:
        CheckpointFolder(folder / CHECKPOINT).read()
    except DataError:
        return True
    return False


def wait_for(folder: pathlib.Path) -> None:
    """Waits while a process runs in a folder, such as one that still saves what a selection that was killed had begun."""
    told = False
    while is_busy(folder):
        if not told:
            logging.info("waiting for the process that is still at work in %s", folder)
        told = True
        time.sleep(_LOOK_EVERY)


def result_of(folder: pathlib.Path) -> Trained | None:
    """What a training run left in its folder; None if it hasn't finished.

    Raises:
        ConfigError: a file of it is damaged.
    """
    if not (folder / SUMMARY).is_file():
        return None
    remedy = f"Restore it from a copy, or delete {folder} to train again."
    found = decode(parse(folder / SUMMARY, remedy, ConfigError), _Summary, folder / SUMMARY, remedy, ConfigError, other_keys=True)
    tables = {"cases": read_case_table(folder / CASES, remedy), "surfaces": read_surface_table(folder / SURFACES, remedy)}
    return Trained(folder=folder, seconds=round(60 * (found.flags.budget_minutes or 0.0), 1), **tables, **dataclasses.asdict(found.result))


def complete(result: Trained | None, judged: Sequence[str]) -> Trained | None:
    """The result, whose table has to be of all scans that judge it.

    Raises:
        ConfigError: it is of others, or of some of them.
    """
    if result and (others := sorted({*result.cases} ^ {*judged})):
        raise ConfigError(
            f"{result.folder / CASES}: isn't of the {len(judged)} scans that judge it ({some_of(others)}). Restore it from a copy, or "
            f"delete {result.folder} to train again."
        )
    return result


def last_line(log: pathlib.Path) -> str:
    """The last line of text in a log, cut to what fits beside a bar."""
    try:
        with open(log, "rb") as stream:
            stream.seek(max(0, os.fstat(stream.fileno()).st_size - _TAIL))
            lines = stream.read().decode("utf-8", "replace").replace("\r", "\n").splitlines()
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
