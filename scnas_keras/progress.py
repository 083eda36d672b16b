"""How far work has come: a bar with the time left on a terminal; elsewhere a line a minute, so that files hold no control characters."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import tqdm
from absl import logging

from scnas_keras.console import is_quiet

T = TypeVar("T")
SILENT = 60.0
"""Seconds between lines where no terminal shows a bar."""


def clock(seconds: float) -> str:
    """A duration for people: 1:02:03, 4:05."""
    if seconds != seconds:
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def bar(title: str, total: float | None = None, shown: bool = True, **options: Any) -> tqdm.tqdm:
    """A bar on stderr that goes when it is closed; nothing without a terminal, or with --quiet. Options are tqdm's."""
    hidden = not shown or is_quiet() or not sys.stderr.isatty()
    return tqdm.tqdm(total=total, desc=title, leave=False, disable=hidden, file=sys.stderr, **options)


class Progress:
    """A bar over a number of things, or, without a terminal, a line a minute.

    Args:
        title: of the work.
        total: how many there are; None if that comes to be known with the first.
        unit: what they are, in the singular.
    """

    def __init__(self, title: str, total: int | None = None, unit: str = "case"):
        self._bar, self._title, self._total, self._unit = bar(title, total, unit=unit), title, total, unit
        self._began = self._told = time.monotonic()

    def to(self, done: int, total: int | None = None) -> None:
        """So many are done."""
        self._total = self._bar.total = total or self._total
        self._bar.update(done - self._bar.n)
        now = time.monotonic()
        if self._bar.disable and now - self._told >= SILENT and done and self._total:
            left = (now - self._began) * (self._total - done) / done
            logging.info("%s: %d of %d %ss, left %s", self._title, done, self._total, self._unit, clock(left))
            self._told = now

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *exception: Any) -> None:
        self._bar.close()


def each(items: Iterable[T], title: str, total: int, unit: str = "case") -> Iterator[T]:
    """The items, with their progress."""
    with Progress(title, total, unit) as progress:
        for done, item in enumerate(items, start=1):
            yield item
            progress.to(done)
