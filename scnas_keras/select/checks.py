"""What a selection refuses before anything runs."""

import pathlib

from scnas_keras.errors import ConfigError
from scnas_keras.files import user_path
from scnas_keras.machine.hosts import hosts_of_run
from scnas_keras.retrain.checks import check as check_training
from scnas_keras.retrain.recipes import recipe
from scnas_keras.runs.checks import check_positive
from scnas_keras.runs.config import HELD_OUT
from scnas_keras.runs.recorded import read_result
from scnas_keras.runs.run_folder import SUMMARY
from scnas_keras.select import machines
from scnas_keras.select.candidate import Candidate
from scnas_keras.select.config import SelectConfig
from scnas_keras.select.job_flags import training_config
from scnas_keras.select.jobs import FINALS, RACE, SEARCH
from scnas_keras.select.names import DEFAULT
from scnas_keras.select.record import FILE
from scnas_keras.select.survey import Survey
from scnas_keras.spaces.genotype import Genotype


def check(config: SelectConfig) -> None:
    """Refuses settings that can't work, before anything is read or written.

    Raises:
        ConfigError: see there.
    """
    config.check()
    check_positive(config, "budget_minutes", "hours", "machines", "processes")
    if config.machines > 1 and machines.role() == machines.ALONE:
        raise ConfigError(
            f"--machines={config.machines}: this process is told of no others. Set KERASTUNER_TUNER_ID, KERASTUNER_ORACLE_IP and "
            "KERASTUNER_ORACLE_PORT on each machine (docs/select.md), or leave --machines out."
        )
    if config.searches is not None and not all(map(str.strip, config.searches.split(","))):
        raise ConfigError(f"--searches={config.searches}: a name between the commas is empty.")
    if len(hosts_of_run()[0]) > 1:
        raise ConfigError("TF_CONFIG names several hosts, and a selection runs on one: unset it.")
    one = training_config(config, Candidate(DEFAULT, DEFAULT, DEFAULT, "32"), pathlib.Path("unused"), 60.0, HELD_OUT, config.seed)
    check_training(one)
    recipe(one)


def check_begun(folder: pathlib.Path) -> None:
    """Refuses training runs without what was decided about them.

    Raises:
        ConfigError: see there.
    """
    if found := [name for name in (SEARCH, RACE, FINALS) if (folder / name).is_dir()]:
        raise ConfigError(
            f"{folder / FILE} is gone, which says how long each training run lasts and how much time is gone; {folder / found[0]} holds "
            "some already. Restore it from a copy, or name another --workdir."
        )


def check_search(folder: str, found: Survey) -> pathlib.Path:
    """The folder of a search whose networks may race here.

    Raises:
        ConfigError: it hasn't finished, is of another task, split or rank, or looked at the validation cases.
        GenotypeError: its genotype is damaged.
    """
    path, flag = user_path(folder), f"--searches: {folder}"
    if not (path / SUMMARY).is_file():
        raise ConfigError(f"{flag} holds no finished search ({SUMMARY} isn't there). Name the --workdir of one.")
    result = read_result(path / SUMMARY)
    if "mean_edge_entropy" not in result:
        raise ConfigError(f"{flag} is the folder of another command than scnas search.")
    if result.get("task") != found.task:
        raise ConfigError(f"{flag} is a search of the task {result.get('task')}, and this is {found.task}. Name searches of this task.")
    if result.get("judged_on") != HELD_OUT:
        raise ConfigError(
            f"{flag} looked at the validation cases after each epoch, so that no comparison on them would be fair. Search with "
            f"--judge_on={HELD_OUT}, or leave out --searches."
        )
    parts = {part: list(getattr(found.split, part)) for part in ("train", "held_out", "validation")}
    if result.get("cases") != parts:
        raise ConfigError(
            f"{flag} had other cases in its fold, so that it may have seen those that the race judges on. Search with the --fold, "
            "--protocol, --num_folds, --architecture_share, --split, --split_seed, --splits and --group_pattern of this selection."
        )
    rank = Genotype.load(path).space.rank
    if rank != len(found.patch_size):
        raise ConfigError(f"{flag} found a {rank}D network, and the patches here have {len(found.patch_size)} axes. Name another.")
    return path
