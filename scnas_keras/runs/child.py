"""A command as a process of its own: its memory is its own, and it doesn't outlive the process that began it."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import IO, Any

from scnas_keras.console import is_quiet
from scnas_keras.errors import CANT_WRITE
from scnas_keras.interruption import PARENT, SIGNALS, Interruption, Stopped, exit_code
from scnas_keras.options import to_flagfile

_LOOK_EVERY = 0.5  # seconds


def run_child(command: str, config: Any, output: IO | None = None, watch: Callable[[], None] | None = None) -> int:
    """Runs a command to its end and returns its exit code, which is negative for a signal that killed it.

    Args:
        command: its name, such as "retrain".
        config: its flags.
        output: where what it prints goes; None for where this process prints.
        watch: called while it runs, some twice a second.

    Raises:
        SystemExit: a signal came to this process or to the other, which has ended. If it couldn't write what it was to save, its code
            is returned.
    """
    arguments = [sys.executable, "-m", f"scnas_keras.{command}", *to_flagfile(config).splitlines(), *(["--quiet"] if is_quiet() else [])]
    with Interruption() as interruption:
        child = subprocess.Popen(arguments, env=os.environ | {PARENT: str(os.getpid())}, stdout=output, stderr=output)
        try:
            code = _wait(child, interruption, watch)
        except Stopped:
            child.wait()  # it has had the same signal
            raise
        except BaseException:
            child.terminate()
            child.wait()
            raise
    by_signal = next((sent for sent in SIGNALS if code in (exit_code(sent), -sent)), None)
    if by_signal or (interruption.asked and code != CANT_WRITE):
        raise SystemExit(exit_code(interruption.asked or by_signal))
    return code


def cause(code: int) -> str:
    """An exit code in words."""
    killed = " (it was killed: often for lack of memory)" if code == -signal.SIGKILL else ""
    return f"ended with code {code}{killed}"


def _wait(child: subprocess.Popen, interruption: Interruption, watch: Callable[[], None] | None) -> int:
    """The child's exit code. It is told to save as well: always by SIGTERM, since Ctrl-C has reached it, and twice would end it at once."""
    passed_on = False
    while True:
        try:
            return child.wait(timeout=_LOOK_EVERY)
        except subprocess.TimeoutExpired:
            if interruption.asked and not passed_on:
                child.send_signal(signal.SIGTERM)
                passed_on = True
        if watch:
            watch()
