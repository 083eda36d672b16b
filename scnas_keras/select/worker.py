"""A machine that trains for a selection that a chief elsewhere coordinates."""

import time

from absl import logging

from scnas_keras.errors import ConfigError
from scnas_keras.runs.run_folder import join_run
from scnas_keras.select import machines
from scnas_keras.select.config import SelectConfig
from scnas_keras.select.record import FILE, VERSION, Record, read_decided
from scnas_keras.select.setting import Setting
from scnas_keras.select.survey import survey

_LOOK_EVERY = 2.0  # seconds


def run_worker(config: SelectConfig) -> str:
    """Trains until the selection is over. Returns what to print.

    Raises:
        ConfigError, DataError: this machine has other flags, data or another version than the chief.
        OutputError: a file can't be written.
        SystemExit: a signal came, and the training run at work is saved.
    """
    run, told = join_run(config.workdir, config), False
    while not run[FILE].is_file():
        if not told:
            logging.info("waiting for the chief, which hasn't begun: %s isn't there. All machines must see the same --workdir", run[FILE])
        told = True
        time.sleep(_LOOK_EVERY)
        run = join_run(config.workdir, config)
    theirs = read_decided(run.path).version
    if theirs != VERSION:
        raise ConfigError(f"{run[FILE]}: the chief runs scnas_keras {theirs}, and this machine has {VERSION}. Install the same.")
    found = survey(config)
    found.fold.check(run.path)
    machines.measure(config, run.path)
    from scnas_keras.select.kerastuner import work

    work(Setting(config, run, found, Record(run.path, time.monotonic())))
    return f"The chief has no more training runs for {machines.own_name()}: its report is in {run.path}"
