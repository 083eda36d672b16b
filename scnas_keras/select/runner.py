"""A whole selection: search, race, finals, report. What ended is kept; the same command goes on."""

import time

from absl import logging

from scnas_keras.progress import clock
from scnas_keras.runs.run_folder import RunFolder, open_run
from scnas_keras.runs.seeds import expand_seeds
from scnas_keras.select import budget, machines
from scnas_keras.select.checks import check, check_begun, check_search
from scnas_keras.select.conclusions import NO_SEARCH
from scnas_keras.select.config import SelectConfig
from scnas_keras.select.finals import read_finals
from scnas_keras.select.kerastuner import run_jobs
from scnas_keras.select.names import DEFAULT, FOUND, RANDOM, need_search, parse_families
from scnas_keras.select.plan_table import show_plan
from scnas_keras.select.pool import check_default_fits
from scnas_keras.select.record import Record
from scnas_keras.select.report import Report, write_report
from scnas_keras.select.samples import places
from scnas_keras.select.scheduler import Scheduler
from scnas_keras.select.setting import Setting
from scnas_keras.select.survey import few_units, survey
from scnas_keras.select.worker import run_worker

_EACH_SEARCH = 3
"""Candidates that a search gives at least: its network at two widths, and a random one."""


def run_selection(config: SelectConfig) -> Report | str:
    """Runs what is left of a selection and writes its report; of a worker, what it has to say in the end.

    Raises:
        ConfigError, DataError: before anything runs: flags, data, a budget too small, a search of other data, too little memory. After
            the first training run: it made too few updates for networks to be told apart.
        TrainingFailed: the default network, or the winner in its last training.
        OutputError: a file can't be written.
        SystemExit: a signal came, and the training run at work is saved.
    """
    began, role = time.monotonic(), machines.role()
    check(config)
    if role != machines.ALONE:
        machines.tell_kerastuner()
    if role == machines.WORKER:
        return run_worker(config)
    run = open_run(config.workdir, config)
    try:
        if role == machines.CHIEF:
            machines.check_port()
        return _select(config, run, role, began)
    finally:
        run.release()


def _select(config: SelectConfig, run: RunFolder, role: str, began: float) -> Report:
    setting = Setting(config, run, survey(config), Record(run.path, began))
    setting.survey.fold.check(run.path)
    named = [own for folder in (config.searches or "").split(",") if folder for own in expand_seeds(folder)]
    searches = [check_search(folder, setting.survey) for folder in named]
    if setting.record.decided.search is None:
        check_begun(run.path)
        seconds = 0.0 if searches or not need_search(parse_families(config.candidates)) else budget.search_seconds(setting.total)
        check_default_fits(setting.survey, config)
        _plan_before(setting, seconds, len(searches))
        if doubt := few_units(setting.survey, config):
            logging.warning("%s", doubt)
        run.begin(config)
        setting.survey.fold.save(run.path)
        setting.record.decide(search=seconds)
    else:
        logging.info("going on: %s of %s are gone", clock(setting.record.spent), clock(setting.total))
        run.begin(config)
    if not searches and need_search(parse_families(config.candidates)) and not setting.record.decided.search:
        logging.warning("%s", NO_SEARCH)
    over = run_jobs(setting, Scheduler(setting, searches), role)
    return write_report(setting, over.race, read_finals(setting, over.race.winner))


def _plan_before(setting: Setting, seconds: float, searches: int) -> None:
    """Plans before anything runs, and shows how the time will be divided if there is a search first: without it, the candidates are known.

    Raises:
        ConfigError: the budget is too small.
    """
    families = parse_families(setting.config.candidates)
    handmade = len({DEFAULT, *families} - {FOUND, RANDOM})
    count = handmade + _EACH_SEARCH * (searches or bool(seconds)) + len(places(setting.config))
    before = setting.record.spent + seconds
    plan = budget.plan(setting.total, count, setting.overhead, before=before, machines=setting.machines)
    if seconds:
        show_plan(plan, seconds)
