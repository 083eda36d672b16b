"""Stopping when asked to: SIGTERM, which schedulers and `docker stop` send before they kill."""

import signal
import threading

EXIT_CODE = 128 + signal.SIGTERM


class Interruption:
    """While entered, SIGTERM only sets `asked`; whoever runs looks at it where the run can be saved."""

    def __init__(self):
        self.asked, self._before = False, None

    def __enter__(self) -> "Interruption":
        if threading.current_thread() is threading.main_thread():  # Python sets handlers from no other
            self._before = signal.signal(signal.SIGTERM, self._ask)
        return self

    def __exit__(self, *error) -> None:
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)

    def _ask(self, number, frame) -> None:
        self.asked = True
