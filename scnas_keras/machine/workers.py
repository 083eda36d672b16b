"""Runs a function over the cases of a task in several processes, and survives that some of them are killed."""

import contextlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from scnas_keras.errors import ConfigError, DataError
from scnas_keras.machine.memory import available_memory, usable_cpus
from scnas_keras.machine.worker_process import DIED, DONE, FAILED, NO_MEMORY, WorkerPool, outcome_of
from scnas_keras.progress import each
from scnas_keras.tasks.cases import Case

MAX_LISTED = 10
BYTES_PER_PROCESS = 300_000_000
_MEMORY_SHARE = 0.75
_Result = TypeVar("_Result")
_Outcome = tuple[Case, str, object]


def map_cases(
    function: Callable[[Case], _Result],
    cases: Sequence[Case],
    title: str,
    bytes_per_case: int,
    processes: int | None = None,
    progress: bool = True,
    on_failure: Callable[[Case, str], _Result] | None = None,
) -> list[_Result]:
    """Calls `function` on every case, also after one of them has failed.

    Where memory runs out, a worker process is killed by the kernel or meets a MemoryError. Its case waits until all
    others are through, and is then tried once more in a process of its own with nothing beside it.

    Args:
        function: importable by name (worker processes are spawned, since a forked TensorFlow hangs).
        cases: what to call it on.
        title: shown before the progress bar.
        bytes_per_case: memory that one call needs at its peak, for the largest case.
        processes: number of worker processes; by default as many as cores and free memory allow. 1 works in this one.
        progress: whether to show a progress bar on stderr.
        on_failure: makes the result of a failed case from what went wrong with it, so that nothing is raised.

    Returns:
        The results in the order of the cases.

    Raises:
        ConfigError: fewer than one process.
        DataError: after all cases are through, if some failed; it lists up to 10 of them. Any other error of `function`
            is a bug and ends the work at once.
    """
    if processes is not None and processes < 1:
        raise ConfigError(f"--processes={processes} must be at least 1.")
    if processes == 1 or not cases:
        outcomes = ((case, *outcome_of(function, case)) for case in cases)
    else:
        count = min(processes or fitting_processes(bytes_per_case), len(cases))
        outcomes = _parallel(function, cases, count)
    results, problems = {}, {}
    with contextlib.closing(outcomes):
        for case, kind, value in each(outcomes, title, len(cases)) if progress else outcomes:
            if kind == DONE:
                results[case.name] = value
            elif kind == FAILED:
                problems[case.name] = value
            elif kind in (NO_MEMORY, DIED):
                problems[case.name] = _memory_problem(case, kind, value, bytes_per_case)
            else:
                raise value
    if on_failure:
        by_name = {case.name: case for case in cases}
        results |= {name: on_failure(by_name[name], problem) for name, problem in problems.items()}
    elif problems:
        listed = [f"  {name}: {problems[name]}" for name in sorted(problems)[:MAX_LISTED]]
        more = [f"  and {len(problems) - MAX_LISTED} more"] if len(problems) > MAX_LISTED else []
        raise DataError("\n".join([f"{title}: {len(problems)} of {len(cases)} cases failed, the others are done:", *listed, *more]))
    return [results[case.name] for case in cases]


def fitting_processes(bytes_per_case: int) -> int:
    """The number of workers that cores and free memory allow, leaving a quarter of the memory to others; at least 1."""
    by_memory = int(_MEMORY_SHARE * available_memory() / (bytes_per_case + BYTES_PER_PROCESS))
    return max(1, min(usable_cpus(), by_memory))


def _parallel(function: Callable, cases: Sequence[Case], processes: int) -> Iterator[_Outcome]:
    """Outcomes as they come; those of cases that lacked memory at first come last."""
    waiting, suspects = deque(cases), []
    with WorkerPool(function) as pool:
        for _ in range(processes):
            pool.start(waiting.popleft())
        while pool.busy:
            worker, kind, value = pool.next_outcome()
            if kind in (NO_MEMORY, DIED):
                suspects.append(worker.case)
            else:
                yield worker.case, kind, value
            if kind == DIED:
                if waiting and not pool.busy:  # while others work, the memory that it lacked is better left free
                    pool.start(waiting.popleft())
            elif waiting:
                pool.give(worker, waiting.popleft())
            else:
                pool.dismiss(worker)
    for case in suspects:
        with WorkerPool(function) as pool:
            pool.start(case)
            _, kind, value = pool.next_outcome()
        yield case, kind, value


def _memory_problem(case: Case, kind: str, value: object, bytes_per_case: int) -> str:
    needed, free = bytes_per_case + BYTES_PER_PROCESS, available_memory()
    what = f"the process at work on it was killed (exit code {value})" if kind == DIED else f"memory ran out ({value})"
    cause = "Most likely this machine is too small" if needed > free else "It may need more than was estimated, or its files may be damaged"
    return (
        f"{case.images[0]}: {what}, also with nothing beside it. {cause}: a case of this task needs up to about "
        f"{needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free. Close other "
        "programs, give the container or job more memory, choose a coarser --spacing, or take the case out of "
        "dataset.json."
    )
