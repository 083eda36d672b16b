"""A whole selection: search, race, finals, report. What ended is kept; the same command goes on."""

import pathlib
import time

from absl import logging

from scnas_keras.runs.horizon import clock
from scnas_keras.runs.run_folder import SUMMARY, open_run
from scnas_keras.select import budget, trials
from scnas_keras.select.budget import Budget
from scnas_keras.select.candidates import Candidate, fits, pool
from scnas_keras.select.checks import check, check_search
from scnas_keras.select.config import SelectConfig
from scnas_keras.select.finals import run_finals
from scnas_keras.select.names import FOUND, RANDOM, parse_families
from scnas_keras.select.plan_table import plan_table
from scnas_keras.select.racing import run_race
from scnas_keras.select.record import Record
from scnas_keras.select.report import NO_SEARCH, Report, write_report
from scnas_keras.select.setting import STARTING, Setting
from scnas_keras.select.settings import search_config
from scnas_keras.select.survey import survey

_EACH_SEARCH = 3
"""Candidates that a search gives at least: its network at two widths, and a random one."""


def run_selection(config: SelectConfig) -> Report:
    """Runs what is left of a selection and writes its report.

    Raises:
        ConfigError, DataError: before hours of work: flags, data, a budget too small, a search of other data.
        TrainingFailed: the default network, or the winner in its last training.
        OutputError: a file can't be written.
        SystemExit: a signal came, and the training at work is saved.
    """
    began = time.monotonic()
    check(config)
    run = open_run(config.workdir, config)
    setting = Setting(config, run, survey(config), Record(run.path, began))
    searches = [check_search(folder, setting.survey) for folder in config.searches.split(",")] if config.searches else []
    if setting.record.decided.search is None:
        seconds = 0.0 if searches or not _searched(config) else budget.search_seconds(setting.total)
        _plan_before(setting, seconds, len(searches))
        run.begin(config)
        setting.record.decide(search=seconds)
    else:
        logging.info("going on: %s of %s are gone", clock(setting.record.spent), clock(setting.total))
        run.begin(config)
    if not searches and _searched(config) and not setting.record.decided.search:
        logging.warning("%s", NO_SEARCH)
    searches = searches or _search(setting)
    candidates = setting.record.decided.candidates or _choose(setting, searches)
    ended = run_race(setting)
    finals = run_finals(setting, candidates, ended.winner)
    return write_report(setting, ended, finals)


def _searched(config: SelectConfig) -> bool:
    """Whether networks race that a search must find."""
    return bool({FOUND, RANDOM} & {*parse_families(config.candidates)})


def _plan_before(setting: Setting, seconds: float, searches: int) -> None:
    """Plans before anything runs, and shows how the time will be divided if there is a search first: without it, the candidates are known.

    Raises:
        ConfigError: the budget is too small.
    """
    families = parse_families(setting.config.candidates)
    handmade = len({*families} - {FOUND, RANDOM})
    count = max(1, handmade) + _EACH_SEARCH * (searches or bool(seconds))
    plan = budget.plan(setting.total, count, setting.overhead, before=setting.record.spent + seconds)
    if seconds:
        _show(plan, seconds)


def _search(setting: Setting) -> list[pathlib.Path]:
    """The folder of the search that the selection makes, if it makes one and that succeeds."""
    seconds, failed = setting.record.decided.search, setting.record.decided.failed
    folder = setting.run["search"]
    if not seconds or "search" in failed:
        return []
    if not (folder / SUMMARY).is_file():
        config = search_config(setting.config, folder, seconds - 2 * STARTING)
        failure = trials.run("search", config, "search", seconds, setting.record.tick)
        if failure:
            logging.warning("the search %s; the race goes on without its networks", failure.reason)
            setting.record.decide(failed={**failed, "search": f"the search {failure.reason}"})
            return []
    return [folder]


def _choose(setting: Setting, searches: list[pathlib.Path]) -> tuple[Candidate, ...]:
    """Who races: as many of the pool as fit into memory, and as the time is enough for."""
    families = parse_families(setting.config.candidates)
    everyone = pool(families, searches, setting.run["genotypes"], setting.survey, setting.config.seed)
    fitting = [candidate for candidate in everyone if fits(candidate, setting.survey)]
    gone = setting.record.spent
    plan = budget.plan(setting.total, len(fitting), setting.overhead, before=gone)
    racing = tuple(fitting[: plan.trials[0] if plan.trials else 1])
    _show(plan, 0.0, racing, [candidate for candidate in everyone if candidate not in racing])
    setting.record.decide(candidates=racing, race_until=gone + budget.RACE_SHARE * (setting.total - gone))
    return racing


def _show(plan: Budget, search: float, racing=(), left_out=()) -> None:
    for line in plan_table(plan, search, [one.name for one in racing], [one.name for one in left_out]):
        logging.info("%s", line)
