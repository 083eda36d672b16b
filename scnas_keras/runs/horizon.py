"""How far a run has come, in epochs or in wall time."""

import contextlib
import dataclasses
import time
from collections.abc import Iterator
from typing import TypedDict

from scnas_keras.documents.ranges import Counter, Seconds

BUDGET_STEPS = 50
"""Steps an epoch at most where a run ends by wall time, so that what is shown and saved isn't rare."""


def steps_shown(steps: int, budget_minutes: float | None) -> int:
    """Steps an epoch: so many, where a run ends by wall time `BUDGET_STEPS` at most."""
    return min(steps, BUDGET_STEPS) if budget_minutes else steps


class HorizonState(TypedDict):
    """Epochs done, and seconds since the first began."""

    done: Counter
    seconds_since: Seconds


@dataclasses.dataclass
class Horizon:
    """The end of a run: a number of epochs, or a time.

    Schedules are functions of `fraction`, so that they complete either way.

    Attributes:
        epochs: planned epochs; ignored if there is a budget.
        budget_seconds: wall time of all epochs, or None; what comes before them doesn't count, and neither does what `paused` encloses.
        done: epochs finished.
        pauses: how often the clock stood still in this process.
    """

    epochs: int
    budget_seconds: float | None = None
    done: int = 0
    pauses: int = 0
    _zero: float | None = None
    _marked: float | None = None

    def begin(self) -> None:
        """Starts the clock, if it doesn't run yet: at the first epoch, or in a resumed run from where it stood."""
        if self._zero is None:
            self._zero = time.monotonic() - (self._marked or 0.0)

    @property
    def spent(self) -> float:
        """Seconds that the clock shows on this host; it runs on."""
        return (self._marked or 0.0) if self._zero is None else time.monotonic() - self._zero

    def mark(self, spent: float) -> None:
        """Sets the clock to what `spent` said, here or on another host; until the next mark, all else here is of that moment.

        All hosts of a run mark the same values, so that schedules by wall time agree.
        """
        self._marked, self._zero = spent, time.monotonic() - spent

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Stops the clock meanwhile; it has begun."""
        shown = self.spent
        yield
        self._zero, self.pauses = time.monotonic() - shown, self.pauses + 1

    @property
    def state(self) -> HorizonState:
        """Epochs done and seconds spent; set before `begin`, it takes up a run that had come so far."""
        return {"done": self.done, "seconds_since": self.spent}

    @state.setter
    def state(self, state: HorizonState) -> None:
        self.done, self._marked = state["done"], state["seconds_since"]

    @property
    def fraction(self) -> float:
        """Finished share of the run, 0 to 1."""
        if self.budget_seconds is None:
            return min(1.0, self.done / self.epochs)
        return min(1.0, self._seconds / self.budget_seconds)

    @property
    def over(self) -> bool:
        """Whether nothing is left to do: the time is up, or all epochs are done."""
        if self.budget_seconds is None:
            return self.done >= self.epochs
        return self._seconds >= self.budget_seconds

    @property
    def planned_epochs(self) -> float:
        """Epochs of the whole run, estimated from those finished if there is a budget."""
        if self.budget_seconds is None:
            return self.epochs
        return self.done / self.fraction if self.done and self.fraction else 1.0

    @property
    def seconds_left(self) -> float:
        """Estimated wall time to the end."""
        if self.budget_seconds is not None:
            return max(0.0, self.budget_seconds - self._seconds)
        return self._seconds * (self.epochs - self.done) / self.done if self.done else float("nan")

    @property
    def _seconds(self) -> float:
        return self.spent if self._marked is None else self._marked
