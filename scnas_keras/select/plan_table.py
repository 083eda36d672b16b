"""How the time of a selection is divided, as a table."""

from collections.abc import Sequence

from absl import logging

from scnas_keras.progress import clock
from scnas_keras.reporting.text_table import table
from scnas_keras.select.budget import FINISHING, Budget
from scnas_keras.select.candidate import Candidate


def plan_table(plan: Budget, search: float, racing: Sequence[str], left_out: Sequence[str]) -> list[str]:
    """A line a part of the selection.

    Args:
        plan: of the whole.
        search: seconds of a search that is still to come.
        racing: names, as far as they are known.
        left_out: names that don't fit into the time.
    """
    rows = [("", "training runs", "each trains", "starts and validates", "together")]
    gone = plan.before - search
    if gone >= 1:
        rows.append(("gone", "", "", "", clock(gone)))
    if search:
        rows.append(("search", "1", "", "", clock(search)))
    for number, (count, seconds) in enumerate(zip(plan.trials, plan.race), start=1):
        together = plan.together(count, seconds + plan.overhead.trial)
        rows.append((f"race, rung {number}", f"{count}", clock(seconds), clock(plan.overhead.trial), clock(together)))
    rows.append(("finals", str(plan.finals), clock(plan.final), clock(plan.overhead.final), clock(plan.finals_total)))
    rows.append(("tables and figure", "", "", "", clock(FINISHING)))
    rows.append(("all", "", "", "", clock(plan.before + plan.race_total + plan.finals_total + FINISHING)))
    machines = f" on {plan.machines} machines at a time" if plan.machines > 1 else ""
    lines = [f"{plan.total / 60:g} minutes{machines}, divided:", *table(rows)]
    if racing:
        lines.append(f"racing: {', '.join(racing)}")
    if left_out:
        lines.append(f"left out, for lack of time: {', '.join(left_out)}")
    return lines


def show_plan(plan: Budget, search: float, racing: Sequence[Candidate] = (), left_out: Sequence[Candidate] = ()) -> None:
    """Logs the table."""
    for line in plan_table(plan, search, [one.name for one in racing], [one.name for one in left_out]):
        logging.info("%s", line)


def show_finals(gone: float, total: float, finals: int, each: float, overhead: float, rungs: Sequence[float]) -> None:
    """Logs how the rest of the time is divided, once the race is over.

    Args:
        gone, total: seconds.
        finals: how many there are.
        each: seconds that each of them trains.
        overhead: seconds that each takes besides.
        rungs: seconds that each trial of the race trained, by rung.
    """
    runs = "one training run" if finals == 1 else f"{finals} training runs"
    line = "%s of %s are gone; finals: %s of %s, and %s to start and validate"
    logging.info(line, clock(gone), clock(total), runs, clock(each), clock(overhead))
    if rungs and each < rungs[-1]:
        logging.warning(
            "the finals train for less than the last rung of the race (%s): training runs start or validate more slowly than was assumed. "
            "For a verdict of longer ones give more time in another --workdir, or don't use the machine beside it",
            clock(rungs[-1]),
        )
