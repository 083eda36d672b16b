"""scnas select --task=TASK --data_dir=DIR --workdir=RUN --budget_minutes=100

Finds the network to use for your scans in the time that you give, and trains it. Searches for an architecture, races the network that was
found against hand-made ones, each trained for the same time and judged on scans of the fold's training cases that it wasn't trained on,
and trains the winner and nnU-Net's U-Net for the last time, on all training cases. The two are then compared on the validation scans,
which nothing has looked at before. What is kept is in RUN, for scnas predict, with select.txt, select.json, trials.csv, cases.csv and
race.png. The same command goes on after an interruption. Several machines can share the work: docs/select.md.
"""

from typing import Any

from scnas_keras.console import load_tensorflow
from scnas_keras.select.config import SelectConfig


def select(config: SelectConfig) -> Any:
    """See `scnas_keras.select.runner.run_selection`, which this calls: a framework is loaded only now."""
    from scnas_keras.select.runner import run_selection

    return run_selection(config)


def main(config: SelectConfig) -> str | None:
    from scnas_keras.architectures.registry import footprint
    from scnas_keras.runs.before import check_before
    from scnas_keras.runs.checks import refuse_if_several_missing
    from scnas_keras.select import machines
    from scnas_keras.select.checks import check
    from scnas_keras.select.names import DEFAULT

    refuse_if_several_missing(config, None if config.seconds else "--budget_minutes=M (or --hours=H)")
    check(config)
    check_before(config, footprint(DEFAULT), begins=machines.role() != machines.WORKER)
    load_tensorflow()
    result = select(config)
    if isinstance(result, str):
        print(result)
        return None
    print(f"{result.text}\nThe network that is kept, tables and figure are in {result.folder}")
    return result.following
