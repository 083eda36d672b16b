"""Worker processes that are each given one case at a time, so that a process that dies tells which case it was at."""

import contextlib
import dataclasses
import multiprocessing
import multiprocessing.connection
import multiprocessing.process
import pickle
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker

from scnas_keras.errors import ConfigError, DataError, OutputError
from scnas_keras.interruption import SIGNALS
from scnas_keras.tasks.cases import Case

DONE, FAILED, NO_MEMORY, BUG, DIED = "done", "failed", "no memory", "bug", "died"
_READY = "ready"
_SECONDS_TO_END = 10.0


def outcome_of(function: Callable[[Case], object], case: Case) -> tuple[str, object]:
    """Calls `function`: how that went, and its result, what is wrong with the case, or the exception that is a bug."""
    try:
        return DONE, function(case)
    except (DataError, OutputError) as error:
        return FAILED, str(error)
    except OSError as error:
        return FAILED, f"{case.images[0]}: {type(error).__name__}: {error}"
    except MemoryError as error:
        return NO_MEMORY, str(error) or "MemoryError"
    except Exception as error:  # noqa: BLE001  raised again by the caller, in the parent process
        return BUG, error


@dataclasses.dataclass(eq=False)
class Worker:
    """A process, this end of its pipe, and the case it's at. `ready` once it has started up."""

    process: multiprocessing.process.BaseProcess
    pipe: multiprocessing.connection.Connection
    case: Case
    ready: bool = False


class WorkerPool:
    """Spawned processes that call `function`; a context manager at whose end they are gone.

    Attributes:
        busy: the workers at work.
    """

    def __init__(self, function: Callable[[Case], object]):
        self._function = function
        self._idle: list[Worker] = []
        self.busy: list[Worker] = []

    def __enter__(self) -> "WorkerPool":
        return self

    def __exit__(self, *error: object) -> None:
        workers = self.busy + self._idle
        for worker in self.busy:
            worker.process.terminate()
        for worker in workers:
            worker.pipe.close()
        for worker in workers:
            worker.process.join(_SECONDS_TO_END)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()

    def start(self, case: Case) -> None:
        """Spawns a worker and gives it its first case."""
        context = multiprocessing.get_context("spawn")
        pipe, other_end = context.Pipe()
        process = context.Process(target=_serve, args=(other_end, self._function), daemon=True)
        with _no_signal_inherited():
            process.start()
        other_end.close()  # so that this end sees when the worker's is gone
        worker = Worker(process, pipe, case)
        self.busy.append(worker)
        self.give(worker, case)

    def give(self, worker: Worker, case: Case) -> None:
        """Gives a worker that has answered its next case."""
        worker.case = case
        with contextlib.suppress(OSError):  # it has died meanwhile, which `next_outcome` tells
            worker.pipe.send(case)

    def dismiss(self, worker: Worker) -> None:
        """Lets a worker that has answered end: its pipe is at an end."""
        worker.pipe.close()
        self.busy.remove(worker)
        self._idle.append(worker)

    def next_outcome(self) -> tuple[Worker, str, object]:
        """Waits for one of the busy workers: it and its outcome. If it DIED, with an exit code, it isn't busy any more.

        Raises:
            ConfigError: a worker couldn't even start.
        """
        while True:
            handles = {handle: worker for worker in self.busy for handle in (worker.pipe, worker.process.sentinel)}
            for worker in {handles[handle]: None for handle in multiprocessing.connection.wait(list(handles))}:
                message = _receive(worker)
                if message is None:
                    return worker, DIED, self._bury(worker)
                if message[0] != _READY:
                    return worker, *message
                worker.ready = True

    def _bury(self, worker: Worker) -> int:
        worker.process.join()
        self.busy.remove(worker)
        self._idle.append(worker)
        if not worker.ready and worker.process.exitcode == 1:
            raise ConfigError(
                "A worker process could not start; its own message stands above. In a script of your own "
                'put what calls this under if __name__ == "__main__":, as Python\'s worker processes '
                "demand, or work in this process with --processes=1."
            )
        return worker.process.exitcode


def _receive(worker: Worker) -> tuple | None:
    """What the worker sent, or None if it's dead. A worker may die after its answer: that still counts."""
    try:
        return worker.pipe.recv() if worker.pipe.poll() else None
    except (EOFError, OSError):
        return None


@contextlib.contextmanager
def _no_signal_inherited() -> Iterator[None]:
    """Processes that start meanwhile hold back the signals that are for the parent, until they have handlers."""
    resource_tracker.ensure_running()  # by itself it would let them through again
    held = set(SIGNALS) - {signal.SIGTERM}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, held)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(pipe: multiprocessing.connection.Connection, function: Callable[[Case], object]) -> None:
    """What a worker process does: answers cases until the other end is closed."""
    for sent in SIGNALS:  # Ctrl+C and its like reach all; the parent decides
        signal.signal(sent, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # lets `finally` tidy up
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        pipe.send((_READY,))
        while True:
            pipe.send(_portable(*outcome_of(function, pipe.recv())))


def _portable(kind: str, value: object) -> tuple[str, object]:
    """Something that can be sent. An exception goes with its traceback, which pickling drops."""
    if kind == BUG:
        text = "".join(traceback.format_exception(value))
        value.add_note(f"In a worker process:\n{text}")
    try:
        pickle.loads(pickle.dumps(value))
        return kind, value
    except Exception as error:  # noqa: BLE001  whatever pickling raises
        text = text if kind == BUG else f"A worker's result can't be sent: {error}"
        return BUG, RuntimeError(text)
