"""The last training runs, on all of the fold's training cases: the winner, and the default network with two seeds, all equally long.

If the default network won the race there is nothing to compare: it is trained once, in all the time that is left.
"""

import dataclasses
import math
import pathlib
import statistics
from collections.abc import Mapping

from scnas_keras.errors import ConfigError
from scnas_keras.files import write_bytes
from scnas_keras.inference.names import COMPANION, MODEL
from scnas_keras.select import budget
from scnas_keras.select.jobs import FINALS, folder_of
from scnas_keras.select.machines import slowness
from scnas_keras.select.names import DEFAULT, DICE, NSD
from scnas_keras.select.setting import Setting
from scnas_keras.select.trials import Trained, complete, result_of
from scnas_keras.select.verdict import Contest, contest


@dataclasses.dataclass(frozen=True)
class Final:
    """One of the last trainings.

    Attributes:
        network: the candidate's name.
        seed: is added to that of the selection.
    """

    network: str
    seed: int

    @property
    def label(self) -> str:
        """Of its folder and in tables."""
        return f"{DEFAULT}_seed_{self.seed}" if self.network == DEFAULT else self.network

    @property
    def key(self) -> str:
        """In race.json."""
        return f"{FINALS}/{self.label}"


@dataclasses.dataclass(frozen=True)
class Finals:
    """What the last training runs found.

    Attributes:
        trained: label -> result.
        contest: winner against default; None if the default network won the race.
        kept: the label of the network to use.
    """

    trained: dict[str, Trained]
    contest: Contest | None
    kept: str


def is_default(label: str) -> bool:
    """Whether a final is one of the default network."""
    return label.startswith(f"{DEFAULT}_seed_")


def final_trainings(winner: str) -> list[Final]:
    """The last training runs, given the race's winner."""
    if winner == DEFAULT:
        return [Final(DEFAULT, 0)]
    return [Final(winner, 0), *(Final(DEFAULT, seed) for seed in range(budget.SEEDS))]


def read_finals(setting: Setting, winner: str) -> Finals:
    """Compares what the finals left, and copies the network that is kept into the selection's folder."""
    trained, objective = {}, setting.config.objective
    for final in final_trainings(winner):
        result = complete(result_of(folder_of(setting.run.path, FINALS, final.key)), setting.survey.split.validation)
        assert result is not None, f"{final.key} hasn't ended"
        trained[final.label] = result
    found = None
    if winner != DEFAULT:
        defaults = [own for label, own in trained.items() if label != winner]
        found = contest(
            winner,
            trained[winner].compared(objective),
            DEFAULT,
            [own.compared(objective) for own in defaults],
            setting.survey.patients,
            _time(setting, winner, trained),
            None if objective in (DICE, NSD) else objective,
            "NSD" if objective == NSD else "Dice",
        )
    kept = winner if found and found.kept == winner else _better_default(trained, objective)
    _copy_model(trained[kept].folder, setting.run.path)
    return Finals(trained, found, kept)


def _copy_model(source: pathlib.Path, folder: pathlib.Path) -> None:
    for name in (MODEL, COMPANION):
        if not (source / name).is_file():
            raise ConfigError(f"{source / name} is gone. Restore it from a copy, or delete {source} to train again.")
        write_bytes(folder / name, (source / name).read_bytes())


def _better_default(trained: Mapping[str, Trained], objective: str) -> str:
    """The label of the default network's seed with the higher score, the first of equals."""

    def score(label: str) -> float:
        own = trained[label].score(objective)
        return -math.inf if own is None else own

    return max((label for label in trained if is_default(label)), key=score)


def _time(setting: Setting, winner: str, trained: Mapping[str, Trained]) -> float | None:
    """Seconds that a scan takes with the winner as a share of those with the default network, the mean over its seeds."""
    paces: dict[bool, list[float]] = {True: [], False: []}
    for final in final_trainings(winner):
        if pace := _pace(setting, final, trained):
            paces[final.network == winner].append(pace)
    return statistics.fmean(paces[True]) / statistics.fmean(paces[False]) if all(paces.values()) else None


def _pace(setting: Setting, final: Final, trained: Mapping[str, Trained]) -> float | None:
    """Seconds that a scan takes, on the first of the machines."""
    decided, seconds = setting.record.decided, trained[final.label].seconds_per_scan
    return seconds and seconds / slowness(decided.ran_on.get(final.key, ""), decided.machines)
