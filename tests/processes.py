"""Processes that tests start; what they write is kept, as text."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PYTHON = sys.executable


def with_package(**more: str) -> dict[str, str]:
    """This process' environment, in which Python finds this checkout's package from any folder."""
    return {**os.environ, "PYTHONPATH": str(ROOT), **more}


def start(*words, **options) -> subprocess.Popen:
    """Starts a process."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([str(word) for word in words], **pipes, encoding="utf-8", errors="replace", **options)


def run(*words, code: int = 0, timeout: float | None = None, **options) -> subprocess.CompletedProcess:
    """Runs a process to its end, which must have `code`."""
    with start(*words, **options) as process:
        try:
            output, errors = process.communicate(timeout=timeout)
        except BaseException:
            process.kill()
            raise
    assert process.returncode == code, output[-1000:] + errors[-3000:]
    return subprocess.CompletedProcess(process.args, code, output, errors)
