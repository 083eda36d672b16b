"""Runs the rows of a benchmark, each in a process of its own, so that its peak memory is its own."""

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from scnas_keras.errors import ConfigError
from scnas_keras.machine.peak_memory import peak_bytes


def run_rows(benchmark: str, rows: Sequence[str]) -> list[dict[str, Any]]:
    """The results of a benchmark's rows, one after the other; a row's process prints its own as JSON (see `print_result`)."""
    results = []
    for row in rows:
        print(f"running {row} ...", file=sys.stderr, flush=True)
        done = subprocess.run([sys.executable, sys.argv[0], benchmark, *sys.argv[1:], f"--row={row}"], stdout=subprocess.PIPE, text=True)
        if done.returncode:
            raise ConfigError(f"{row}: the process ended with exit code {done.returncode} (-9: out of memory).")
        results.append(json.loads(done.stdout.splitlines()[-1]))
    return results


def print_result(row: str, figures: dict[str, Any]) -> None:
    """Hands a row's figures to the process that asked for it, with this process' peak memory."""
    print(json.dumps({"name": row, **figures, "peak_bytes": peak_bytes()}))


def check_rows(wanted: str | None, known: Sequence[str]) -> list[str]:
    """The rows that a flag names, or all; ConfigError for an unknown one."""
    rows = wanted.split(",") if wanted else list(known)
    unknown = sorted(set(rows) - set(known))
    if unknown:
        raise ConfigError(f"--rows: unknown {', '.join(unknown)}; known are {', '.join(known)}.")
    return rows
