"""The last trainings: the winner, and the default network with two seeds, all equally long and on all of the fold's training cases."""

import dataclasses
import pathlib
from collections.abc import Sequence

from absl import logging

from scnas_keras.files import write_bytes
from scnas_keras.inference.names import COMPANION, MODEL
from scnas_keras.runs.config import VALIDATION
from scnas_keras.select import budget, trials
from scnas_keras.select.candidates import Candidate
from scnas_keras.select.names import DEFAULT
from scnas_keras.select.setting import Setting
from scnas_keras.select.settings import training_config
from scnas_keras.select.trials import Trained
from scnas_keras.select.verdict import Contest, contest


@dataclasses.dataclass(frozen=True)
class Finals:
    """What the last trainings found.

    Attributes:
        trained: folder's name -> result.
        contest: winner against default; None if the default network won the race.
        kept: the folder's name of the network to use.
    """

    trained: dict[str, Trained]
    contest: Contest | None
    kept: str


def run_finals(setting: Setting, candidates: Sequence[Candidate], winner: str) -> Finals:
    """Runs what is left of the finals and copies the network that is kept into the selection's folder.

    Raises:
        TrainingFailed: one of them failed.
    """
    by_name = {candidate.name: candidate for candidate in candidates}
    wanted = [(f"{DEFAULT}_seed_{number}", DEFAULT, number) for number in range(budget.SEEDS)]
    if winner != DEFAULT:
        wanted.insert(0, (winner, winner, 0))
    seconds = setting.record.decided.final
    if seconds is None:
        seconds = round(budget.final_seconds(setting.total - setting.record.spent, len(wanted), setting.overhead.final), 1)
        setting.record.decide(final=seconds)
    trained = {}
    for number, (label, name, seed) in enumerate(wanted, start=1):
        folder = setting.run["finals"] / label
        result = trials.result_of(folder)
        if result is None:
            config = training_config(setting.config, by_name[name], folder, seconds, VALIDATION, setting.config.seed + seed)
            result = setting.train(config, f"finals/{label}", f"final {number} of {len(wanted)}: {label}", seconds)
            logging.info("%s: Dice %s on validation scans", label, "in no scan" if result.mean_dice is None else f"{result.mean_dice:.3f}")
        trained[label] = result
    defaults = [trained[f"{DEFAULT}_seed_{number}"] for number in range(budget.SEEDS)]
    found = None
    if winner != DEFAULT:
        found = contest(
            winner,
            trained[winner].cases,
            DEFAULT,
            [own.cases for own in defaults],
            setting.survey.patients,
            _ratio(trained[winner].seconds_per_scan, defaults[0].seconds_per_scan),
        )
    kept = winner if found and found.kept == winner else f"{DEFAULT}_seed_0"
    _copy_model(trained[kept].folder, setting.run.path)
    return Finals(trained, found, kept)


def _copy_model(source: pathlib.Path, folder: pathlib.Path) -> None:
    for name in (MODEL, COMPANION):
        write_bytes(folder / name, (source / name).read_bytes())


def _ratio(one: float | None, other: float | None) -> float | None:
    return one / other if one and other else None
