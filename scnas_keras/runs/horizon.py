"""How far a run has come, in epochs or in wall time."""

import dataclasses
import time


@dataclasses.dataclass
class Horizon:
    """The end of a run: a number of epochs, or a time.

    Schedules are functions of `fraction`, so that they complete either way.

    Attributes:
        epochs: planned epochs; ignored if there is a budget.
        budget_seconds: wall time of the whole run, or None.
        started: when the run began, `time.monotonic()`.
        done: epochs finished.
    """

    epochs: int
    budget_seconds: float | None = None
    started: float = dataclasses.field(default_factory=time.monotonic)
    done: int = 0
    _first: float | None = None
    _marked: float | None = None

    def begin(self) -> None:
        """Marks the beginning of the first epoch: what came before (reading data) is not part of any schedule."""
        if self._first is None:
            self._first = time.monotonic()

    @property
    def spent(self) -> tuple[float, float]:
        """Seconds before the first epoch, and since its beginning."""
        return self._first - self.started, time.monotonic() - self._first

    def mark(self, seconds_before: float, seconds_since: float) -> None:
        """Sets the clock to what `spent` said, here or on another host, and stops it until the next mark.

        All hosts of a run mark the same values, so that schedules by wall time agree.
        """
        self._marked = time.monotonic()
        self._first = self._marked - seconds_since
        self.started = self._first - seconds_before

    @property
    def state(self) -> dict[str, float]:
        """Epochs done and seconds spent; setting it takes up a run that had come so far."""
        before, since = self.spent
        return {"done": self.done, "seconds_before": before, "seconds_since": since}

    @state.setter
    def state(self, state: dict[str, float]) -> None:
        self.done = state["done"]
        self.mark(state["seconds_before"], state["seconds_since"])

    @property
    def fraction(self) -> float:
        """Finished share of the run, 0 to 1."""
        if self.budget_seconds is None:
            return min(1.0, self.done / self.epochs)
        total = max(1e-9, self.budget_seconds - (self._first - self.started))
        return min(1.0, (self._now - self._first) / total)

    @property
    def over(self) -> bool:
        """Whether nothing is left to do: the time is up, or all epochs are done."""
        if self.budget_seconds is None:
            return self.done >= self.epochs
        return self._now - self.started >= self.budget_seconds

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
            return max(0.0, self.budget_seconds - (self._now - self.started))
        spent = self._now - self._first
        return spent * (self.epochs - self.done) / self.done if self.done else float("nan")

    @property
    def _now(self) -> float:
        return time.monotonic() if self._marked is None else self._marked


def clock(seconds: float) -> str:
    """A duration for people: 1:02:03, 4:05."""
    if seconds != seconds:
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
