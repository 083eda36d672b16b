"""RUN/log.txt: every line that a command logs, with dates; those from before there was a folder too."""

import collections
import contextlib
import logging as standard_logging
import pathlib

from absl import logging

_MOST = 10**4
"""Lines that are kept until there is a file."""
_LINE = standard_logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%d %H:%M:%S")


class _File(standard_logging.FileHandler):
    def handleError(self, record: standard_logging.LogRecord) -> None:
        """A full disk is reported by whatever else is written; the log isn't worth a run."""


class _Lines(standard_logging.Handler):
    """Keeps lines until there is a file for them, and from then on passes them on at once."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: collections.deque[standard_logging.LogRecord] = collections.deque(maxlen=_MOST)
        self.file: _File | None = None

    def emit(self, record: standard_logging.LogRecord) -> None:
        if self.file is None:
            self.kept.append(record)
        else:
            self.file.handle(record)


_lines = _Lines()


def collect_lines() -> None:
    """From now on lines are kept for the file that is going to be named."""
    close_log()
    _lines.kept.clear()
    logging.get_absl_logger().addHandler(_lines)


def keep_log(file: pathlib.Path) -> None:
    """Adds the lines to a file's end: those that were kept, and all that come until it is closed."""
    close_log()
    logging.get_absl_logger().addHandler(_lines)
    with contextlib.suppress(OSError):
        _lines.file = _File(file, encoding="utf-8")
        _lines.file.setFormatter(_LINE)
        while _lines.kept:
            _lines.file.handle(_lines.kept.popleft())


def note(text: str) -> None:
    """Adds a line to the file, if there is one, that is shown otherwise than by logging."""
    if _lines.file is not None:
        _lines.file.handle(standard_logging.LogRecord("scnas_keras", standard_logging.ERROR, "", 0, text, None, None))


def close_log() -> None:
    """Closes the file, if there is one."""
    if _lines.file is not None:
        with contextlib.suppress(OSError):
            _lines.file.close()
        _lines.file = None
