"""Runs of commands one after the other, each a process and a folder of its own."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from absl import logging

from scnas_keras.errors import ChildError
from scnas_keras.runs.child import cause, run_child


@dataclasses.dataclass(frozen=True)
class ChildRun:
    """A run to be done.

    Attributes:
        name: what tells it from the others.
        command: such as "retrain".
        config: its flags, `workdir` among them.
        finished: whether it has been done, asked when its turn comes.
    """

    name: str
    command: str
    config: Any
    finished: Callable[[], bool]


def run_in_turn(kind: str, runs: Sequence[ChildRun], after: Callable[[], Any] = lambda: None) -> None:
    """Runs what isn't finished, in this order; what was interrupted goes on.

    Args:
        kind: what a run is called, "search".
        runs: the runs.
        after: called after each that was run.

    Raises:
        ChildError: one failed; its own messages say why.
        SystemExit: a signal came and the run at work is saved.
    """
    for number, run in enumerate(runs, start=1):
        place = f"{kind} {number} of {len(runs)}: {run.name}"
        if run.finished():
            logging.info("%s was finished before", place)
            continue
        logging.info("%s, in %s", place, run.config.workdir)
        if code := run_child(run.command, run.config):
            raise ChildError(
                f"the {kind} of {run.name} {cause(code)}; see above. Finished ones are kept, and the same command goes on after them.", code
            )
        after()
