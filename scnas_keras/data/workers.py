"""Runs a function over the cases of a task in several processes."""

import concurrent.futures
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import psutil
import tqdm

from scnas_keras.data.tasks import Case
from scnas_keras.errors import DataError

MAX_LISTED = 10
_Result = TypeVar("_Result")


def map_cases(function: Callable[[Case], _Result], cases: Sequence[Case], title: str, bytes_per_case: int,
                      processes: int | None = None, progress: bool = True) -> list[_Result]:
    """Calls `function` on every case, also after one of them has failed.

    Args:
        function: importable by name (worker processes are spawned, since a forked TensorFlow hangs).
        cases: what to call it on.
        title: shown before the progress bar.
        bytes_per_case: memory that one call needs at its peak.
        processes: number of workers; by default as many as CPU and free memory allow. 1 works in this process.
        progress: whether to show a progress bar on stderr.

    Returns:
        The results in the order of the cases.

    Raises:
        DataError: after all cases are through, if some failed; it lists up to 10 of them.
    """
    processes = min(processes or _fitting(bytes_per_case), len(cases))
    results, problems = {}, {}
    outcomes = _serial(function, cases) if processes <= 1 else _parallel(function, cases, processes)
    for name, result, problem in tqdm.tqdm(outcomes, title, len(cases), disable=not progress or not cases, unit="case"):
        if problem is None:
            results[name] = result
        else:
            problems[name] = problem
    if problems:
        listed = [f"  {name}: {problems[name]}" for name in sorted(problems)[:MAX_LISTED]]
        more = [f"  and {len(problems) - MAX_LISTED} more"] if len(problems) > MAX_LISTED else []
        raise DataError("\n".join([f"{title}: {len(problems)} of {len(cases)} cases failed, the others are done:",
                                   *listed, *more]))
    return [results[case.name] for case in cases]


def _fitting(bytes_per_case: int) -> int:
    """The number of workers that CPU and free memory allow, leaving a quarter of the memory to others."""
    by_memory = int(0.75 * psutil.virtual_memory().available / max(bytes_per_case, 1))
    return max(1, min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(), by_memory))


def _outcome(function: Callable, case: Case) -> tuple[str, object, str | None]:
    try:
        return case.name, function(case), None
    except DataError as error:
        return case.name, None, str(error)
    except (OSError, MemoryError) as error:
        return case.name, None, f"{case.images[0]}: {type(error).__name__}: {error}"


def _serial(function: Callable, cases: Sequence[Case]) -> Iterator[tuple]:
    return (_outcome(function, case) for case in cases)


def _parallel(function: Callable, cases: Sequence[Case], processes: int) -> Iterator[tuple]:
    pool = concurrent.futures.ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"))
    try:
        futures = [pool.submit(_outcome, function, case) for case in cases]
        for future in concurrent.futures.as_completed(futures):
            yield future.result()
    except concurrent.futures.process.BrokenProcessPool as error:
        raise DataError(f"A worker process was killed, most likely because memory ran out with {processes} workers. "
                        "What is finished is kept: start again with fewer processes (--processes=1). In a script of your "
                        "own, put the call under if __name__ == \"__main__\":, as Python's worker processes demand.") from error
    finally:
        pool.shutdown(cancel_futures=True)
