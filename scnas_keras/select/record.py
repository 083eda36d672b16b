"""race.json: what a selection has decided so far, so that the same command goes on there. Written whole after every change.

What a training run found is in its own run folder; here is what no folder tells: which candidates there are, how long the trials of a begun
rung train, which failed and why, and how much time is gone.
"""

import dataclasses
import pathlib
import time

from scnas_keras import __version__
from scnas_keras.documents import load
from scnas_keras.errors import ConfigError
from scnas_keras.files import readable_json, write_text
from scnas_keras.select.candidate import Candidate

FILE = "race.json"
VERSION = __version__
_EVERY = 5.0  # seconds between savings of the time that is gone
_REMEDY = "Restore it from a copy, or name another --workdir."


@dataclasses.dataclass(frozen=True)
class Decided:
    """The document.

    Attributes:
        spent: seconds that the selection has run.
        overhead: seconds that trials took besides those that they trained for, by trial.
        search: seconds of the search that the selection makes; None before it is planned.
        candidates: of the race, the default network first.
        race_until: seconds that may be gone when the race is over.
        rungs: seconds that each trial trains, of the rungs that have begun.
        first_seen: what the default network's first trial showed has been looked at.
        failed: why, by trial.
        final: seconds that each of the finals trains; None before the race is over.
        machines: seconds of a step of the default network, by worker; the first is what others are compared with.
        ran_on: the worker that had each training run last.
        version: of scnas_keras.
    """

    spent: float = 0.0
    overhead: dict[str, float] = dataclasses.field(default_factory=dict)
    search: float | None = None
    candidates: tuple[Candidate, ...] = ()
    race_until: float | None = None
    rungs: tuple[float, ...] = ()
    first_seen: bool = False
    failed: dict[str, str] = dataclasses.field(default_factory=dict)
    final: float | None = None
    machines: dict[str, float] = dataclasses.field(default_factory=dict)
    ran_on: dict[str, str] = dataclasses.field(default_factory=dict)
    version: str = ""


def read_decided(folder: pathlib.Path) -> Decided:
    """What a selection's folder tells; ConfigError if the file is damaged."""
    return load(folder / FILE, Decided, _REMEDY, ConfigError)


class Record:
    """The file, and the clock of the selection, which counts the time of all processes that were at it.

    Args:
        folder: of the selection.
        began: when this process did, `time.monotonic()`.
    """

    def __init__(self, folder: pathlib.Path, began: float):
        self.path = folder / FILE
        self.decided = read_decided(folder) if self.path.is_file() else Decided()
        self._before, self._began, self._saved = self.decided.spent, began, began

    @property
    def spent(self) -> float:
        """Seconds."""
        return self._before + time.monotonic() - self._began

    def decide(self, **changes) -> Decided:
        """Changes fields of the document and saves it."""
        self._saved = time.monotonic()
        self.decided = dataclasses.replace(self.decided, **changes, spent=round(self.spent, 1), version=VERSION)
        write_text(self.path, readable_json(dataclasses.asdict(self.decided)))
        return self.decided

    def tick(self) -> None:
        """Saves the time that is gone, now and then."""
        if time.monotonic() - self._saved >= _EVERY:
            self.decide()
