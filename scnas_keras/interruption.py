"""Stopping when asked to: by Ctrl-C, and by what schedulers, `docker stop` and closed terminals send before they kill."""

import contextlib
import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator

SIGNALS = tuple(getattr(signal.Signals, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1") if hasattr(signal.Signals, name))
"""Ctrl-C; the usual request to end; the terminal is gone; a cluster's warning."""

PARENT = "SCNAS_KERAS_PARENT"
"""The environment variable that holds the number of a process that another is not to outlive."""


class Stopped(BaseException):
    """A signal asks this process to end. Like KeyboardInterrupt it isn't an Exception, so that nothing takes it for a failure."""

    def __init__(self, sent: signal.Signals):
        super().__init__(f"stopped by {sent.name}")
        self.code = exit_code(sent)


def exit_code(sent: signal.Signals) -> int:
    """What a process ends with that a signal stopped, as shells count it."""
    return 128 + sent


def end_with_parent() -> None:
    """Asks Linux to send this process SIGTERM when the one in PARENT dies, so that a command that is killed leaves none behind.

    Here, and not between fork and exec, where the threads of a parent's libraries (gRPC) may have left anything.
    """
    parent = os.environ.pop(PARENT, None)
    if parent is None or sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGTERM)
    if str(os.getppid()) != parent:  # it died meanwhile
        os.kill(os.getpid(), signal.SIGTERM)


@contextlib.contextmanager
def stopping() -> Iterator[None]:
    """While entered, the signals raise Stopped."""

    def stop(number, frame):
        raise Stopped(signal.Signals(number))

    with _handled_by(stop):
        yield


class Interruption:
    """While entered, the first of the signals only sets `asked`; whoever runs looks at it where the run can be saved.

    A second Ctrl-C raises Stopped.
    """

    def __init__(self):
        self.asked: signal.Signals | None = None
        self._handled = contextlib.ExitStack()

    def __enter__(self) -> "Interruption":
        self._handled.enter_context(_handled_by(self._ask))
        return self

    def __exit__(self, *error) -> None:
        self._handled.close()

    def _ask(self, number, frame) -> None:
        if self.asked and number == signal.SIGINT:
            raise Stopped(signal.SIGINT)
        self.asked = self.asked or signal.Signals(number)


@contextlib.contextmanager
def _handled_by(handler: Callable | signal.Handlers) -> Iterator[None]:
    """Sets the signals' handler, but of those that are ignored, as nohup has it and shells for what runs in the background."""
    before = {}
    if threading.current_thread() is threading.main_thread():  # Python sets handlers from no other
        before = {sent: own for sent in SIGNALS if (own := signal.getsignal(sent)) not in (signal.SIG_IGN, None)}
    try:
        for sent in before:
            signal.signal(sent, handler)
        yield
    finally:
        for sent, former in before.items():
            signal.signal(sent, former)
